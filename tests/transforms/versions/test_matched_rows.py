"""Which rows of two versions are one pair."""

import polars as pl
from difference_support import dropped, frame, row
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from transforms.versions.matched_rows import match_rows
from transforms.versions.version_rows import ROWS


def changes(old, new):
    found = match_rows(old, new)
    return sorted(found["change"].to_list())


def lost(number, **columns):
    """A quarantined row without a pair."""
    nothing = dict.fromkeys(ROWS.names())
    known = {"source": "one", "source_id": f"row-{number}", "place": "quarantine", "outcome": "quarantine"}
    return pl.DataFrame([{**nothing, **known, "reason": "load", **columns}], schema=ROWS)


def test_equal_texts_are_the_same_pair_wherever_they_come_from():
    assert changes(frame(row(1)), frame(row(1, source="two", source_id="9"))) == ["same"]


def test_another_outcome_is_another_verdict():
    found = match_rows(frame(row(1)), frame(dropped(1)))
    assert found.select("change", "outcome_old", "outcome_new").row(0) == ("verdict", "keep", "drop")


def test_another_text_of_the_same_row_and_prompt_is_a_rewritten_pair():
    assert changes(frame(row(1)), frame(row(1, chosen="better"))) == ["rewritten"]


def test_where_row_ids_are_hashes_the_only_pair_of_a_prompt_is_the_rewritten_one():
    assert changes(frame(row(1)), frame(row(1, chosen="better", source_id="hash"))) == ["rewritten"]


def test_of_several_pairs_of_a_prompt_nobody_can_say_which_was_rewritten():
    old = frame(row(1, source_id="a"), row(1, chosen="fine", source_id="b"))
    new = frame(row(1, chosen="better", source_id="c"), row(1, chosen="best", source_id="d"))
    assert changes(old, new) == ["added", "added", "removed", "removed"]


def test_another_prompt_is_another_pair_even_of_the_same_row():
    assert changes(frame(row(1)), frame(row(1, prompt="other"))) == ["added", "removed"]


def test_a_quarantined_row_that_gives_a_pair_now_is_found_by_its_source():
    found = match_rows(lost(1), frame(row(1)))
    assert found.select("change", "outcome_old", "outcome_new").rows() == [("verdict", "quarantine", "keep")]
    assert changes(lost(1), lost(1)) == ["same"]
    assert changes(lost(1), frame(row(2))) == ["added", "removed"]


def test_versions_without_a_common_row_are_all_coming_and_going():
    assert changes(frame(row(1), row(2)), frame(row(3))) == ["added", "removed", "removed"]


def test_empty_versions_match_nothing():
    assert match_rows(ROWS.to_frame(), ROWS.to_frame()).height == 0
    assert changes(ROWS.to_frame(), frame(row(1))) == ["added"]


SOME = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"])), max_size=6, unique=True
)


@settings(max_examples=25)
@given(SOME, SOME, st.randoms())
def test_every_row_is_in_one_place_and_no_order_matters(old, new, random):
    def rows(some):
        found = {}
        for number, text, where in some:
            found.setdefault((number, text), row(number, chosen=text, source=where))
        return list(found.values())

    before, now = rows(old), rows(new)
    found = match_rows(frame(*before), frame(*now))
    for side, mine in (("old", before), ("new", now)):
        assert sorted(found[f"pair_id_{side}"].drop_nulls()) == sorted(one["pair_id"] for one in mine)
    random.shuffle(before)
    random.shuffle(now)
    assert_frame_equal(found, match_rows(frame(*before), frame(*now)))
