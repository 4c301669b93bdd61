"""Deployments of the refresh flow: checked, registered, served."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.runner import Runner
from prefect.schedules import Cron, Interval, Schedule
from prefect.utilities.urls import url_for
from pydantic import ValidationError

from flows.deploy.notifications import find_block, notify_of_failures
from flows.publish.config import PublishConfig
from flows.recipe.curation import Recipe
from flows.refresh.config import Attempts
from flows.refresh.flow import refresh
from flows.runtime.environment import ENVIRONMENT
from flows.versions.fingerprint import ROOT
from transforms.errors import ConfigError

ENTRYPOINT: Final = "flows/refresh/flow.py:refresh"
# A refresh that is due while another one runs would find what that one is bringing.
ONE_AT_A_TIME: Final = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
# Of a worker's processes; a served refresh has that of the command.
WORKER_ENVIRONMENT: Final = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("PREFECT_")}


@dataclass(frozen=True)
class Deployment:
    """A dataset and when to refresh it.

    Attributes:
        name: of the deployment, refresh/<name>.
        recipe: of the dataset.
        target: where it is published, None to refresh its output folder only.
        attempts: how often and how long a refresh is tried.
        cron: when, or
        every: how often, or neither: when somebody asks.
        timezone: of `cron`, UTC by default.
        notify: notification block that is told of failures, as `slack-webhook/NAME`.
    """

    name: str
    recipe: Recipe
    target: PublishConfig | None
    attempts: Attempts
    cron: str | None = None
    every: timedelta | None = None
    timezone: str | None = None
    notify: str | None = None

    @property
    def when(self) -> str:
        """In words."""
        if self.cron:
            return f"at {self.cron} ({self.timezone or 'UTC'})"
        return f"every {self.every}" if self.every else "when asked"

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the flow `refresh`. Prefect keeps them readable for everybody: names of tokens, and no token."""
        named = {"repo", "public", "token_env", "token_block"}
        return {
            "recipe": self.recipe.settings(),
            **(self.target.model_dump(mode="json", include=named) if self.target else {}),
            "attempts": self.attempts.model_dump(mode="json"),
        }


def deployed(deployment: Deployment, pool: str) -> str | None:
    """Register it on a work pool whose workers have this checkout.

    Returns:
        Where the UI shows it.

    Raises:
        ConfigError: no such pool or notification block, or a schedule that cannot be one. Nothing is registered.
    """
    return asyncio.run(_deploy(deployment, pool))


def served(deployment: Deployment, started: Callable[[str | None], None]) -> None:
    """Register it and run its refreshes as processes of this machine, until Ctrl-C; then its schedule pauses.

    Args:
        deployment: what to serve.
        started: is told where the UI shows it.

    Raises:
        ConfigError: as `deployed`.
    """
    schedule = _schedule(deployment)
    registrable = asyncio.run(_registrable(deployment, refresh, schedule, None))
    started(asyncio.run(_register(deployment, registrable, None)))
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_Runner(limit=1).serve(registrable))


class _Runner(Runner):
    """Ends on SIGTERM as on Ctrl-C, by a task that is cancelled.

    Prefect 3.7's own way exits from within the loop and prints two tracebacks.
    """

    async def serve(self, registrable: RunnerDeployment) -> None:
        """Register it and run what it is due for, until cancelled."""
        await self.aadd_deployment(registrable)
        loop = asyncio.get_running_loop()
        serving = asyncio.ensure_future(self.start())
        self._end = partial(loop.call_soon_threadsafe, serving.cancel)
        await serving

    def handle_sigterm(self, *_: object, **__: object) -> None:
        self._end()


async def _deploy(deployment: Deployment, pool: str) -> str | None:
    schedule = _schedule(deployment)
    async with get_client() as client:
        try:
            await client.read_work_pool(pool)
        except ObjectNotFound as error:
            message = f"there is no work pool {pool}: make one with prefect work-pool create {pool} --type process"
            raise ConfigError(message) from error
    # Workers load the flow from this folder.
    flow = await Flow.afrom_source(str(ROOT), ENTRYPOINT)
    return await _register(deployment, await _registrable(deployment, flow, schedule, pool), pool)


async def _registrable(
    deployment: Deployment, flow: "Flow[..., Any]", schedule: Schedule | None, pool: str | None
) -> RunnerDeployment:
    if deployment.notify:
        await find_block(deployment.notify)
    sources = ", ".join(f"`{source.path}`" for source in deployment.recipe.sources)
    target = deployment.target.repo if deployment.target else deployment.recipe.output.dir
    return await flow.ato_deployment(
        deployment.name,
        schedules=[schedule] if schedule else [],
        parameters=deployment.parameters,
        description=f"Keeps `{target}` up to date with {sources}.\n\n{refresh.description}",
        concurrency_limit=ONE_AT_A_TIME,
        job_variables={"env": WORKER_ENVIRONMENT} if pool else {},
        paused=False,  # serving paused it when it ended
    )


async def _register(deployment: Deployment, registrable: RunnerDeployment, pool: str | None) -> str | None:
    found = await registrable.aapply(work_pool_name=pool)
    if deployment.notify:
        await notify_of_failures(found, deployment.name, await find_block(deployment.notify))
    return url_for("deployment", obj_id=found)


def _schedule(deployment: Deployment) -> Schedule | None:
    if deployment.cron is None:
        return Interval(deployment.every) if deployment.every else None
    try:
        CronSchedule(cron=deployment.cron)
        ZoneInfo(deployment.timezone or "UTC")
    except ValidationError as error:
        message = f"--cron {deployment.cron!r} is no cron schedule; expected five fields, as '0 3 * * *'"
        raise ConfigError(message) from error
    except (ZoneInfoNotFoundError, ValueError) as error:
        message = f"--timezone {deployment.timezone}: expected a name like Europe/Berlin"
        raise ConfigError(message) from error
    return Cron(deployment.cron, timezone=deployment.timezone)
