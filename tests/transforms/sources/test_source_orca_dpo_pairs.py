"""Orca's DPO pairs, as Intel made them and as Argilla rated them. Rows are written for these tests."""

import pytest
from sources_support import ASKED, QUESTION, adapt, likely, only_pair, sides, taken_from_others

from transforms.errors import RowError
from transforms.sources.canonical import Message
from transforms.sources.kinds.orca_dpo_pairs import UNRATED
from transforms.sources.rows import Fields

INTEL = {"system": "", "question": QUESTION, "chosen": "Nile, Po.", "rejected": "Nile."}
RATED = {
    "system": "Be brief.", "input": QUESTION, "chosen": "Nile, Po.", "rejected": "Nile.",
    "generations": ["Nile.", "Nile, Po."], "order": ["rejected", "chosen"], "labelling_model": "gpt-4",
    "labelling_prompt": [{"role": "system", "content": "Rate."}], "raw_labelling_response": "4 9", "rating": [4.0, 9.0],
    "rationale": "r", "status": "unchanged", "original_chosen": "Nile, Po.", "original_rejected": "Nile.",
    "chosen_score": 9.0, "in_gsm8k_train": False,
}  # fmt: skip
SWAPPED = RATED | {
    "chosen": "Nile.", "rejected": "Nile, Po.", "status": "swapped", "rating": [8, 5], "chosen_score": 8,
}  # fmt: skip
TIED = RATED | {"status": "tie", "rating": [7.0, 7.0], "chosen_score": 7.0}
UNRATED_TIE = RATED | {"status": "tie", "rating": None, "chosen_score": None}


def test_intels_rows_have_no_scores_and_an_empty_system_prompt_is_none():
    adapted = adapt("orca_dpo_pairs", INTEL)
    assert sides(adapted) == [("Nile, Po.", "Nile.", None, None)]
    assert (adapted.pairs[0].prompt, adapted.pairs[0].reason) == (ASKED, None)


def test_a_system_prompt_comes_first():
    assert only_pair("orca_dpo_pairs", INTEL | {"system": "Be brief."}).prompt == (
        Message("system", "Be brief."),
        *ASKED,
    )


@pytest.mark.parametrize(
    "question", ["Human: hi", "\n\nHuman: hi\n\nAssistant: ho", '[{"role": "user", "content": "q"}]']
)
def test_a_question_is_one_user_turn_whatever_it_looks_like(question):
    assert only_pair("orca_dpo_pairs", INTEL | {"question": question}).prompt == (Message("user", question),)


@pytest.mark.parametrize(
    ("row", "pair"),
    [
        (RATED, ("Nile, Po.", "Nile.", 9.0, 4.0)),
        (SWAPPED, ("Nile.", "Nile, Po.", 8.0, 5.0)),
        (RATED | {"chosen_score": None}, ("Nile, Po.", "Nile.", 9.0, 4.0)),
        (RATED | {"rating": None}, ("Nile, Po.", "Nile.", 9.0, None)),
        (RATED | {"rating": None, "rejected_score": 2}, ("Nile, Po.", "Nile.", 9.0, 2.0)),
    ],
)
def test_ratings_belong_to_generations_and_not_to_chosen_and_rejected(row, pair):
    adapted = adapt("orca_dpo_pairs", row)
    assert sides(adapted) == [pair]
    assert (adapted.pairs[0].prompt, adapted.pairs[0].reason) == ((Message("system", "Be brief."), *ASKED), None)


def test_a_side_that_was_not_rated_has_no_score_and_is_noted():
    row = Fields(RATED | {"rejected": "Der Nil."})
    assert sides(adapt("orca_dpo_pairs", row)) == [("Nile, Po.", "Der Nil.", 9.0, None)]
    assert row.notes() == {UNRATED: 1}


