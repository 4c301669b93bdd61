"""What a crew knows of a replica and of where replicas come from."""

import threading
from typing import Generic, NamedTuple, Protocol, TypeVar

from transforms.engines.protocol import Progress


class About(NamedTuple):
    """Where a replica runs and what loading it took."""

    node: str
    loading_seconds: float


class Replica(Protocol):
    """A loaded engine elsewhere."""

    @property
    def about(self) -> About: ...

    def is_alive(self) -> bool:
        """Whether it can be asked. It may have died since its last batch, and the next one is not to blame."""
        ...

    def ask(self, requests: bytes, progress: Progress, silent_seconds: float) -> bytes:
        """The answer to a batch.

        Args:
            requests: as `messages.requests_to_bytes` wrote them.
            progress: told of finished requests and tokens.
            silent_seconds: without a word, after which it counts as hanging.

        Raises:
            EngineError: the batch failed as a whole.
            ReplicaLostError: the replica died, or hangs.
        """
        ...

    def end(self) -> None:
        """End its process at once, whatever it does; a second call does nothing."""
        ...


class Loading(Replica, Protocol):
    """A replica that is being started."""

    def wait_until_loaded(self) -> None: ...

    def kill(self) -> None:
        """Let whoever waits for it find it dead; it is still to be ended."""
        ...


One = TypeVar("One", bound=Loading)


class Starting(Generic[One]):
    """Replicas that are being started, for them to be ended where nobody wants them any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[One] = []

    def load(self, replica: One) -> One:
        """The replica, once it is loaded; ended where it cannot be."""
        with self._lock:
            self._all.append(replica)
        try:
            replica.wait_until_loaded()
        except BaseException:
            replica.end()
            raise
        finally:
            with self._lock:
                self._all.remove(replica)
        return replica

    def kill(self) -> None:
        """Kill all of them."""
        with self._lock:
            for one in self._all:
                one.kill()


class Place(Protocol):
    """Where replicas of one model are started."""

    def start(self, number: int) -> Replica:
        """Start and load one; returns once it is loaded.

        Args:
            number: of the replica, from 0; the one in place of a lost one has its number.

        Raises:
            ModelError: the model cannot be loaded there.
            ReplicaLostError: it died while it loaded.
        """
        ...

    def close(self) -> None:
        """End those that are being started."""
        ...
