"""Which part holds which answer: against a plain dictionary, and what a ledger reads of its files."""

from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.asking.ledger import Ledger
from transforms.asking.ledger_index import LedgerIndex, bits_of
from transforms.engines.protocol import ModelIdentity
from transforms.errors import OutputError
from transforms.tables.schema import SCORES

IDENTITY = ModelIdentity("m", "local", "0", "float32", "fake")
# Ids of requests, of which some share their first 64 bits, and any other text.
DIGITS = st.builds(lambda a, b: f"{a:016x}{b:016x}", st.integers(0, 3), st.integers(0, 3))
IDS = st.one_of(DIGITS, st.text(max_size=3), st.text("ABCDEF0123456789 ", min_size=32, max_size=32))


def scores(*ids, reward=0.0):
    rows = {name: [None] * len(ids) for name in SCORES.names}
    rows |= {"request_id": list(ids), "reward": [reward] * len(ids), "tokens": [4] * len(ids)}
    return pa.table([pa.array(rows[one.name], one.type) for one in SCORES], schema=SCORES)


@given(
    st.lists(st.lists(IDS, unique=True, max_size=5), max_size=12),
    st.lists(IDS, unique=True),
    st.sets(st.integers(0, 11)),
)
def test_an_index_finds_what_a_dictionary_finds_also_after_parts_are_gone(batches, asked, gone):
    index = LedgerIndex()
    for part, batch in enumerate(batches):
        index.add(bits_of(batch), part)
    for left_out in (set(), gone):
        index.forget(sorted(left_out))
        expected = {
            (place, part)
            for place, key in enumerate(asked)
            for part, batch in enumerate(batches)
            if key in batch and part not in left_out
        }
        found = index.find(asked)
        assert sorted(zip(found.asked.tolist(), found.parts.tolist(), strict=True)) == sorted(expected)
    assert len(index) == sum(len(batch) for part, batch in enumerate(batches) if part not in gone)


def test_bits_are_those_of_the_digits_and_other_texts_count_by_their_hash():
    high, low = bits_of(["00000000000000ff8000000000000000", "b" * 32])
    assert high.tolist() == [0xFF, 0xBBBBBBBBBBBBBBBB]
    assert low.tolist() == [1 << 63, 0xBBBBBBBBBBBBBBBB]
    high, low = bits_of(["B" * 32])  # another id than with small letters
    assert (int(high[0]) << 64) + int(low[0]) == int.from_bytes(blake2b(b"B" * 32, digest_size=16).digest(), "big")
    assert [len(one) for one in bits_of([])] == [0, 0]


def test_batches_that_are_added_one_by_one_leave_few_runs_to_look_through():
    index = LedgerIndex()
    for part in range(1000):
        index.add(bits_of([f"{part:032x}"]), part)
    assert len(index._runs) <= 10  # each more than twice as long as the next
    assert index.find([f"{999:032x}", f"{1000:032x}"]).parts.tolist() == [999]
    assert all(np.all(np.diff(run.high.astype(float)) >= 0) for run in index._runs)


def test_a_fetch_reads_the_parts_that_hold_its_ids_and_no_other(tmp_path, monkeypatch):
    book = Ledger(str(tmp_path), "scores", IDENTITY)
    for number in range(5):
        book.append([f"id{number}"], scores(f"id{number}", reward=float(number)))
    read = []
    whole = book._dataset
    monkeypatch.setattr(book, "_dataset", lambda parts: read.append(len(parts)) or whole(parts))
    assert book.fetch(["id3", "id1", "nowhere"])["reward"].to_list() == [1.0, 3.0]
    assert read == [2]


def test_a_fetch_sees_what_another_run_has_finished_since_and_not_what_is_gone(tmp_path):
    one, other = (Ledger(str(tmp_path), "scores", IDENTITY) for _ in range(2))
    one.append(["a"], scores("a", reward=2.0))
    assert other.fetch(["a"])["reward"].to_list() == [2.0]
    one.append(["a", "b"], scores("a", "b", reward=1.0))  # paid once more elsewhere: the smallest answer wins
    assert other.fetch(["a"])["reward"].to_list() == [1.0]
    for path in tmp_path.rglob("part-*"):
        if pq.read_table(path).num_rows == 2:
            path.unlink()
    assert other.fetch(["a", "b"])["reward"].to_list() == [2.0]
    assert other.missing(["a", "b"]) == ["b"]


def test_a_part_that_could_not_be_read_is_read_when_it_is_whole(tmp_path):
    one, other = (Ledger(str(tmp_path), "scores", IDENTITY) for _ in range(2))
    one.append(["a"], scores("a"))
    [part] = tmp_path.rglob("part-*")
    whole = part.read_bytes()
    part.write_bytes(b"half")
    with pytest.raises(OutputError, match="cannot be read"):
        other.refresh()
    part.write_bytes(whole)
    other.refresh()
    assert other.missing(["a"]) == []