@pytest.mark.parametrize(("row", "scores"), [(TIED, (7.0, 7.0)), (UNRATED_TIE, (None, None))])
def test_a_tie_is_dropped_unless_it_is_to_be_kept_without_scores(row, scores):
    pair = only_pair("orca_dpo_pairs", row)
    assert (pair.reason, pair.chosen_score, pair.rejected_score) == ("tie", *scores)
    pair = only_pair("orca_dpo_pairs", row, ties="keep")
    assert (pair.reason, pair.chosen, pair.chosen_score, pair.rejected_score) == (None, "Nile, Po.", None, None)


@pytest.mark.parametrize(
    ("row", "options", "reason"),
    [
        (RATED, {"min_chosen_score": 9}, None),
        (RATED, {"min_chosen_score": 9.5}, "min_chosen_score"),
        (INTEL, {"min_chosen_score": 1}, "min_chosen_score"),
        (TIED, {"min_chosen_score": 8}, "tie"),
        (TIED, {"min_chosen_score": 8, "ties": "keep"}, "min_chosen_score"),
        (RATED, {"exclude_gsm8k": True}, None),
        (RATED | {"in_gsm8k_train": True}, {}, None),
        (RATED | {"in_gsm8k_train": True}, {"exclude_gsm8k": True}, "excluded"),
        (TIED | {"in_gsm8k_train": True}, {"exclude_gsm8k": True, "ties": "keep"}, "excluded"),
        (INTEL, {"exclude_gsm8k": True}, None),
    ],
)
def test_what_the_recipe_leaves_out_is_dropped_with_its_reason(row, options, reason):
    assert only_pair("orca_dpo_pairs", row, **options).reason == reason


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        (RATED | {"status": "tie"}, {}, r"status is tie and the ratings are 9 \(chosen\) and 4 \(rejected\)"),
        (TIED | {"status": "unchanged"}, {}, r"status is unchanged and the ratings are 7 \(chosen\) and 7"),
        (
            RATED | {"rating": [9, 4], "chosen_score": 4}, {},
            r"the ratings are 4 \(chosen\) and 9 \(rejected\), expected the higher one for chosen",
        ),
        (RATED | {"chosen_score": 4}, {}, "chosen_score is 4 and the rating of chosen 9.0, expected the same"),
        (RATED | {"status": "kept"}, {}, "status is the text 'kept', expected tie, unchanged or swapped"),
        (RATED | {"rating": [9]}, {}, "rating has 1 and generations 2, expected two of each"),
        (RATED | {"generations": None}, {}, "rating has 2 and generations null, expected two of each"),
        (RATED | {"rating": ["N/A", 9.0]}, {}, r"rating\[0\] is the text 'N/A', expected a number"),
        (RATED | {"in_gsm8k_train": "no"}, {"exclude_gsm8k": True}, "in_gsm8k_train is the text 'no', expected true"),
        (INTEL | {"system": 1}, {}, "system is 1, expected the system prompt as text"),
    ],
)  # fmt: skip
def test_rows_that_contradict_themselves_are_refused(row, options, message):
    with pytest.raises(RowError, match=message):
        adapt("orca_dpo_pairs", row, **options)


def test_what_is_not_read_is_named():
    row = Fields(RATED)
    adapt("orca_dpo_pairs", row)
    assert list(row.unread_names()) == [
        "order", "labelling_model", "labelling_prompt", "raw_labelling_response", "rationale", "original_chosen",
        "original_rejected", "in_gsm8k_train",
    ]  # fmt: skip
    row = Fields(INTEL)
    adapt("orca_dpo_pairs", row)
    assert list(row.unread_names()) == []


def test_both_layouts_are_told_from_pairs_with_a_prompt_column_and_no_other_kinds_rows_are_taken():
    # Kind preference has always said that a row with text on both sides may be its own.
    assert likely(INTEL | {"annotator": "x"}) == likely(RATED) == ["orca_dpo_pairs", "preference"]
    assert likely({"system": "s", "prompt": "q", "chosen": "a", "rejected": "b"}) == ["preference"]
    assert taken_from_others("orca_dpo_pairs") == {}
