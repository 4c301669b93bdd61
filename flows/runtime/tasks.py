"""The two kinds of Prefect task: a stage, and a batch of expensive work that is asked again when its engine fails."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from transforms.errors import EngineError

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def _worth_a_retry(_task: "Task[..., Any]", _run: TaskRun, state: "State[Any]") -> bool:
    return isinstance(state.result(raise_on_failure=False), EngineError)


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def stage(name: str, work: Callable[[], Result]) -> Result:
    """One stage. Prefect looks into arguments, and a closure has nothing to look into."""
    return work()


@task(
    task_run_name="{name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_condition_fn=_worth_a_retry,
)
def engine_call(name: str, work: Callable[[], None]) -> None:
    """One batch of expensive work; an engine that failed is asked again, a bad input is not."""
    try:
        work()
    except EngineError as error:
        logger.warning("%s: %s", name, error)
        raise
