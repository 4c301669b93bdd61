"""HelpSteer3: two responses to a conversation and a signed preference. Rows are written for these tests."""

import pytest
from pydantic import ValidationError
from sources_support import ASKED, QUESTION, adapt, chat, likely, only_pair, sides, taken_from_others

from transforms.errors import RowError
from transforms.sources.canonical import Message
from transforms.sources.rows import Fields


def votes(*scores):
    return [{"score": score, "reasoning": "r", "feedback1": "f", "feedback2": "g"} for score in scores]


ROW = {
    "domain": "general", "language": "english", "context": chat("Hi.", "Hello!", QUESTION), "response1": "Nile, Po.",
    "response2": "Nile.", "overall_preference": -2, "individual_preference": votes(-2, -3, 1),
}  # fmt: skip


@pytest.mark.parametrize(
    ("preference", "pair"),
    [
        (-3, ("Nile, Po.", "Nile.", 3.0, 0.0)),
        (-2, ("Nile, Po.", "Nile.", 2.0, 0.0)),
        (-1, ("Nile, Po.", "Nile.", 1.0, 0.0)),
        (1, ("Nile.", "Nile, Po.", 1.0, 0.0)),
        (2, ("Nile.", "Nile, Po.", 2.0, 0.0)),
        (3, ("Nile.", "Nile, Po.", 3.0, 0.0)),
    ],
)
def test_a_negative_preference_is_for_response1(preference, pair):
    adapted = adapt("helpsteer3", {**ROW, "overall_preference": preference})
    assert sides(adapted) == [pair]
    assert adapted.pairs[0].prompt == (Message("user", "Hi."), Message("assistant", "Hello!"), *ASKED)
    assert (adapted.pairs[0].reason, adapted.pairs[0].subset, adapted.responses) == (None, "general", ())


def test_a_preference_for_neither_is_a_tie():
    pair = only_pair("helpsteer3", {**ROW, "overall_preference": 0}, min_strength=3, min_agreement=1)
    assert (pair.chosen_score, pair.rejected_score, pair.reason) == (0.0, 0.0, "tie")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"min_strength": 2}, None),
        ({"min_strength": 3}, "min_strength"),
        ({"min_agreement": 0.66}, None),  # -2 and -3 of three
        ({"min_agreement": 0.67}, "min_agreement"),
        ({"exclude": ["general"]}, "excluded"),
        ({"exclude": ["english"]}, "excluded"),
        ({"exclude": ["code", "chinese"]}, None),
        ({"exclude": ["general"], "min_strength": 3}, "excluded"),
    ],
)
def test_what_is_too_weak_too_disputed_or_left_out_is_dropped(options, reason):
    assert only_pair("helpsteer3", ROW, **options).reason == reason


def test_an_annotator_who_prefers_neither_does_not_agree():
    row = {**ROW, "individual_preference": votes(-1, 0)}
    assert only_pair("helpsteer3", row, min_agreement=0.5).reason is None
    assert only_pair("helpsteer3", row, min_agreement=0.51).reason == "min_agreement"


def test_a_row_without_a_domain_has_no_subset():
    assert only_pair("helpsteer3", {**ROW, "domain": None}).subset is None


def test_what_is_not_read_is_named():
    row = Fields(ROW)
    adapt("helpsteer3", row)
    assert list(row.unread_names()) == ["language", "individual_preference"]
    row = Fields(ROW)
    adapt("helpsteer3", row, min_agreement=0.5, exclude=["code"])
    assert (
        list(row.unread_names())
        == [f"individual_preference[].{n}" for n in ("reasoning", "feedback1", "feedback2")] * 3
    )


def test_what_stands_beside_the_texts_is_read():
    row = Fields(ROW | {"system": "Be brief.", "rejected_finish_reason": "length"})
    pair = only_pair("helpsteer3", row)
    assert pair.prompt[0] == Message("system", "Be brief.")
    assert (pair.chosen_finished, pair.rejected_finished) == (True, False)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"overall_preference": None}, {}, "overall_preference is null, expected a whole number from -3"),
        ({"overall_preference": 4}, {}, "overall_preference is 4, expected a whole number from -3"),
        ({"overall_preference": True}, {}, "overall_preference is True, expected a number"),
        ({"overall_preference": "response1"}, {}, "overall_preference is the text 'response1', expected a number"),
        ({"context": "Hi."}, {}, "context is the text 'Hi.', expected a list of messages"),
        ({"individual_preference": []}, {"min_agreement": 0.5}, "overall_preference is -2 and there is no vote"),
        (
            {"individual_preference": [{"score": None}]}, {"min_agreement": 0.5},
            r"individual_preference\[0\].score is null, expected a whole number",
        ),
        ({"individual_preference": None}, {"min_agreement": 0.5}, "individual_preference is null, expected a list"),
    ],
)  # fmt: skip
def test_preferences_that_cannot_be_read_are_refused(change, options, message):
    with pytest.raises(RowError, match=message):
        adapt("helpsteer3", {**ROW, **change}, **options)


def test_votes_that_are_not_asked_for_cost_no_row():
    assert only_pair("helpsteer3", {**ROW, "individual_preference": None}).reason is None


@pytest.mark.parametrize("options", [{"min_strength": 0}, {"min_strength": 4}, {"min_agreement": -0.1}])
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValidationError):
        adapt("helpsteer3", ROW, **options)


def test_its_rows_are_told_and_no_other_kinds_rows_are_taken():
    assert likely(ROW | {"annotator": "x"}) == ["helpsteer3"]
    assert taken_from_others("helpsteer3") == {}
