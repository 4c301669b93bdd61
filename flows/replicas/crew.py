"""Hands batches to replicas: starts them as needed, again when they died, and says when none are left."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Generic

from flows.models.crew import Paid, ReplicaLostError, Request
from flows.replicas.messages import answer_from_bytes, requests_to_bytes
from flows.replicas.replica import Place, Replica
from transforms.engines.protocol import Progress
from transforms.errors import CurationError, EngineError
from transforms.records.manifest import ReplicaRecord

SILENT_SECONDS: Final = 900.0
ALONE_SECONDS: Final = 1800.0
# Between two starts of a replica that died while it loaded: each time twice as long, up to the last.
_PAUSES: Final = (1.0, 30.0)

logger = logging.getLogger(__name__)


class NoReplicaError(CurationError):
    """No replica could be had for too long."""


class ReplicaCrew(Generic[Request]):
    """Replicas of one engine. See `flows.models.crew.Crew`.

    They are started when a batch waits for one, at most `most` of them, and stay until `close`.

    Args:
        role: for messages and records.
        place: where they are started; made when the first one is needed.
        most: replicas at a time.
        silent_seconds: without a word about its batch, after which a replica counts as hanging.
        alone_seconds: without any replica, after which waiting ends.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        role: str,
        place: Callable[[], Place],
        most: int,
        *,
        silent_seconds: float = SILENT_SECONDS,
        alone_seconds: float = ALONE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._role, self._make_place, self._most = role, place, most
        self._silent_seconds, self._alone_seconds, self._clock = silent_seconds, alone_seconds, clock
        self._changed = threading.Condition()
        self._team = _Team()
        self._records: list[ReplicaRecord] = []

    @property
    def at_once(self) -> int:
        """As many as there may be replicas."""
        return self._most

    def limit(self, most: int) -> None:
        """Have so many replicas at most from now on, to leave room for those of another crew.

        Those that are free and too many are ended.
        """
        with self._changed:
            self._most = min(self._most, most)
            team = self._team
            surplus = team.free[: max(0, len(team.all) + len(team.starting) - self._most)]
            for member in surplus:
                team.free.remove(member)
                team.all.remove(member)
        for member in surplus:
            member.replica.end()

    @property
    def records(self) -> tuple[ReplicaRecord, ...]:
        """Every replica that was loaded, in that order."""
        with self._changed:
            return tuple(one.model_copy() for one in self._records)

    @contextmanager
    def lend(self) -> Iterator["_Loan[Request]"]:
        """A replica that is loaded and free; see `Crew`."""
        team, member = self._take()
        while not member.replica.is_alive():
            self._drop(team, member, lost=True)
            team, member = self._take()
        loan: _Loan[Request] = _Loan(member, self._silent_seconds, self._changed)
        try:
            yield loan
        finally:
            if loan.failure is None:
                with self._changed:
                    team.last_seen = self._clock()
                    team.free.append(member)
                    self._changed.notify_all()
            else:  # also one that lives: after a failure an engine is opened anew
                self._drop(team, member, lost=isinstance(loan.failure, ReplicaLostError))

    def close(self) -> None:
        """End every replica; see `Crew`."""
        with self._changed:
            team, self._team = self._team, _Team()
            team.closed = True
            members = list(team.all)
            place, team.place = team.place, None
            self._changed.notify_all()
        if place is not None:
            place.close()
        for member in members:
            member.replica.end()
            if member.record.batches:
                logger.info(told(member.record))

    def _take(self) -> "tuple[_Team, _Member]":
        with self._changed:
            team = self._team
            if team.last_seen is None:
                team.last_seen = self._clock()
            team.waiting += 1
            try:
                while True:
                    if team.closed:
                        message = f"the {self._role}'s replicas were closed while a batch waited for one"
                        raise EngineError(message)
                    if team.failure is not None:
                        raise team.failure
                    if team.free:
                        return team, team.free.pop()
                    self._start_more(team)
                    self._check_alone(team)
                    self._changed.wait(timeout=1.0)
            finally:
                team.waiting -= 1

    def _start_more(self, team: "_Team") -> None:
        """Begin to load one for each batch that waits, as far as there may be so many."""
        if team.place is None:
            team.place = self._make_place()
        while len(team.all) + len(team.starting) < self._most and len(team.starting) < team.waiting:
            number = min(set(range(self._most)) - team.starting - {member.number for member in team.all})
            team.starting.add(number)
            threading.Thread(target=self._start, args=(team, team.place, number), daemon=True).start()

    def _start(self, team: "_Team", place: Place, number: int) -> None:
        """Load one, however often it dies; what no replica can load ends the run."""
        pause = _PAUSES[0]
        while True:
            try:
                replica = place.start(number)
            except ReplicaLostError as error:
                with self._changed:
                    team.trouble = str(error)
                    if team.closed:
                        return
                    self._changed.notify_all()
                logger.warning("%s", error)
                with self._changed:
                    if self._changed.wait_for(lambda: team.closed, timeout=pause):
                        return
                pause = min(2 * pause, _PAUSES[1])
            except CurationError as error:
                with self._changed:
                    team.failure = error
                    team.starting.discard(number)
                    self._changed.notify_all()
                return
            else:
                break
        record = ReplicaRecord(
            name=f"{self._role}-{number}",
            node=replica.about.node,
            loading_seconds=round(replica.about.loading_seconds, 3),
        )
        with self._changed:
            team.starting.discard(number)
            if not team.closed:
                member = _Member(number, replica, record)
                self._records.append(record)
                team.all.append(member)
                team.free.append(member)
                team.last_seen = self._clock()
                self._changed.notify_all()
                logger.info("%s is loaded on %s (%.0f s)", record.name, record.node, record.loading_seconds)
                return
        replica.end()

    def _check_alone(self, team: "_Team") -> None:
        since = self._clock() if team.last_seen is None else team.last_seen
        if team.all or self._clock() - since < self._alone_seconds:
            return
        message = (
            f"no replica of the {self._role} for {self._alone_seconds / 60:.0f} minutes: "
            f"{team.trouble or 'none came up; the cluster may have no room for one'}. What was answered is in the "
            "ledger, and the next run goes on from it"
        )
        team.failure = NoReplicaError(message)
        raise team.failure

    def _drop(self, team: "_Team", member: "_Member", *, lost: bool) -> None:
        member.replica.end()
        with self._changed:
            if member in team.all:
                team.all.remove(member)
            member.record.lost = lost and not team.closed
            if not team.all:
                team.last_seen = self._clock()
            self._changed.notify_all()


