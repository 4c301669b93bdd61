"""Nectar: seven ranked answers to a transcript. Rows are written for these tests."""

import copy

import pytest
from pydantic import ValidationError
from sources_support import ASKED, adapt, likely, only_pair, sides, taken_from_others

from transforms.errors import RowError
from transforms.sources.canonical import Message
from transforms.sources.kinds.nectar import REPEATED
from transforms.sources.rows import Fields

PROMPT = "\n\nHuman: Name three rivers.\n\nAssistant: "


def answer(text, rank):
    return {"answer": text, "model": f"m-{text}", "rank": rank}


ROW = {
    "prompt": PROMPT, "answers": [answer("c", 3.0), answer("a", 1.0), answer("d", 4.5), answer("b", 2.0)],
    "turns": 1, "num_responses": 4, "source": ["sharegpt"], "good_natured": True,
}  # fmt: skip


def test_the_best_rank_is_chosen_against_the_worst_and_scores_are_minus_the_rank():
    adapted = adapt("nectar", ROW)
    assert sides(adapted) == [("a", "d", -1.0, -4.5)]
    assert (adapted.pairs[0].prompt, adapted.pairs[0].subset, adapted.pairs[0].reason) == (ASKED, "sharegpt", None)


def test_all_answers_stay_as_responses_in_their_order():
    row = {**ROW, "answers": [*ROW["answers"], answer("", 6.0), answer("e", None)]}
    assert [(one.index, one.text, one.model, one.score) for one in adapt("nectar", row).responses] == [
        (0, "c", "m-c", -3.0), (1, "a", "m-a", -1.0), (2, "d", "m-d", -4.5), (3, "b", "m-b", -2.0),
        (4, "", "m-", -6.0), (5, "e", "m-e", None),
    ]  # fmt: skip


def test_all_pairs_are_every_two_with_the_better_rank_chosen():
    found = [(one[0], one[1]) for one in sides(adapt("nectar", ROW, pairing="all_pairs"))]
    assert found == [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]


def test_a_random_other_is_the_same_whatever_order_the_answers_are_in():
    turned = {**ROW, "answers": ROW["answers"][::-1]}
    found = sides(adapt("nectar", ROW, pairing="best_vs_random"))
    assert found == sides(adapt("nectar", turned, pairing="best_vs_random"))
    assert found[0][0] == "a"


def test_equal_ranks_have_equal_scores_and_so_are_a_tie():
    row = {**ROW, "answers": [answer("a", 1), answer("b", 1)]}
    [(one, other, *scores)] = sides(adapt("nectar", row))
    assert ({one, other}, scores) == ({"a", "b"}, [-1.0, -1.0])


def test_a_transcript_of_several_turns_becomes_messages():
    row = {**ROW, "prompt": "\n\nHuman: Hi.\n\nAssistant: Hello!" + PROMPT}
    assert only_pair("nectar", row).prompt == (Message("user", "Hi."), Message("assistant", "Hello!"), *ASKED)


def test_white_space_around_an_answer_goes_and_the_pair_is_the_one_of_kind_preference():
    row = {**ROW, "answers": [answer(" a\n", 1), answer("b ", 2)]}
    split = {"prompt": PROMPT, "chosen": " a\n", "rejected": "b "}
    assert only_pair("nectar", row).ids == only_pair("preference", split).ids


def test_an_answer_that_is_there_twice_meets_others_once_at_its_best_rank():
    row = Fields({**ROW, "answers": [answer("a", 1), answer("b", 2), answer("a ", 7), answer("b", 3)]})
    assert sides(adapt("nectar", row, pairing="all_pairs")) == [("a", "b", -1.0, -2.0)]
    assert row.notes() == {REPEATED: 2}
    assert len(adapt("nectar", row).responses) == 4


@pytest.mark.parametrize(
    ("change", "options", "reason"),
    [
        ({}, {"exclude": ["sharegpt"]}, "excluded"),
        ({"source": ["ultrafeedback", "sharegpt"]}, {"exclude": ["sharegpt"]}, "excluded"),
        ({}, {"exclude": ["anthropic-hh"]}, None),
        ({"source": None}, {"exclude": ["sharegpt"]}, None),
        ({"good_natured": False}, {"only_good_natured": True}, "excluded"),
        ({"good_natured": True}, {"only_good_natured": True}, None),
        ({"good_natured": False}, {}, None),
    ],
)
def test_sources_and_prompts_are_left_out_where_asked(change, options, reason):
    assert only_pair("nectar", {**ROW, **change}, **options).reason == reason


@pytest.mark.parametrize(
    ("source", "subset"),
    [(["b", "a"], "a+b"), ("sharegpt", "sharegpt"), ([], None), (None, None), (["a", "a"], "a")],
)
def test_the_sources_are_the_subset(source, subset):
    assert only_pair("nectar", {**ROW, "source": source}).subset == subset


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"answers": None}, {}, "answers is null, expected a list"),
        ({"answers": ["a", "b"]}, {}, r"answers\[0\] is the text 'a', expected an object"),
        ({"answers": [answer("a", 1)]}, {}, "1 different answers of 1 have text and a rank, expected at least two"),
        ({"answers": [answer("a", 1), answer("a", 2)]}, {}, "1 different answers of 2 have text and a rank"),
        ({"answers": [answer("a", 1), answer(" ", 2), answer("b", None)]}, {}, "1 different answers of 3"),
        ({"answers": [answer("a", "best"), answer("b", 2)]}, {}, r"answers\[0\].rank is the text 'best'"),
        ({"answers": [answer("a", float("inf")), answer("b", 2)]}, {}, r"answers\[0\].rank is inf"),
        (
            {"prompt": "\n\nHuman: q\n\nAssistant: a\n\nHuman: r"},
            {},
            "prompt is a Human/Assistant transcript that ends in",
        ),
        ({"source": [1]}, {}, "source is list, expected a list of names"),
        ({"good_natured": None}, {"only_good_natured": True}, "good_natured is null, expected true or false"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(change, options, message):
    with pytest.raises(RowError, match=message):
        adapt("nectar", {**ROW, **change}, **options)


def test_an_answer_that_was_cut_has_no_end_of_turn():
    row = copy.deepcopy(ROW)
    row["answers"][1]["finish_reason"] = "length"
    pair = only_pair("nectar", row)
    assert (pair.chosen_finished, pair.rejected_finished) == (False, True)


def test_what_is_not_read_is_named():
    row = Fields(ROW)
    adapt("nectar", row)
    assert list(row.unread_names()) == ["turns", "num_responses", "good_natured"]


def test_an_unknown_pairing_is_refused():
    with pytest.raises(ValidationError):
        adapt("nectar", ROW, pairing="neighbours")


def test_its_rows_are_told_and_no_other_kinds_rows_are_taken():
    assert likely(ROW | {"annotator": "x"}) == ["nectar"]
    assert taken_from_others("nectar") == {}
    assert likely({"prompt": "q", "answers": ["a", "b"]}) == []
