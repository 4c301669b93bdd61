"""Who answers batches: the one engine in this process, or replicas of it elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, NamedTuple, Protocol, TypeVar

import pyarrow as pa

from transforms.engines.protocol import Progress
from transforms.errors import CurationError, EngineError
from transforms.records.manifest import ReplicaRecord


class Identified(Protocol):
    """What every request has."""

    @property
    def request_id(self) -> str: ...


class Closable(Protocol):
    """What every engine can do."""

    def close(self) -> None: ...


Request = TypeVar("Request", bound=Identified)
Asked = TypeVar("Asked", bound=Identified, contravariant=True)
Engine = TypeVar("Engine", bound=Closable)


class Paid(NamedTuple):
    """What an engine answered for a batch: rows for the ledger, and tokens for the account."""

    rows: pa.Table
    tokens: int
    cached_prompt_tokens: int = 0
    prompt_tokens: int = 0  # where they are paid for
    seconds: float | None = None  # of the engine, where who waits for it waits for more


class ReplicaLostError(EngineError):
    """The process that was asked for a batch died, or said nothing for too long. Another may be asked.

    Args:
        brief: what happened, without anything of a machine: it may be published with a quarantine.
        details: what helps whoever runs it.
    """

    def __init__(self, brief: str, details: str = "") -> None:
        super().__init__(brief + details)
        self.brief = brief


class Lent(Protocol[Asked]):
    """An engine that answers one batch."""

    def ask(self, requests: Sequence[Asked], progress: Progress) -> Paid:
        """Rows for the ledger, all of the batch.

        Raises:
            EngineError: the batch failed as a whole; it may be asked again.
            ReplicaLostError: likewise, and it may be the batch that killed who was asked.
        """
        ...


class Crew(Protocol[Asked]):
    """Engines of one model, each of which answers a batch at a time."""

    @property
    def at_once(self) -> int:
        """Batches that may be asked at the same time, each from a thread of its own."""
        ...

    def limit(self, most: int) -> None:
        """Have so many engines at most from now on."""
        ...

    @property
    def records(self) -> tuple[ReplicaRecord, ...]:
        """What each replica did so far; none of an engine in this process."""
        ...

    def lend(self) -> AbstractContextManager[Lent[Asked]]:
        """An engine that is loaded and free; waits for one.

        Raises:
            ModelError: the model cannot be loaded.
            CurationError: there is none, and none to be expected.
        """
        ...

    def close(self) -> None:
        """Unload every engine. What is being asked fails; the next `lend` loads anew."""
        ...


class OneHere(Generic[Request, Engine]):
    """A `Crew` of one engine in this process, loaded at the first batch, and anew after it failed.

    Args:
        open_engine: loads the model.
        ask: sends the missing requests.
    """

    def __init__(
        self, open_engine: Callable[[], Engine], ask: Callable[[Engine, Sequence[Request], Progress], Paid]
    ) -> None:
        self._open_engine = open_engine
        self._ask = ask
        self._engine: Engine | None = None

    @property
    def at_once(self) -> int:
        """One after the other."""
        return 1

    def limit(self, most: int) -> None:
        """There is one in any case."""

    @property
    def records(self) -> tuple[ReplicaRecord, ...]:
        """None: the stage's account is the engine's."""
        return ()

    @contextmanager
    def lend(self) -> Iterator["OneHere[Request, Engine]"]:
        """Itself; see `Crew`."""
        self.open()
        yield self

    def ask(self, requests: Sequence[Request], progress: Progress) -> Paid:
        """Answer here; see `Lent`."""
        try:
            return self._ask(self.open(), requests, progress)
        except CurationError:
            self.close()
            raise

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
