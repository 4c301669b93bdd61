"""What a judge's answer says, and that nothing is read out of one that does not say it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.judging.prompts import ASPECTS, Form
from transforms.judging.verdicts import Judgement, judgement

PAIR, FREE = Form(), Form(structured="none")
RUBRIC = Form({"honesty": "is honest", "depth": "goes deep"})


def read(text, form=PAIR, finish_reason="stop", refusal=None):
    return judgement(text, finish_reason, refusal, form)


@pytest.mark.parametrize(("word", "margin"), [("first", 1.0), ("second", -1.0), ("tie", 0.0)])
def test_a_verdict_is_the_margin_of_the_first_over_the_second(word, margin):
    assert read(json.dumps({"reason": "r", "verdict": word})) == Judgement(margin)


def test_a_rubrics_score_is_the_mean_of_its_aspects_which_are_kept():
    assert read('{"reason": "r", "honesty": 5, "depth": 2}', RUBRIC) == Judgement(3.5, [5.0, 2.0])


@pytest.mark.parametrize(
    "text",
    [
        "first",
        '"first"',
        '["first"]',
        '{"reason": "half',
        '{"verdict": "first"} and more',
        'Sure! {"verdict": "first"}',
        '{"verdict": "first", "verdict": "second"}',
        '{"verdict": NaN}',
        "[" * 100_000,
        "1" * 5000,
    ],
)
def test_what_is_not_one_json_object_is_not_read(text):
    assert read(text).startswith("the judge's answer is no JSON object that can be read: '")


@pytest.mark.parametrize("found", ["First", "first ", "1", 1, True, None, ["first"], {"verdict": "first"}])
def test_a_verdict_that_was_not_offered_is_no_verdict(found):
    said = read(json.dumps({"reason": "first", "verdict": found}))
    assert said.startswith("the judge's answer has no verdict that is one of first, second, tie: ")


@pytest.mark.parametrize("rating", ["4", 4.0, 4.5, True, None, [4], 0, 6, -1, 10**30])
def test_a_rating_that_is_no_whole_number_of_the_scale_is_neither_clamped_nor_rounded(rating):
    said = read(json.dumps({"honesty": 3, "depth": rating}), RUBRIC)
    assert said.startswith("the judge's answer has no whole number from 1 to 5 for depth: ")


def test_a_rating_that_is_missing_is_none():
    assert read('{"honesty": 3}', RUBRIC).startswith("the judge's answer has no whole number from 1 to 5 for depth: ")


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_an_empty_answer_says_nothing(text):
    assert read(text) == "the judge's answer is empty"


def test_an_answer_that_ran_out_of_room_is_not_read_even_if_it_is_whole():
    said = read('{"verdict": "first"}', finish_reason="length")
    assert said == 'the judge\'s answer ran out of max_tokens: \'{"verdict": "first"}\''


def test_an_answer_that_a_filter_ended_is_not_read():
    said = read('{"verdict": "first"}', finish_reason="content_filter")
    assert said.startswith("the judge's answer ended by 'content_filter', expected stop: ")


def test_a_refusal_is_shown_and_not_read():
    assert read('{"verdict": "first"}', refusal="I cannot help") == "the judge refused: 'I cannot help'"


def test_the_reason_shows_the_beginning_of_what_was_written_harmless_on_a_terminal():
    said = read("\x1b[31m" + "x" * 500)
    assert "\x1b" not in said
    assert "[U+001B][31mxxx" in said
    assert len(said) < 150


@pytest.mark.parametrize(
    ("text", "margin"),
    [
        ('The second says {"verdict": "first"}, which is a trick. {"verdict": "second"}', -1.0),
        ('<think>{"verdict": "first"}?</think>\n```json\n{"verdict": "tie"}\n```', 0.0),
        ('A set {1, 2} is mentioned.\n{"verdict": "first"}\nThat is all.', 1.0),
    ],
)
def test_without_a_schema_the_last_object_counts(text, margin):
    assert read(text, FREE) == Judgement(margin)


@pytest.mark.parametrize(
    "text",
    [
        '{"verdict": "first"} no: {"verdict": "sec',
        '{"reason": {"verdict": "first"}, "ver',
        '{"verdict": "first"} {"verdict": {',
        "no object at all",
        "{" * 5000,
    ],
)
def test_without_a_schema_an_object_before_or_within_a_half_one_does_not_count(text):
    assert read(text, FREE).startswith("the judge's answer is no JSON object that can be read: ")


@given(st.text(), st.sampled_from([PAIR, FREE, RUBRIC, Form(ASPECTS, (0, 10), "none")]))
def test_any_text_gives_a_judgement_on_the_scale_or_a_reason(text, form):
    found = read(text, form)
    assert isinstance(found, (str, Judgement))


@given(st.lists(st.integers(0, 10), min_size=4, max_size=4), st.text())
def test_ratings_come_back_as_written_whatever_the_reason_says(ratings, reason):
    form = Form(ASPECTS, (0, 10))
    text = json.dumps({"reason": reason} | dict(zip(ASPECTS, ratings, strict=True)))
    assert read(text, form) == Judgement(sum(ratings) / 4, [float(r) for r in ratings])
    # In free text too, where the reason may hold braces and quotation marks.
    assert read(f"I say:\n{text}", form._replace(structured="none")) == read(text, form)
