"""The three kinds of Prefect task: a stage, a batch of expensive work that is asked again when its engine fails, and a
whole refresh that is tried again when something outside was down."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from transforms.errors import EngineError, SourceError

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def _engine_failed(_task: "Task[..., Any]", _run: TaskRun, state: "State[Any]") -> bool:
    return isinstance(state.result(raise_on_failure=False), EngineError)


def _outside_failed(_task: "Task[..., Any]", _run: TaskRun, state: "State[Any]") -> bool:
    return isinstance(state.result(raise_on_failure=False), EngineError | SourceError)


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
    retry_condition_fn=_engine_failed,
)
def engine_call(name: str, work: Callable[[], None]) -> None:
    """One batch of expensive work; an engine that failed is asked again, a bad input is not."""
    try:
        work()
    except EngineError as error:
        logger.warning("%s: %s", name, error)
        raise


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=_outside_failed)
def attempt(name: str, work: Callable[[], Result]) -> Result:
    """One attempt at a refresh. What it had paid for is in the ledger, so another attempt pays for the rest only."""
    return work()
