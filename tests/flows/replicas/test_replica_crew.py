"""Batches go to replicas that are free; those that die are started again, and what nobody can answer is said."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from flows.models.crew import Paid, ReplicaLostError
from flows.models.engine_calls import LOST_AT_MOST, Calls, pay_for, rebatched
from flows.replicas import crew as crews
from flows.replicas.crew import NoReplicaError, ReplicaCrew
from flows.replicas.messages import answer_to_bytes, requests_from_bytes
from flows.replicas.replica import About
from transforms.asking.ledger import Ledger
from transforms.engines.protocol import ModelIdentity, ScoreRequest, no_progress
from transforms.errors import CurationError, EngineError, ModelError
from transforms.records.manifest import SpendRecord
from transforms.tables.schema import SCORES

IDENTITY = ModelIdentity("org/model", "abc", "f" * 64, "float32", "fake")


class Elsewhere:
    """A place whose replicas are plain objects: a reward is a request's first token. `does` may raise for a batch."""

    def __init__(self, does=lambda number, requests: None, starts=lambda number: None):
        self.does, self.starts = does, starts
        self.started, self.ended, self.asked, self.dead = [], [], [], []

    def start(self, number):
        self.starts(number)
        self.started.append(number)
        return One(self, number)

    def close(self):
        pass


class One:
    def __init__(self, place, number):
        self.place, self.number, self.about = place, number, About(f"node {number}", 0.25)

    def is_alive(self):
        return self not in self.place.dead

    def ask(self, requests, progress, silent_seconds):
        asked = requests_from_bytes(requests, ScoreRequest)
        self.place.asked.append((self.number, [one.request_id for one in asked]))
        self.place.does(self.number, asked)
        progress(len(asked), 1)
        rows = [
            {"request_id": one.request_id, "reward": float(one.token_ids[0]), "tokens": 1, "objectives": None}
            for one in asked
        ]
        return answer_to_bytes(Paid(pa.Table.from_pylist(rows, schema=SCORES), len(asked), seconds=2.0))

    def end(self):
        self.place.ended.append(self.number)


def requests(count):
    return [ScoreRequest(f"r{at}", [at]) for at in range(count)]


def calls_of(tmp_path, crew):
    return Calls(
        Ledger(str(tmp_path), "scores", IDENTITY), SpendRecord.nothing(), open_engine=None, ask=None, crew=crew
    )


def retried(_name, work):
    """As a Prefect task that is tried again, without its pauses."""
    for _ in range(4):
        try:
            return work()
        except EngineError as error:
            last = error
    raise last


def no_advance(*_, **__):
    pass


def run(tmp_path, crew, count=8, size=2, pay=retried):
    calls = calls_of(tmp_path, crew)
    try:
        pay_for(pay, "score", calls, rebatched(requests(count), size, calls.ledger), no_advance)
    finally:
        calls.close()
    return calls


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(crews, "_PAUSES", (0.01, 0.02))


def test_every_batch_is_answered_once_and_whole_by_one_replica(tmp_path):
    both = threading.Barrier(2)

    def together(_number, asked):
        if asked[0].request_id in ("r0", "r2"):
            both.wait(timeout=30)  # two batches at once, or neither comes back

    place = Elsewhere(together)
    calls = run(tmp_path, ReplicaCrew("reward", lambda: place, 2))
    assert sorted(ids for _, ids in place.asked) == [["r0", "r1"], ["r2", "r3"], ["r4", "r5"], ["r6", "r7"]]
    assert sorted(place.started) == sorted(place.ended) == [0, 1]
    assert calls.ledger.fetch([f"r{at}" for at in range(8)])["reward"].to_list() == [float(at) for at in range(8)]
    assert (calls.spend.generated, calls.spend.batches, calls.spend.seconds) == (8, 4, 8.0)


def test_what_each_replica_did_adds_up_to_the_account(tmp_path):
    calls = run(tmp_path, ReplicaCrew("reward", Elsewhere, 2))
    found = calls.spend.replicas
    assert {one.name for one in found} <= {"reward-0", "reward-1"}
    assert [sum(getattr(one, name) for one in found) for name in ("batches", "requests", "tokens", "seconds")] == [
        calls.spend.batches,
        calls.spend.generated,
        calls.spend.tokens_generated,
        calls.spend.seconds,
    ]
    assert {(one.node, one.loading_seconds, one.lost) for one in found} <= {
        ("node 0", 0.25, False),
        ("node 1", 0.25, False),
    }


