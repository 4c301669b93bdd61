"""Expensive calls of one kind: a batch's missing requests through the engine into the ledger, with what they cost."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial
from typing import Any, Final, Generic, NamedTuple

from flows.models.crew import Crew, Engine, OneHere, Paid, ReplicaLostError, Request
from flows.runtime.progress import Advance
from transforms.asking.ledger import Ledger
from transforms.engines.protocol import Progress
from transforms.errors import CurationError
from transforms.records.manifest import SpendRecord

# Replicas that one batch may take with it before it is left unanswered.
LOST_AT_MOST: Final = 3
# Batches of other runs that are looked at again together, and seconds between two looks.
_ASIDE: Final = 256
_LOOK_AGAIN: Final = 1.0

# Calls a batch of expensive work by a name, and again if its engine fails.
Pay = Callable[[str, Callable[[], None]], None]
logger = logging.getLogger(__name__)


class Batch(NamedTuple, Generic[Request]):
    """A fixed batch of the run's request list and what of it is not in the ledger yet."""

    ids: list[str]
    missing: list[Request]


class Calls(Generic[Request, Engine]):
    """The calls of one stage: batches may be run from several threads, as many at once as the crew has engines.

    Args:
        ledger: where finished batches are kept.
        spend: the stage's account, written only for batches that are in the ledger.
        open_engine: loads the model in this process. It is loaded at the first batch, and anew after it failed.
        ask: sends the missing requests to it.
        crew: who answers in its place.

    Attributes:
        refused: request id → why it has no answer, for those of batches that took LOST_AT_MOST replicas with them.
    """

    def __init__(
        self,
        ledger: Ledger,
        spend: SpendRecord,
        *,
        open_engine: Callable[[], Engine],
        ask: Callable[[Engine, Sequence[Request], Progress], Paid],
        crew: Crew[Request] | None = None,
    ) -> None:
        self.ledger = ledger
        self.spend = spend
        self.refused: dict[str, str] = {}
        self._here = OneHere(open_engine, ask)
        self._crew: Crew[Request] = crew or self._here
        self._paid: set[str] = set()
        self._asked: set[str] = set()
        self._counted: set[str] = set()
        self._aborted = False
        self._lost: Counter[str] = Counter()  # replicas, by a batch's first request
        self._lock = threading.RLock()
        self._kept = threading.Condition(self._lock)

    @property
    def at_once(self) -> int:
        """Batches that may be run at the same time."""
        return self._crew.at_once

    def run(self, batch: Batch[Request], advance: Advance) -> bool:
        """Pay for what is missing and keep it: all of the batch, or nothing if the engine fails.

        Returns:
            False where another run is paying for it: nothing was done, and it may be run again.

        Raises:
            EngineError: the engine failed. The same batch may be run again.
        """
        missing = [request for request in batch.missing if request.request_id not in self.refused]
        if missing and not self._pay(missing, advance):
            return False
        advance(len(batch.ids) - len(batch.missing), reused=True)
        with self._lock:
            # What was asked before in this process is one request, paid or reused then. What gave no number is asked
            # again.
            ids = {request.request_id for request in batch.missing}
            new = [key for key in batch.ids if key in ids or key not in self._asked]
            self._asked.update(new)
            self.spend.requests += len(new)
            self.spend.reused += len(new) - len(ids)
            self.spend.unanswered += sum(key in self.refused for key in ids)
        return True

    def looked_up_again(self, batch: Batch[Request]) -> Batch[Request]:
        """The batch with what is still missing of it, after other runs have paid for some."""
        ids = [request.request_id for request in batch.missing]
        with self._lock:
            missing = set(self.ledger.missing(ids))
        return Batch(batch.ids, [request for request in batch.missing if request.request_id in missing])

    def lacks(self, request_ids: Sequence[str]) -> bool:
        """Whether a request is neither answered nor given up."""
        with self._lock:
            return any(key not in self.refused for key in self.ledger.missing(request_ids))

    def wait_for(self, request_ids: Sequence[str], *, until: Callable[[], bool]) -> bool:
        """Wait while other threads run batches.

        Args:
            request_ids: that have to be answered or given up.
            until: true where nobody runs batches any more, and waiting is over too.

        Returns:
            Whether none lacks.
        """
        with self._kept:
            while self.lacks(request_ids):
                if until():
                    return not self.lacks(request_ids)
                self._kept.wait(timeout=_LOOK_AGAIN)
            return True

    def refresh(self) -> None:
        """Learn what other runs have kept."""
        with self._lock:
            self.ledger.refresh()

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
        """The engine in this process, loaded if it is not there."""
        return self._here.open()

    def close(self) -> None:
        """Unload every engine that was loaded."""
        self._here.close()
        self._crew.close()

    def abort(self) -> None:
        """Unload every engine and load none again: batches that wait or are asked fail, and are not tried once more."""
        self._aborted = True
        self.close()

    def limit(self, most: int) -> None:
        """Have so many batches answered at a time from now on, at most."""
        self._crew.limit(most)

    def _pay(self, requests: Sequence[Request], advance: Advance) -> bool:
        if self._aborted:
            message = "the run was stopped"
            raise CurationError(message)
        ids = [request.request_id for request in requests]
        # The engine first: who waits for one must not keep a batch from another run that has one.
        with self._crew.lend() as engine:
            with self._lock:
                if not self.ledger.start(ids):
                    return False
            shown = Shown(advance)
            start = time.monotonic()
            try:
                paid = engine.ask(requests, shown)
            except CurationError as error:
                shown.take_back()
                with self._lock:
                    self.spend.seconds += time.monotonic() - start
                    self._give_up(ids, error)
                advance(len(ids))
                return True
            except BaseException:
                self.ledger.let_go(ids)
                raise
            seconds = time.monotonic() - start
        with self._lock:
            self.ledger.append(ids, paid.rows)
            self._paid.update(ids)
            self.spend.seconds += seconds if paid.seconds is None else paid.seconds
            self.spend.generated += len(ids)
            self.spend.tokens_generated += paid.tokens
            self.spend.prompt_tokens += paid.prompt_tokens
            self.spend.cached_prompt_tokens += paid.cached_prompt_tokens
            self.spend.batches += 1
            self.spend.batches_paid_again = self.ledger.interrupted
            self.spend.replicas = self._crew.records
            self._kept.notify_all()
        return True

    def _give_up(self, ids: Sequence[str], error: CurationError) -> None:
        """Raise the error, for the batch to be asked again; not where it has taken too many replicas with it."""
        self.ledger.give_up(ids)
        self.spend.batches_failed += 1
        self.spend.replicas = self._crew.records
        if isinstance(error, ReplicaLostError):
            self._lost[ids[0]] += 1
        if self._lost[ids[0]] < LOST_AT_MOST:
            raise error
        brief = error.brief if isinstance(error, ReplicaLostError) else str(error)
        why = f"its batch of {len(ids)} was given up after {LOST_AT_MOST} replicas were lost with it: {brief}"
        self.refused.update(dict.fromkeys(ids, why))
        logger.error("a batch of %d requests, from %s on, is left unanswered: %s", len(ids), ids[0], error)