def told(record: ReplicaRecord) -> str:
    """What a replica did, in a line."""
    speed = record.tokens / record.seconds if record.seconds else 0.0
    return (
        f"{record.name} on {record.node}: {record.batches:,} batches, {record.requests:,} requests, "
        f"{record.tokens:,} tokens, {speed:,.0f} tokens/s, {record.seconds:,.0f} s of answering"
        + (", lost" if record.lost else "")
    )


@dataclass
class _Member:
    number: int
    replica: Replica
    record: ReplicaRecord


@dataclass
class _Team:
    """The replicas between two `close`s; what outlives one may not touch the next."""

    place: Place | None = None
    all: list[_Member] = field(default_factory=list)
    free: list[_Member] = field(default_factory=list)
    starting: set[int] = field(default_factory=set)
    waiting: int = 0
    closed: bool = False
    failure: CurationError | None = None
    trouble: str = ""
    last_seen: float | None = None  # when there was a replica


class _Loan(Generic[Request]):
    """A replica while it has a batch. See `Lent`."""

    def __init__(self, member: _Member, silent_seconds: float, lock: Any) -> None:
        self._member, self._silent_seconds, self._lock = member, silent_seconds, lock
        self.failure: BaseException | None = None

    def ask(self, requests: Sequence[Request], progress: Progress) -> Paid:
        """The replica's answer."""
        member = self._member
        try:
            answer = member.replica.ask(requests_to_bytes(requests), progress, self._silent_seconds)
        except BaseException as error:
            self.failure = error
            raise
        paid = answer_from_bytes(answer)
        with self._lock:
            record = member.record
            record.batches += 1
            record.requests += len(requests)
            record.tokens += paid.tokens
            record.seconds = round(record.seconds + (paid.seconds or 0.0), 3)
        return paid
