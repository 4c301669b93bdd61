"""Sorting, rechunking and rules over pairs of one prompt."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests_support import pairs_table, row

from transforms.preparation.dedupe import mark_repeats
from transforms.tables import parts as parts_module
from transforms.tables.parts import Buckets, Parts, gather, rechunk, replace_file
from transforms.tables.schema import PAIRS


def drained(folder, *tables):
    buckets = Buckets(folder, PAIRS)
    for table in tables:
        buckets.add(table)
    return list(buckets.drain())


def sorted_through_buckets(tmp_path, *tables):
    return pa.concat_tables(drained(tmp_path / "buckets", *tables))


def test_buckets_give_all_rows_sorted_whatever_order_they_came_in(tmp_path):
    rows = [row(f"q{i % 40}", f"good {i}", f"bad {i}") for i in range(200)]
    straight = sorted_through_buckets(tmp_path / "a", pairs_table(*rows))
    shuffled = sorted_through_buckets(tmp_path / "b", pairs_table(*rows[150:]), pairs_table(*rows[:150][::-1]))
    assert straight["pair_id"].to_pylist() == sorted(r["pair_id"] for r in rows)
    assert straight.equals(shuffled)


def test_large_buckets_are_dealt_out_again_and_give_the_same_order_in_smaller_tables(tmp_path, monkeypatch):
    table = pairs_table(*(row(f"q{i % 200}", f"good {i}", f"bad {i}") for i in range(2000)))
    whole = drained(tmp_path / "a", table)
    monkeypatch.setattr(parts_module, "BUCKET_BYTES", 4000)
    smaller = drained(tmp_path / "b", table)
    assert pa.concat_tables(smaller).equals(pa.concat_tables(whole))
    assert max(map(len, smaller)) < max(map(len, whole))
    assert not list((tmp_path / "b").rglob("*.arrow"))


def test_a_prompt_stays_in_one_bucket_however_small_these_are(tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "BUCKET_BYTES", 1)
    table = pairs_table(*(row(f"q{i % 5}", f"good {i}", f"bad {i}") for i in range(100)))
    tables = drained(tmp_path, table)
    prompts = [{one[:16] for one in part["pair_id"].to_pylist()} for part in tables]
    assert [len(part) for part in tables] == [20] * 5
    assert [len(found) for found in prompts] == [1] * 5


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 17))
@settings(deadline=None)
def test_rechunk_keeps_all_rows_in_order_in_tables_of_one_size(sizes, rows):
    tables = [pa.table({"x": pa.array([f"{t}.{i}" for i in range(size)], pa.string())}) for t, size in enumerate(sizes)]
    chunks = list(rechunk(tables, rows))
    assert [x for c in chunks for x in c["x"].to_pylist()] == [x for t in tables for x in t["x"].to_pylist()]
    assert all(len(c) == rows for c in chunks[:-1])


def test_gather_joins_small_tables_in_order_and_divides_none():
    tables = [pa.table({"x": [f"{t}.{i}" for i in range(size)]}) for t, size in enumerate((2, 1, 5, 1, 9, 1))]
    joined = [part["x"].to_pylist() for part in gather(tables, 4)]
    assert [len(part) for part in joined] == [8, 10, 1]
    assert [x for part in joined for x in part] == [x for table in tables for x in table["x"].to_pylist()]
    assert list(gather([], 4)) == []


def test_parts_read_back_what_was_written(tmp_path):
    parts = Parts(tmp_path / "parts")
    tables = [pairs_table(row(f"q{i}", "a", "b")) for i in range(3)]
    for number, table in enumerate(tables):
        parts.write(number, table)
    assert [p.to_pylist() for p in parts] == [t.to_pylist() for t in tables]


def test_a_part_that_cannot_be_written_whole_leaves_the_one_that_was_there(tmp_path):
    parts = Parts(tmp_path)
    parts.write(0, pairs_table(row("q", "a", "b")))

    def fails(path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(parts.path(0), fails)
    assert parts.rows(0) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["part-00000.arrow"]


def reasons(table):
    return sorted(zip(table["source_id"].to_pylist(), table["reason"].to_pylist(), strict=True), key=str)


def test_a_repeated_pair_is_kept_once_from_the_first_source_of_the_recipe():
    table = pairs_table(
        row("q", "a", "b", source="second", source_id="2"), row("q", "a", "b", source="first", source_id="1")
    )
    marked = mark_repeats(table, order={"first": 0, "second": 1}, caps={})
    assert reasons(marked.pairs) == [("1", None), ("2", "duplicate")]


def test_a_pair_that_is_dropped_anyway_does_not_push_its_equal_out():
    table = pairs_table(
        row("q", "a", "b", source="first", source_id="1", reason="weight"),
        row("q", "a", "b", source="second", source_id="2"),
    )
    marked = mark_repeats(table, order={"first": 0, "second": 1}, caps={})
    assert reasons(marked.pairs) == [("1", "weight"), ("2", None)]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_prompt_keeps_at_most_as_many_pairs_as_its_source_allows_and_order_does_not_choose(backwards):
    rows = [row("q", f"good {i}", "b", source="shp", source_id=str(i)) for i in range(7)]
    rows += [row("q", "good 0", "c", source="free", source_id="free")]
    marked = mark_repeats(
        pairs_table(*(rows[::-1] if backwards else rows)), order={"shp": 0, "free": 1}, caps={"shp": 5}
    )
    kept = {r["source_id"] for r in marked.pairs.to_pylist() if r["reason"] is None}
    first_five = sorted(rows[:7], key=lambda r: r["pair_id"])[:5]
    assert kept == {"free"} | {r["source_id"] for r in first_five}
