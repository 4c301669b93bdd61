"""The preference mixtures of Tülu 3 and OLMo 2. Rows are written for these tests."""

import pytest
from sources_support import ASKED, QUESTION, adapt, chat, likely, only_pair, sides, taken_from_others

from transforms.errors import RowError
from transforms.sources.canonical import Message, validate
from transforms.sources.kinds.tulu3 import OTHER_PROMPT
from transforms.sources.rows import Fields

PLAIN = {
    "id": "a1", "source": "off_policy", "prompt": QUESTION, "chosen": chat(QUESTION, "Nile, Po."),
    "rejected": chat(QUESTION, "Nile."),
}  # fmt: skip
RATED = PLAIN | {
    "chosen_rating": 4.75, "rejected_rating": 2.5, "chosen_model": "yi-34b-chat", "rejected_model": "mpt-30b-chat",
}  # fmt: skip


@pytest.mark.parametrize(("row", "scores"), [(PLAIN, (None, None)), (RATED, (4.75, 2.5))])
def test_a_row_becomes_a_pair_with_its_ratings_its_id_and_its_part(row, scores):
    adapted = adapt("tulu3", row)
    assert sides(adapted) == [("Nile, Po.", "Nile.", *scores)]
    pair = adapted.pairs[0]
    assert (pair.prompt, pair.source_id, pair.subset, pair.reason) == (ASKED, "a1", "off_policy", None)


@pytest.mark.parametrize("prompt", ["Hi.", QUESTION, f" {QUESTION}\n", None, ""])
def test_a_conversation_of_several_turns_is_the_prompt_whichever_turn_the_column_repeats(prompt):
    before = ("Hi.", "Hello!", QUESTION)
    row = Fields(PLAIN | {"prompt": prompt, "chosen": chat(*before, "a"), "rejected": chat(*before, "b")})
    pair = only_pair("tulu3", row)
    assert pair.prompt == (Message("user", "Hi."), Message("assistant", "Hello!"), *ASKED)
    assert (pair.chosen, pair.rejected, dict(row.notes())) == ("a", "b", {})


def test_a_prompt_column_that_no_user_said_is_noted_and_the_conversation_taken():
    row = Fields(PLAIN | {"prompt": "Name four rivers."})
    assert only_pair("tulu3", row).prompt == ASKED
    assert row.notes() == {OTHER_PROMPT: 1}


def test_the_pair_is_the_one_that_kind_preference_makes():
    assert only_pair("tulu3", RATED).ids == only_pair("preference", RATED).ids


@pytest.mark.parametrize(("exclude", "reason"), [(["off_policy"], "excluded"), (["on_policy"], None)])
def test_parts_are_left_out_where_asked(exclude, reason):
    assert only_pair("tulu3", PLAIN, exclude=exclude).reason == reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": chat(QUESTION, "Nile.")}, "chosen and rejected are the same text"),
        ({"rejected": chat(QUESTION, "")}, "rejected is empty"),
        ({"chosen": chat(QUESTION, " \n")}, "chosen is"),
    ],
)
def test_equal_sides_and_empty_responses_go_to_the_quarantine(change, message):
    with pytest.raises(RowError, match=message):
        validate(only_pair("tulu3", PLAIN | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": chat(QUESTION)}, "chosen ends in a user turn, expected assistant"),
        ({"rejected": []}, "rejected is empty; expected messages"),
        ({"rejected": chat("Other?", "Nile.")}, "the sides agree in their first 0 messages"),
        ({"chosen": "Nile, Po."}, "chosen is the text 'Nile, Po.', expected a list of messages"),
        ({"chosen_rating": "N/A"}, "chosen_rating is the text 'N/A', expected a number"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(change, message):
    with pytest.raises(RowError, match=message):
        adapt("tulu3", PLAIN | change)


def test_what_is_not_read_is_named():
    row = Fields(RATED)
    adapt("tulu3", row)
    assert list(row.unread_names()) == ["chosen_model", "rejected_model"]


def test_both_layouts_are_told_and_no_other_kinds_rows_are_taken():
    # Kind preference reads these rows too, and has always said so.
    assert likely(PLAIN | {"annotator": "x"}) == likely(RATED) == ["tulu3", "preference"]
    assert likely({"source": "s", **{side: PLAIN[side] for side in ("chosen", "rejected")}}) == [
        "skywork",
        "preference",
    ]
    assert taken_from_others("tulu3") == {}
