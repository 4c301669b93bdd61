"""Deployments of the refresh flow: checked, registered, served."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from prefect import serve
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron, Interval, Schedule
from prefect.utilities.urls import url_for

from flows.config import Recipe
from flows.fingerprint import ROOT
from flows.notifications import find_block, notify_of_failures
from flows.refresh import refresh
from flows.refresh_config import Attempts
from transforms.errors import ConfigError

ENTRYPOINT: Final = "flows/refresh.py:refresh"
# A refresh that is due while another one runs would find what that one is bringing.
ONE_AT_A_TIME: Final = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)


@dataclass(frozen=True)
class Deployment:
    """A dataset and when to refresh it.

    Attributes:
        name: of the deployment, refresh/<name>.
        recipe: of the dataset.
        repo: where it is published, None to refresh its output folder only.
        attempts: how often and how long a refresh is tried.
        cron: when, or
        every: how often, or neither: when somebody asks.
        timezone: of `cron`, UTC by default.
        notify: notification block that is told of failures, as `slack-webhook/NAME`.
    """

    name: str
    recipe: Recipe
    repo: str | None = None
    attempts: Attempts = Attempts()
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


def deployed(deployment: Deployment, pool: str) -> str | None:
    """Register it on a work pool whose workers have this checkout; where the UI shows it.

    Raises:
        ConfigError: no such pool or notification block, or a schedule that cannot be one. Nothing is registered.
    """
    registered = _registrable(deployment, pool)
    return _register(deployment, registered, pool)


def served(deployment: Deployment, started: Callable[[str | None], None]) -> None:
    """Register it and run it in processes of this machine, until Ctrl-C; then its schedule pauses.

    Args:
        deployment: what to serve.
        started: is told where the UI shows it.

    Raises:
        ConfigError: as `deployed`.
    """
    registrable = _registrable(deployment, None)
    started(_register(deployment, registrable, None))
    serve(registrable, limit=1, print_starting_message=False)


def _registrable(deployment: Deployment, pool: str | None) -> RunnerDeployment:
    schedule = _schedule(deployment)
    if pool is not None:
        _require_pool(pool)
    if deployment.notify:
        find_block(deployment.notify)
    flow = refresh.from_source(str(ROOT), ENTRYPOINT) if pool else refresh
    sources = ", ".join(source.path for source in deployment.recipe.sources)
    target = deployment.repo or deployment.recipe.output.dir
    made = flow.to_deployment(
        deployment.name,
        schedules=[schedule] if schedule else [],
        parameters={
            "recipe": deployment.recipe.model_dump(mode="json"),
            "repo": deployment.repo,
            "attempts": deployment.attempts.model_dump(mode="json"),
        },
        description=f"Keeps `{target}` up to date with {sources}.\n\n{refresh.description}",
        concurrency_limit=ONE_AT_A_TIME,
        # Serving it once paused it when it ended.
        paused=False,
    )
    if not isinstance(made, RunnerDeployment):
        message = "deployments are registered from a process without an event loop"
        raise TypeError(message)
    return made


def _register(deployment: Deployment, registrable: RunnerDeployment, pool: str | None) -> str | None:
    found = registrable.apply(work_pool_name=pool)
    if deployment.notify:
        notify_of_failures(found, deployment.name, find_block(deployment.notify))
    return url_for("deployment", obj_id=found)


def _schedule(deployment: Deployment) -> Schedule | None:
    if deployment.cron:
        return Cron(deployment.cron, timezone=deployment.timezone)
    return Interval(deployment.every) if deployment.every else None


def _require_pool(pool: str) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound as error:
            message = f"there is no work pool {pool}: make one with prefect work-pool create {pool} --type process"
            raise ConfigError(message) from error