def test_no_more_replicas_are_started_than_batches_wait(tmp_path):
    place = Elsewhere()
    run(tmp_path, ReplicaCrew("reward", lambda: place, 8), count=2, size=2)
    assert len(place.started) == 1


def test_with_nothing_missing_no_place_is_looked_for(tmp_path):
    run(tmp_path, ReplicaCrew("reward", Elsewhere, 2))
    run(tmp_path, ReplicaCrew("reward", None, 2))  # None could not be called


def test_a_replica_that_dies_loses_its_batch_alone_and_another_takes_its_number(tmp_path):
    died = []

    def die_once(number, asked):
        if asked[0].request_id == "r2" and not died:
            died.append(number)
            raise ReplicaLostError("signal 9")

    place = Elsewhere(die_once)
    calls = run(tmp_path, ReplicaCrew("reward", lambda: place, 1))
    assert [ids[0] for _, ids in place.asked] == ["r0", "r2", "r2", "r4", "r6"]
    assert place.started == [0, 0]
    assert (calls.spend.generated, calls.spend.batches_failed, calls.refused) == (8, 1, {})
    assert [(one.batches, one.lost) for one in calls.spend.replicas] == [(1, True), (3, False)]


def test_a_batch_that_takes_three_replicas_with_it_is_given_up_and_the_others_are_answered(tmp_path):
    def die(_number, asked):
        if asked[0].request_id == "r2":
            raise ReplicaLostError("reward-0 died: signal 9")

    place = Elsewhere(die)
    calls = run(tmp_path, ReplicaCrew("reward", lambda: place, 1))
    assert [ids[0] for _, ids in place.asked] == ["r0", "r2", "r2", "r2", "r4", "r6"]
    assert LOST_AT_MOST == 3
    why = "its batch of 2 was given up after 3 replicas were lost with it: reward-0 died: signal 9"
    assert calls.refused == {"r2": why, "r3": why}
    assert calls.ledger.missing([f"r{at}" for at in range(8)]) == ["r2", "r3"]
    assert (calls.spend.requests, calls.spend.generated, calls.spend.reused, calls.spend.unanswered) == (8, 6, 0, 2)


def test_a_batch_that_was_given_up_is_not_asked_again_in_the_same_run_but_in_the_next(tmp_path):
    def die(_number, asked):
        if asked[0].request_id == "r2":
            raise ReplicaLostError("gone")

    place = Elsewhere(die)
    crew = ReplicaCrew("reward", lambda: place, 1)
    calls = calls_of(tmp_path, crew)
    for _ in range(2):
        pay_for(retried, "score", calls, rebatched(requests(8), 2, calls.ledger), no_advance)
    assert [ids[0] for _, ids in place.asked].count("r2") == 3
    calls.close()
    assert calls_of(tmp_path, crew).ledger.missing(["r2", "r3"]) == ["r2", "r3"]
    assert run(tmp_path, ReplicaCrew("reward", Elsewhere, 1)).refused == {}


def test_a_replica_that_died_between_two_batches_is_replaced_and_no_batch_is_blamed(tmp_path):
    place = Elsewhere()
    crew = ReplicaCrew("reward", lambda: place, 1)
    with crew.lend() as first:
        first.ask(requests(1), no_progress)
    place.dead.append(first._member.replica)
    calls = run(tmp_path, crew)
    assert place.started == [0, 0]
    assert (calls.spend.batches_failed, calls._lost) == (0, {})
    assert [one.lost for one in calls.spend.replicas] == [True, False]


def test_an_engine_that_fails_without_dying_is_opened_anew_and_is_not_counted_as_lost(tmp_path):
    failed = []

    def fail_once(_number, _asked):
        if not failed:
            failed.append(1)
            raise EngineError("not finite")

    place = Elsewhere(fail_once)
    calls = run(tmp_path, ReplicaCrew("reward", lambda: place, 1))
    assert place.started == [0, 0]
    assert [one.lost for one in calls.spend.replicas] == [False, False]
    assert calls.spend.batches_failed == 1


