"""Rows that prefer A to B and rows that prefer B to A: counted in any case, and dropped as the recipe says."""

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests_support import pairs_table, row

from transforms.preparation.dedupe import mark_repeats
from transforms.tables.schema import PAIRS


def vote(better, worse, number, prompt="q", **more):
    return row(prompt, better, worse, source_id=f"{number}", **more)


def outcome(rows, rule):
    """Source id → reason, and the counts."""
    marked = mark_repeats(pairs_table(*rows), order={"s": 0}, caps={}, contradictions=rule)
    reasons = dict(zip(marked.pairs["source_id"].to_pylist(), marked.pairs["reason"].to_pylist(), strict=True))
    return dict(sorted(reasons.items())), (marked.disputes, marked.disputed)


TWO_TO_ONE = [vote("a", "b", 1), vote("b", "a", 2), vote("a", "b", 3), vote("a", "c", 4), vote("b", "a", 5, prompt="p")]


@pytest.mark.parametrize(
    ("rule", "reasons"),
    [
        ("keep", [None, None, "duplicate", None, None]),
        ("drop_both", ["contradiction", "contradiction", "contradiction", None, None]),
        ("majority", [None, "contradiction", "duplicate", None, None]),
    ],
)
def test_two_votes_against_one(rule, reasons):
    found, counts = outcome(TWO_TO_ONE, rule)
    assert found == dict(zip("12345", reasons, strict=True))
    assert counts == (1, 3)


def test_a_draw_has_no_majority():
    found, counts = outcome([vote("a", "b", 1), vote("b", "a", 2)], "majority")
    assert (found, counts) == ({"1": "contradiction", "2": "contradiction"}, (1, 2))


def test_rows_that_are_dropped_anyway_neither_vote_nor_are_counted():
    rows = [vote("a", "b", 1), vote("b", "a", 2, reason="tie"), vote("b", "a", 3, reason="weight")]
    assert outcome(rows, "majority") == ({"1": None, "2": "tie", "3": "weight"}, (0, 0))


def test_sources_vote_together_and_each_keeps_its_own_cap():
    rows = [vote("a", "b", 1, source="x"), vote("b", "a", 2, source="y"), vote("b", "a", 3, source="x")]
    marked = mark_repeats(pairs_table(*rows), order={"x": 0, "y": 1}, caps={"x": 1}, contradictions="majority")
    kept = [(r["source_id"], r["reason"]) for r in marked.pairs.to_pylist()]
    assert sorted(kept) == [("1", "contradiction"), ("2", "duplicate"), ("3", None)]


def test_equal_texts_contradict_each_other_only_where_calls_and_reasoning_are_swapped_too():
    def structured(number, chosen, rejected, pair_id):
        texts = [
            f'"{side}":{{"reasoning_content":"{why}"}}' for side, why in (("chosen", chosen), ("rejected", rejected))
        ]
        return vote("a", "a", number) | {"structure": "{" + ",".join(texts) + "}", "pair_id": "0" * 16 + pair_id * 16}

    rows = [structured(1, "x", "y", "1"), structured(2, "y", "x", "2"), structured(3, "x", "z", "3")]
    found, counts = outcome(rows, "drop_both")
    assert (found, counts) == ({"1": "contradiction", "2": "contradiction", "3": None}, (1, 2))


votes = st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from("abc"), st.sampled_from("abc")), max_size=14)


@given(votes.map(lambda found: [one for one in found if one[1] != one[2]]), st.randoms())
def test_the_majority_is_that_of_a_count_whatever_the_order_of_the_rows(found, random):
    rows = [vote(better, worse, number, prompt=prompt) for number, (prompt, better, worse) in enumerate(found)]
    random.shuffle(rows)
    table = pairs_table(*rows) if rows else PAIRS.empty_table()
    marked = mark_repeats(table, order={}, caps={}, contradictions="majority")
    count = Counter(found)
    kept = {
        (prompt, better, worse)
        for prompt, better, worse in count
        if count[prompt, better, worse] > count.get((prompt, worse, better), 0)
    }
    left = marked.pairs.filter(pa.compute.is_null(marked.pairs["reason"])).to_pylist()
    assert sorted((r["prompt"][0]["content"], r["chosen"], r["rejected"]) for r in left) == sorted(kept)
    disputed = [one for one in found if (one[0], one[2], one[1]) in count]
    assert marked.disputed == len(disputed)
    assert marked.disputes == len({(p, *sorted((a, b))) for p, a, b in disputed})
