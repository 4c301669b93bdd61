"""Finished work is kept whole, found again, and never paid for twice."""

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.asking.ledger import Ledger
from transforms.engines.protocol import ModelIdentity
from transforms.errors import OutputError, SchemaError
from transforms.tables.schema import SCORES

IDENTITY = ModelIdentity("org/model", "abc", "f" * 64, "bfloat16", "fake")


def scores(**rewards):
    rows = [{"request_id": key, "reward": value, "tokens": 3} for key, value in rewards.items()]
    return pa.Table.from_pylist(rows, schema=SCORES)


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "ledger")


def ledger(root, **changes):
    return Ledger(root, "scores", dataclasses.replace(IDENTITY, **changes))


def test_missing_keeps_order_and_names_each_once(root):
    book = ledger(root)
    book.append(["b"], scores(b=1.0))
    assert book.missing(["c", "b", "a", "c"]) == ["c", "a"]


def test_a_new_process_finds_what_an_earlier_one_finished(root):
    ledger(root).append(["a", "b"], scores(a=1.0, b=2.0))
    again = ledger(root)
    assert len(again) == 2
    assert again.fetch(["b", "x"]).rows() == [("b", 2.0, 3, None)]


def test_a_part_from_before_there_were_objectives_reads_as_null(root):
    before = scores(old=1.0).drop_columns("objectives")
    book = ledger(root)
    pq.write_table(before, f"{book._folder}/part-old.parquet")
    new = pa.Table.from_pylist(
        [{"request_id": "new", "reward": 2.0, "tokens": 3, "objectives": [0.5, -1.0]}], schema=SCORES
    )
    book.append(["new"], new)
    rows = ledger(root).fetch(["old", "new"])
    assert rows.rows() == [("new", 2.0, 3, [0.5, -1.0]), ("old", 1.0, 3, None)]


def test_looking_into_a_ledger_that_is_not_there_makes_nothing_and_finds_nothing(root, tmp_path):
    looked = Ledger(root, "scores", IDENTITY, writable=False)
    assert (len(looked), looked.fetch(["a"]).rows(), list(tmp_path.iterdir())) == (0, [], [])
    ledger(root).append(["a"], scores(a=1.0))
    assert Ledger(root, "scores", IDENTITY, writable=False).fetch(["a"]).rows() == [("a", 1.0, 3, None)]


def test_a_place_where_no_folder_can_be_made_is_one_message(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot make the ledger's folder .*: Not a directory\. Set `ledger:`"):
        ledger(str(tmp_path / "file" / "ledger"))


@pytest.mark.parametrize(
    "change", [{"fingerprint": "e" * 64}, {"revision": "def"}, {"dtype": "float32"}, {"engine": "vllm"}]
)
def test_another_model_dtype_or_engine_has_a_ledger_of_its_own(root, change):
    ledger(root).append(["a"], scores(a=1.0))
    assert ledger(root, **change).missing(["a"]) == ["a"]


def test_a_renamed_local_folder_keeps_its_ledger_and_a_hub_name_does_not(root):
    ledger(root, name="policy", revision="local").append(["a"], scores(a=1.0))
    assert ledger(root, name="moved", revision="local").missing(["a"]) == []
    ledger(root, name="org/one").append(["b"], scores(b=1.0))
    assert ledger(root, name="org/two").missing(["b"]) == ["b"]


def test_a_batch_that_was_started_and_not_finished_is_counted_when_it_is_paid_again(root):
    ledger(root).start(["a", "b"])
    again = ledger(root)
    again.start(["a", "b"])
    again.append(["a", "b"], scores(a=1.0, b=2.0))
    assert again.interrupted == 1
    third = ledger(root)
    third.start(["a", "b"])
    assert third.interrupted == 0


def test_a_batch_that_its_engine_failed_is_no_interruption_when_it_is_asked_again(root):
    first = ledger(root)
    first.start(["a"])
    first.give_up(["a"])
    first.start(["a"])
    assert first.interrupted == 0


def test_two_machines_that_paid_for_the_same_id_read_the_same_answer(root):
    ledger(root).append(["a"], scores(a=2.0))
    ledger(root).append(["a", "b"], scores(a=1.0, b=5.0))
    assert ledger(root).fetch(["a"])["reward"].to_list() == [1.0]


def test_a_table_of_another_shape_is_refused(root):
    with pytest.raises(SchemaError, match="missing columns: tokens"):
        ledger(root).append(["a"], scores(a=1.0).drop_columns(["tokens"]))


def test_a_damaged_part_is_named(root, tmp_path):
    ledger(root).append(["a"], scores(a=1.0))
    [part] = tmp_path.rglob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:40])
    with pytest.raises(OutputError, match=r"part-.*requests will be paid again"):
        ledger(root)


def test_a_temporary_file_of_a_killed_process_is_no_part(root, tmp_path):
    book = ledger(root)
    book.append(["a"], scores(a=1.0))
    [part] = tmp_path.rglob("part-*.parquet")
    (part.parent / "tmp-123").write_bytes(b"half")
    assert len(ledger(root)) == 1


def test_any_fsspec_path_will_do():
    book = ledger("memory://shared/ledger")
    book.start(["a"])
    book.append(["a"], scores(a=1.0))
    assert ledger("memory://shared/ledger").fetch(["a"])["reward"].to_list() == [1.0]


def test_a_full_disk_says_what_to_do_and_leaves_no_half_part(root, monkeypatch):
    book = ledger(root)
    import fsspec.implementations.local as local

    monkeypatch.setattr(
        local.LocalFileSystem, "mv", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OutputError, match=r"No space left.*set `ledger:`"):
        book.append(["a"], scores(a=1.0))
    assert len(ledger(root)) == 0