def test_a_model_that_cannot_be_loaded_ends_the_run_with_what_is_wrong(tmp_path):
    def fail(_number):
        raise ModelError("policy-0: model folder /x does not exist")

    with pytest.raises(ModelError, match="model folder /x does not exist"):
        run(tmp_path, ReplicaCrew("policy", lambda: Elsewhere(starts=fail), 2))


def test_a_replica_that_dies_while_it_loads_is_started_again(tmp_path):
    died = []

    def die_twice(number):
        if len(died) < 2:
            died.append(number)
            raise ReplicaLostError("out of memory")

    calls = run(tmp_path, ReplicaCrew("reward", lambda: Elsewhere(starts=die_twice), 1))
    assert (calls.spend.generated, calls.spend.batches_failed) == (8, 0)


def test_no_replica_for_too_long_ends_the_run_with_one_message_and_the_next_run_goes_on(tmp_path):
    asked = []

    def die_after_one_batch(_number, requests_):
        asked.append(requests_[0].request_id)
        if len(asked) > 1:
            raise ReplicaLostError("reward-0 died: the node is gone")

    def start_once(_number):
        if asked:
            raise ReplicaLostError("reward-0 died: the node is gone")

    now = iter(range(0, 10**9, 61))
    crew = ReplicaCrew(
        "reward", lambda: Elsewhere(die_after_one_batch, start_once), 1, alone_seconds=600, clock=lambda: next(now)
    )
    with pytest.raises(NoReplicaError, match=r"no replica of the reward for 10 minutes: .*the node is gone.*goes on"):
        run(tmp_path, crew)
    assert not issubclass(NoReplicaError, EngineError)  # which would be tried again
    assert run(tmp_path, ReplicaCrew("reward", Elsewhere, 1)).spend.generated == 6


def test_a_run_that_is_stopped_waits_for_no_replica_and_starts_none(tmp_path):
    hanging, ended = threading.Event(), threading.Event()

    class Hanging(One):
        def ask(self, requests, progress, silent_seconds):
            hanging.set()
            assert ended.wait(timeout=60)
            raise ReplicaLostError("ended")

        def end(self):
            super().end()
            ended.set()

    class There(Elsewhere):
        def start(self, number):
            super().start(number)
            return Hanging(self, number)

    place = There()
    calls = calls_of(tmp_path, ReplicaCrew("reward", lambda: place, 2))
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(pay_for, retried, "score", calls, rebatched(requests(2), 2, calls.ledger), no_advance)
        assert hanging.wait(timeout=60)
        calls.abort()
        with pytest.raises(CurationError, match="the run was stopped"):
            done.result(timeout=60)
    assert len(place.started) == 1


def test_a_loan_of_a_closed_crew_gives_its_replica_back_to_nobody(tmp_path):
    place = Elsewhere()
    crew = ReplicaCrew("reward", lambda: place, 1)
    with crew.lend() as one:
        crew.close()
        one.ask(requests(1), no_progress)
    with crew.lend() as one:
        one.ask(requests(1), no_progress)
    assert place.started == [0, 0]


def test_room_that_is_left_to_another_crew_is_not_taken(tmp_path):
    place = Elsewhere()
    crew = ReplicaCrew("reward", lambda: place, 8)
    crew.limit(1)
    assert crew.at_once == 1
    run(tmp_path, crew)
    assert place.started == [0]


def test_replicas_beyond_a_new_limit_are_ended(tmp_path):
    both = threading.Barrier(2)
    place = Elsewhere()
    crew = ReplicaCrew("reward", lambda: place, 8)

    def one(_):
        with crew.lend():
            both.wait(timeout=30)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, range(2)))
    assert (sorted(place.started), place.ended) == ([0, 1], [])
    crew.limit(1)
    assert len(place.ended) == 1
    run(tmp_path, crew)
    assert (sorted(place.started), sorted(place.ended)) == ([0, 1], [0, 1])
