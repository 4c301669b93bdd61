"""How often an operation on the Hub is tried, how long is waited, and what is said when it fails for good.

What the Hub's client repeats by itself (list of commits, preupload, LFS batch and PUT: six times within 23 s) is
repeated here as a step, after longer waits; blobs that arrived are not sent again. All else it asks once, the commit
above all: those are our tries alone.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, TypeVar

import httpx2
from huggingface_hub.errors import HfHubHTTPError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from transforms.errors import CurationError

Result = TypeVar("Result")
logger = logging.getLogger(__name__)

_PASSING: Final = (408, 429, 500, 502, 503, 504)
_LONGEST_WAIT: Final = 600.0  # seconds, whatever Retry-After says


class Patience(NamedTuple):
    """How often and how long one operation is tried.

    Attributes:
        attempts: of one operation; 8 outlast two minutes.
        first_wait: seconds before the second; doubled each time up to a minute, plus up to one such wait of jitter.
        timeout: seconds without a byte that end a request. The Hub's client has none, and waits for ever.
    """

    attempts: int = 8
    first_wait: float = 1.0
    timeout: float = 120.0


PATIENT: Final = Patience()


class Tries:
    """Runs operations on one repository.

    Args:
        repo: named in messages.
        patience: with operations that fail.
        error: raised when they fail for good.
        token: left out of every message.
    """

    def __init__(self, repo: str, patience: Patience, error: type[CurationError], token: str | None) -> None:
        self._repo = repo
        self._patience = patience
        self._error = error
        self._token = token

    def run(self, what: str, attempt: Callable[[], Result], *, also: tuple[int, ...] = ()) -> Result:
        """The result of an operation, tried again while that may help.

        Args:
            what: it does, for messages: cannot <what>.
            attempt: the operation, which may be repeated.
            also: statuses that are worth another try, beside a busy or broken server's.
        """
        retrying = Retrying(
            stop=stop_after_attempt(self._patience.attempts),
            wait=self._wait,
            retry=retry_if_exception(lambda error: _passes(error, also)),
            before_sleep=lambda state: self._warn(what, state),
            reraise=True,
        )
        try:
            return retrying(attempt)
        except CurationError:
            raise
        except (httpx2.HTTPError, OSError, ValueError, RuntimeError) as error:
            # From None: what the client says may quote what it was given.
            message = f"{self._repo}: cannot {what}: {self._said(error)}.{_advice(error)}"
            raise self._error(message) from None

    def _wait(self, state: RetryCallState) -> float:
        first = self._patience.first_wait
        backoff = (wait_exponential(multiplier=first, max=60) + wait_random(0, first))(state)
        error = state.outcome.exception() if state.outcome else None
        asked = next((s for e in _chain(error) if (s := _retry_after(e)) is not None), 0.0)
        return min(max(backoff, asked), _LONGEST_WAIT)

    def _warn(self, what: str, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        seconds = state.next_action.sleep if state.next_action else 0
        logger.warning("%s: cannot %s: %s; again in %.0f s", self._repo, what, self._said(error), seconds)

    def _said(self, error: BaseException | None) -> str:
        """What an error says, in one line and without the token."""
        root = list(_chain(error))[-1] if isinstance(error, RuntimeError) else error
        said = " ".join(str(root).split()) or "no reason given"
        if self._token:
            said = said.replace(self._token, "***")
        return f"{type(root).__name__}: {re.sub(r'hf_[A-Za-z0-9]{8,}', '***', said)[:400].rstrip('.')}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _passes(error: BaseException, also: tuple[int, ...]) -> bool:
    """Whether asking again may help: the network, a busy or broken server, an answer that is no JSON."""
    for one in _chain(error):
        if isinstance(one, CurationError):
            return False
        if isinstance(one, HfHubHTTPError | httpx2.HTTPStatusError):
            return one.response.status_code in (*_PASSING, *also)
        if isinstance(one, httpx2.TransportError | json.JSONDecodeError):
            return True
    return False


def _retry_after(error: BaseException) -> float | None:
    """Seconds that the Hub asks for, as a number or a date."""
    if not isinstance(error, HfHubHTTPError | httpx2.HTTPStatusError):
        return None
    value = error.response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None


def _advice(error: BaseException) -> str:
    response = getattr(error, "response", None)
    status = response.status_code if response is not None else None
    if status in (401, 403):
        return " Name a token that may do this: HF_TOKEN, `hf auth login`, or --token-env or --token-block"
    if status == 404:
        return " If it is private, set HF_TOKEN or run `hf auth login`; a folder is written ./NAME"
    if _passes(error, ()):
        return " Run the same command again: what arrived is not sent twice"
    return ""
