"""Expensive calls of one kind: a batch's missing requests through the engine into the ledger, with what they cost."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import pyarrow as pa

from flows.runtime.progress import Advance
from transforms.asking.ledger import Ledger
from transforms.engines.protocol import Progress
from transforms.errors import CurationError
from transforms.records.manifest import SpendRecord

# Calls a batch of expensive work by a name, and again if its engine fails.
Pay = Callable[[str, Callable[[], None]], None]


class Identified(Protocol):
    """What every request has."""

    @property
    def request_id(self) -> str: ...


class Closable(Protocol):
    """What every engine can do."""

    def close(self) -> None: ...


Request = TypeVar("Request", bound=Identified)
Engine = TypeVar("Engine", bound=Closable)


class Batch(NamedTuple, Generic[Request]):
    """A fixed batch of the run's request list and what of it is not in the ledger yet."""

    ids: list[str]
    missing: list[Request]


class Paid(NamedTuple):
    """What an engine answered for a batch: rows for the ledger, and tokens for the account."""

    rows: pa.Table
    tokens: int
    cached_prompt_tokens: int = 0
    prompt_tokens: int = 0  # where they are paid for


class Calls(Generic[Request, Engine]):
    """The calls of one stage. The engine is opened at the first batch that needs it, and anew after it failed.

    Args:
        ledger: where finished batches are kept.
        spend: the stage's account, written only for batches that are in the ledger.
        open_engine: loads the model.
        ask: sends the missing requests.
    """

    def __init__(
        self,
        ledger: Ledger,
        spend: SpendRecord,
        *,
        open_engine: Callable[[], Engine],
        ask: Callable[[Engine, Sequence[Request], Progress], Paid],
    ) -> None:
        self.ledger = ledger
        self.spend = spend
        self._open_engine = open_engine
        self._ask: Callable[[Engine, Sequence[Request], Progress], Paid] = ask
        self._engine: Engine | None = None
        self._paid: set[str] = set()
        self._asked: set[str] = set()
        self._counted: set[str] = set()

    def run(self, batch: Batch[Request], advance: Advance) -> None:
        """Pay for what is missing and keep it: all of the batch, or nothing if the engine fails.

        Raises:
            EngineError: the engine failed. The same batch may be run again.
        """
        if batch.missing:
            self._pay(batch.missing, advance)
        advance(len(batch.ids) - len(batch.missing), reused=True)
        # What was asked before in this process is one request, paid or reused then. What gave no number is asked again.
        missing = {request.request_id for request in batch.missing}
        new = [key for key in batch.ids if key in missing or key not in self._asked]
        self._asked.update(new)
        self.spend.requests += len(new)
        self.spend.reused += len(new) - len(missing)

    def reused(self, request_id: str) -> bool:
        """Whether an answer was in the ledger before this run asked."""
        return request_id not in self._paid

    def count_reused(self, tokens: Mapping[str, int]) -> None:
        """Add the tokens of answers that were in the ledger before to the account, each answer once.

        Args:
            tokens: request id → tokens of its answer.
        """
        new = [key for key in tokens if self.reused(key) and key not in self._counted]
        self._counted.update(new)
        self.spend.tokens_reused += sum(tokens[key] for key in new)

    def open(self) -> Engine:
        """The engine, loaded if it is not there."""
        if self._engine is None:
            self._engine = self._open_engine()
        return self._engine

    def close(self) -> None:
        """Unload the engine, if one was loaded."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _pay(self, requests: Sequence[Request], advance: Advance) -> None:
        ids = [request.request_id for request in requests]
        engine = self.open()
        self.ledger.start(ids)
        shown = Shown(advance)
        start = time.monotonic()
        try:
            paid = self._ask(engine, requests, shown)
        except CurationError:
            shown.take_back()
            self.ledger.give_up(ids)
            self.spend.batches_failed += 1
            self.close()
            raise
        finally:
            self.spend.seconds += time.monotonic() - start
        self.ledger.append(ids, paid.rows)
        self._paid.update(ids)
        self.spend.generated += len(ids)
        self.spend.tokens_generated += paid.tokens
        self.spend.prompt_tokens += paid.prompt_tokens
        self.spend.cached_prompt_tokens += paid.cached_prompt_tokens
        self.spend.batches += 1
        self.spend.batches_paid_again = self.ledger.interrupted


def pay_for(pay: Pay, name: str, calls: Calls[Any, Any], batches: Iterable[Batch[Any]], advance: Advance) -> None:
    """Run every batch; those that have something missing through `pay`, by a name of their own."""
    for number, batch in enumerate(batches):
        work = partial(calls.run, batch, advance)
        pay(f"{name} batch {number}", work) if batch.missing else work()


def rebatched(requests: Iterable[Request], size: int, ledger: Ledger) -> Iterator[Batch[Request]]:
    """The whole request list cut into batches of `size`, each id once, with what of each is missing.

    Cut before anything is known to be finished, so that a resumed run repeats the batches of the run that
    died: what a batch holds changes its numbers in the last bit (bfloat16), and with them the tokens.
    """
    seen: set[str] = set()
    batch: list[Request] = []
    for request in requests:
        if request.request_id in seen:
            continue
        seen.add(request.request_id)
        batch.append(request)
        if len(batch) == size:
            yield _batch(batch, ledger)
            batch = []
    if batch:
        yield _batch(batch, ledger)


def _batch(requests: list[Request], ledger: Ledger) -> Batch[Request]:
    ids = [request.request_id for request in requests]
    missing = set(ledger.missing(ids))
    return Batch(ids, [request for request in requests if request.request_id in missing])


class Shown:
    """Progress of a batch that can be taken back when the batch fails."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._requests = self._tokens = 0

    def __call__(self, requests: int, tokens: int) -> None:
        self._requests += requests
        self._tokens += tokens
        self._advance(requests, tokens)

    def take_back(self) -> None:
        self._advance(-self._requests, -self._tokens)
