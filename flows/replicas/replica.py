"""What a crew knows of a replica and of where replicas come from."""

from typing import NamedTuple, Protocol

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


class Place(Protocol):
    """Where replicas of one model are started."""

    def start(self, number: int) -> Replica:
        """Start and load one; returns once it is loaded.

        Args:
            number: of the replica, from 0; the one in place of a lost one has its number.

        Raises:
            ModelError: the model cannot be loaded there.
            ReplicaLostError: it died while it loaded.
            ClosedError: `close` was called meanwhile.
        """
        ...

    def close(self) -> None:
        """End those that are being started."""
        ...
