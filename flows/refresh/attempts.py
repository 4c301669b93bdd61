"""A refresh tried again when something outside was down, and stopped when it takes too long."""

import logging
from collections.abc import Callable
from typing import TypeVar

from prefect.utilities.timeout import timeout
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from flows.refresh.config import Attempts
from transforms.errors import ConfigError, EngineError, SourceError

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


class _TookTooLong(TimeoutError):
    """Ours, and not a socket's."""


def attempted(work: Callable[[], Result], attempts: Attempts) -> Result:
    """The result of `work`, which is tried again after an EngineError or a SourceError.

    Retries of a Prefect flow are fixed where it is defined, and those of a task would hide the stages below it in the
    UI's graph.

    Raises:
        ConfigError: an attempt took longer than it may. That is not tried again: what it paid for is kept, and the
            next refresh goes on from there.
    """
    retrying = Retrying(
        stop=stop_after_attempt(attempts.retries + 1),
        wait=wait_exponential(multiplier=attempts.delay_seconds),
        retry=retry_if_exception_type((EngineError, SourceError)),
        before_sleep=_warn,
        reraise=True,
    )
    return retrying(lambda: _limited(work, attempts.timeout_seconds))


def _limited(work: Callable[[], Result], seconds: float | None) -> Result:
    try:
        with timeout(seconds, timeout_exc_type=_TookTooLong):
            return work()
    except _TookTooLong as error:
        message = (
            f"the refresh took longer than {seconds:,.0f} s (attempts.timeout_seconds) and was stopped. What it paid "
            "for is kept: the next one goes on from there"
        )
        raise ConfigError(message) from error


def _warn(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    seconds = state.next_action.sleep if state.next_action else 0
    logger.warning("attempt %d failed: %s; again in %.0f s", state.attempt_number, error, seconds)