def pay_for(pay: Pay, name: str, calls: Calls[Any, Any], batches: Iterable[Batch[Any]], advance: Advance) -> None:
    """Run every batch; those that have something missing through `pay`, by a name of their own.

    As many are run at once as the calls' crew can answer. A batch that another run is paying for is put aside, and
    looked at again once the others are through: by then it is in the ledger, or its run is gone and it is ours.

    Raises:
        EngineError: of the first batch that failed whatever was tried; those that were being asked are kept.
    """
    with _Hands(pay, name, calls, advance) as hands:
        for number, batch in enumerate(batches):
            hands.run(number, batch)
            if len(hands.aside) >= _ASIDE:
                hands.look_again()
        while hands.finish() or hands.aside:
            hands.look_again()


class _Hands:
    """Runs batches: here, one after the other, or from a thread for each engine of the crew.

    Attributes:
        aside: batches that other runs have, with their numbers.
    """

    def __init__(self, pay: Pay, name: str, calls: Calls[Any, Any], advance: Advance) -> None:
        self.aside: list[tuple[int, Batch[Any]]] = []
        self._pay, self._name, self._calls, self._advance = pay, name, calls, advance
        self._pool = ThreadPoolExecutor(calls.at_once, "batch") if calls.at_once > 1 else None
        self._running: set[Future[None]] = set()
        self._told = 0  # batches that it was last said to wait for

    def __enter__(self) -> "_Hands":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is None:
            return
        if kind is not None and not issubclass(kind, CurationError):
            self._calls.abort()  # Ctrl-C: what is being asked fails, and no thread waits for an hour
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, number: int, batch: Batch[Any]) -> None:
        """Through `pay` where something is missing, from a thread where there are any."""
        work = partial(self._run, number, batch)
        if not batch.missing:
            work()
            return
        paid = partial(self._pay, f"{self._name} batch {number}", work)
        if self._pool is None:
            paid()
            return
        while len(self._running) >= self._calls.at_once:
            self._collect()
        # Prefect knows by the context whose task this is.
        self._running.add(self._pool.submit(copy_context().run, paid))

    def look_again(self) -> None:
        """Look once more at the batches that other runs had."""
        if not self.aside:
            return
        if len(self.aside) != self._told:  # and not once a second
            self._told = len(self.aside)
            logger.info("%s: another run is paying for %d batches; waiting for its answers", self._name, self._told)
        time.sleep(_LOOK_AGAIN)
        self._calls.refresh()
        for number, batch in [self.aside.pop(0) for _ in range(len(self.aside))]:  # threads may add to it meanwhile
            self.run(number, self._calls.looked_up_again(batch))

    def finish(self) -> bool:
        """Wait for all that is being run; whether there was any."""
        found = bool(self._running)
        while self._running:
            self._collect()
        return found

    def _run(self, number: int, batch: Batch[Any]) -> None:
        if not self._calls.run(batch, self._advance):
            self.aside.append((number, batch))

    def _collect(self) -> None:
        done, self._running = wait(self._running, return_when=FIRST_COMPLETED)
        for one in done:
            one.result()


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
