"""Runs that share a ledger do not pay for the same batch, and wait for nobody who is gone."""

import json
import os
import subprocess
import sys
import uuid

import fsspec
import pyarrow as pa
import pytest

from transforms.asking import leases
from transforms.asking.leases import LEASE_SECONDS, Leases
from transforms.asking.ledger import Ledger
from transforms.engines.protocol import ModelIdentity
from transforms.tables.schema import SCORES

IDENTITY = ModelIdentity("org/model", "abc", "f" * 64, "bfloat16", "fake")
ELSEWHERE = {"place": "another machine", "pid": 1, "began": 1.0, "lease": "theirs"}


def scores(**rewards):
    return pa.Table.from_pylist(
        [{"request_id": k, "reward": v, "tokens": 3} for k, v in rewards.items()], schema=SCORES
    )


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture(params=["local", "memory"])
def place(request, tmp_path):
    if request.param == "local":
        return fsspec.filesystem("file"), str(tmp_path)
    folder = f"/{uuid.uuid4().hex}"
    fs = fsspec.filesystem("memory")
    fs.makedirs(folder)
    return fs, folder


def write(place, note):
    fs, folder = place
    fs.pipe_file(f"{folder}/started-b.json", note if isinstance(note, bytes) else json.dumps(note).encode())


def test_one_of_two_runs_has_a_batch_until_it_gives_it_back(place):
    one, other = Leases(*place), Leases(*place)
    assert (one.take("b", 2), other.take("b", 2)) == ("new", "held")
    one.give_back("b")
    assert other.take("b", 2) == "new"
    assert one.take("b", 2) == "held"


def test_a_lease_that_was_let_go_was_begun_by_a_run_that_is_gone(place):
    one = Leases(*place)
    one.take("b", 2)
    one.let_go("b")
    assert Leases(*place).take("b", 2) == "left"


def test_a_lease_of_a_process_that_lives_is_held_and_that_of_a_dead_one_is_free_at_once(tmp_path):
    place = fsspec.filesystem("file"), str(tmp_path)
    take = "import fsspec, sys; from transforms.asking.leases import Leases"
    take += "; one = Leases(fsspec.filesystem('file'), sys.argv[1]); print(one.take('b', 2), flush=True); input()"
    command = [sys.executable, "-c", take, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip() == "new"
        assert Leases(*place).take("b", 2) == "held"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and its parent has not asked yet
        assert Leases(*place).take("b", 2) == "left"


def test_a_process_with_the_number_of_a_dead_one_is_not_taken_for_it(place):
    one = Leases(*place)
    one.take("b", 2)
    fs, folder = place
    note = json.loads(fs.cat_file(f"{folder}/started-b.json"))
    one.let_go("b")
    parent = os.getppid()
    write(place, note | {"pid": parent, "began": leases._began(parent) - 60})
    assert Leases(*place).take("b", 2) == "left"
    write(place, note | {"pid": parent, "began": leases._began(parent)})
    assert Leases(*place).take("b", 2) == "held"


def test_a_lease_of_another_machine_ends_when_it_is_not_renewed_for_long(place):
    clock = Clock()
    mine = Leases(*place, clock=clock)
    write(place, ELSEWHERE | {"at": 1})
    assert mine.take("b", 2) == "held"
    clock.now = LEASE_SECONDS - 1
    assert mine.take("b", 2) == "held"
    write(place, ELSEWHERE | {"at": 2})  # renewed: it is counted from here
    assert mine.take("b", 2) == "held"
    clock.now += LEASE_SECONDS - 1
    assert mine.take("b", 2) == "held"
    clock.now += 1
    assert mine.take("b", 2) == "left"


def test_a_torn_lease_is_waited_for_as_one_of_another_machine(place):
    clock = Clock()
    mine = Leases(*place, clock=clock)
    write(place, b'{"requests": 2, "at"')
    assert mine.take("b", 2) == "held"
    clock.now = LEASE_SECONDS
    assert mine.take("b", 2) == "left"


def test_a_mark_of_a_release_without_leases_is_a_run_that_is_gone(place):
    write(place, {"requests": 2, "at": 1.0, "pid": os.getpid()})
    assert Leases(*place).take("b", 2) == "left"


def test_a_renewal_writes_the_time_and_brings_back_no_lease_that_was_given_back(place):
    fs, folder = place
    mine = Leases(*place)
    mine.take("b", 2)
    before = json.loads(fs.cat_file(f"{folder}/started-b.json"))
    assert mine.renew() is True
    after = json.loads(fs.cat_file(f"{folder}/started-b.json"))
    assert after["at"] > before["at"]
    assert {k: v for k, v in after.items() if k != "at"} == {k: v for k, v in before.items() if k != "at"}
    mine.give_back("b")
    assert mine.renew() is False
    assert not fs.exists(f"{folder}/started-b.json")


def test_a_held_lease_is_renewed_by_itself(place):
    fs, folder = place
    mine = Leases(*place, seconds=0.03)
    mine.take("b", 2)
    before = fs.cat_file(f"{folder}/started-b.json")
    while fs.cat_file(f"{folder}/started-b.json") == before:
        pass  # the test's own time limit ends this
    mine.give_back("b")


def test_a_batch_that_another_run_has_is_not_started_and_one_that_it_finished_is_known(tmp_path):
    one, other = (Ledger(str(tmp_path), "scores", IDENTITY) for _ in range(2))
    assert one.start(["a", "b"])
    assert not other.start(["a", "b"])
    assert other.missing(["a", "b"]) == ["a", "b"]
    one.append(["a", "b"], scores(a=1.0, b=2.0))
    assert not other.start(["a", "b"])
    assert other.missing(["a", "b"]) == []
    assert not list(tmp_path.rglob("started-*"))
    assert other.interrupted == 0


def test_a_batch_whose_answers_were_not_kept_may_be_asked_again(tmp_path):
    book = Ledger(str(tmp_path), "scores", IDENTITY)
    book.start(["a", "b"])
    book.append(["a", "b"], scores())  # none of them was a number
    assert book.start(["a", "b"])
    book.append(["a", "b"], scores(a=1.0))
    assert Ledger(str(tmp_path), "scores", IDENTITY).missing(["a", "b"]) == ["b"]


def test_of_two_runs_that_both_paid_the_first_ones_answers_count(tmp_path):
    one, other = (Ledger(str(tmp_path), "scores", IDENTITY) for _ in range(2))
    one.append(["a"], scores(a=2.0))
    other.append(["a"], scores(a=1.0))
    assert Ledger(str(tmp_path), "scores", IDENTITY).fetch(["a"])["reward"].to_list() == [2.0]


def test_what_others_have_finished_is_learnt_by_reading_their_parts_alone(tmp_path, monkeypatch):
    one, other = (Ledger(str(tmp_path), "scores", IDENTITY) for _ in range(2))
    one.append(["a"], scores(a=1.0))
    other.refresh()
    one.append(["b"], scores(b=1.0))
    read = []
    whole = other._dataset
    monkeypatch.setattr(other, "_dataset", lambda parts: read.extend(parts) or whole(parts))
    other.refresh()
    assert len(read) == 1
    assert other.missing(["a", "b", "c"]) == ["c"]
