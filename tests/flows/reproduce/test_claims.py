"""Claims by intervals: apart, overlapping, against a number, missing; and numbers in words."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.reproduce.claims import judge
from flows.reproduce.config import Claim, Place
from flows.reproduce.numbers import as_printed, number, unit, with_interval, x_in_words
from transforms.records.reproduction import Series, SeriesPoint

AXIS = "win rate, %"
TURNED = {"holds": "does not hold", "does not hold": "holds", "not told": "not told"}


def at(x, y, low=None, high=None):
    return SeriesPoint(x=x, y=y, low=low, high=high)


def judged(higher, than, axis=AXIS, missing=()):
    points = [point for point in (higher, than) if isinstance(point, SeriesPoint)]
    claim = Claim(
        says="POET wins more",
        higher=Place(series="ours", x="a"),
        than=Place(series="ours", x="b") if isinstance(than, SeriesPoint) or than is None else than,
    )
    return judge(claim, [Series(label="ours", points=points, missing=list(missing))], axis)


@pytest.mark.parametrize(
    ("higher", "than", "outcome", "found"),
    [
        (
            at("a", 61.2, 52.0, 69.5), at("b", 50.1, 41.0, 59.2), "not told",
            "61.2 [52.0, 69.5] against 50.1 [41.0, 59.2] %: the intervals overlap",
        ),
        (
            at("a", 70.0, 60.0, 80.0), at("b", 50.0, 41.0, 59.0), "holds",
            "70.0 [60.0, 80.0] against 50.0 [41.0, 59.0] %: the intervals lie apart",
        ),
        (
            at("a", 30.0, 20.0, 40.0), at("b", 50.0, 41.0, 59.0), "does not hold",
            "30.0 [20.0, 40.0] against 50.0 [41.0, 59.0] %: the intervals lie apart, the other way round",
        ),
        (
            at("a", 70.0, 59.0, 80.0), at("b", 50.0, 41.0, 59.0), "not told",
            "70.0 [59.0, 80.0] against 50.0 [41.0, 59.0] %: the intervals overlap",
        ),
        (
            at("a", 70.0), at("b", 50.0, 41.0, 59.0), "not told",
            "70.0 against 50.0 [41.0, 59.0] %: one of them has no interval",
        ),
        (at("a", 70.0), at("b", 50.0), "not told", "70.0 against 50.0 %: neither has an interval"),
    ],
)  # fmt: skip
def test_of_two_numbers_one_is_higher_where_its_interval_lies_above_the_others(higher, than, outcome, found):
    assert (judged(higher, than).outcome, judged(higher, than).found) == (outcome, found)


@pytest.mark.parametrize(
    ("higher", "outcome", "found"),
    [
        (at("a", 4.0, 0.5, 7.5), "holds", "4.0 [0.5, 7.5] against 0 %-points: the interval lies above it"),
        (
            at("a", -4.0, -7.5, -0.5),
            "does not hold",
            "−4.0 [−7.5, −0.5] against 0 %-points: the interval lies below it",
        ),
        (at("a", 4.0, -0.5, 8.5), "not told", "4.0 [−0.5, 8.5] against 0 %-points: the interval holds it"),
        (at("a", 4.0, 0.0, 8.0), "not told", "4.0 [0.0, 8.0] against 0 %-points: the interval holds it"),
        (at("a", 4.0), "not told", "4.0 against 0 %-points: it has no interval"),
    ],
)
def test_a_claim_holds_where_its_interval_lies_above_zero(higher, outcome, found):
    said = judged(higher, 0.0, "difference (%-points)")
    assert (said.says, said.outcome, said.found) == ("POET wins more", outcome, found)


def test_a_number_other_than_zero_is_shown_in_the_units_digits():
    assert judged(at("a", 61.0, 55.0, 67.0), 50).found == "61.0 [55.0, 67.0] against 50.0 %: the interval lies above it"


def test_a_point_that_is_missing_is_not_told_and_the_series_says_why():
    said = judged(at("a", 70.0, 60.0, 80.0), None, missing=["b: no pair was audited", "c: something else"])
    assert said.outcome == "not told"
    assert said.found == "there is no number of ours, b (b: no pair was audited)"
    both = judged(None, None, missing=["the step has nothing"])
    assert both.found == (
        "there is no number of ours, a (the step has nothing); there is no number of ours, b (the step has nothing)"
    )


def test_a_place_is_the_same_number_however_it_is_written():
    series = [Series(label="ours", points=[at(0.5, 2.0, 1.0, 3.0), at("7", 9.0, 8.0, 10.0)])]
    claim = Claim(says="s", higher=Place(series="ours", x="0.50"), than=0)
    assert judge(claim, series, "").outcome == "holds"
    assert judge(claim.model_copy(update={"higher": Place(series="ours", x=7)}), series, "").found.startswith("9.00 [")
    assert judge(claim.model_copy(update={"higher": Place(series="ours", x=0.51)}), series, "").outcome == "not told"


ends = st.tuples(*[st.floats(-100, 100, allow_nan=False)] * 3).map(sorted)


@given(ends, ends)
def test_swapping_both_sides_swaps_what_holds(one, other):
    (low, y, high), (less, z, more) = one, other
    there = judged(at("a", y, low, high), at("b", z, less, more)).outcome
    back = judged(at("a", z, less, more), at("b", y, low, high)).outcome
    assert back == TURNED[there]
    assert (there == "holds") == (low > more)


@given(ends, st.floats(-100, 100, allow_nan=False))
def test_a_number_is_told_as_a_point_whose_interval_is_the_number(interval, than):
    low, y, high = interval
    of_number = judged(at("a", y, low, high), than).outcome
    assert of_number == judged(at("a", y, low, high), at("b", than, than, than)).outcome


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0.1, 20), st.floats(0.1, 20), st.floats(-1, 1))
def test_intervals_that_lie_apart_are_a_sure_difference_however_both_hang_together(a, b, s, t, correlation):
    """|A − B| > 1.96 (s + t) ≥ 1.96 times the difference's standard error, √(s² + t² − 2 ρ s t)."""
    outcome = judged(at("a", a, a - 1.96 * s, a + 1.96 * s), at("b", b, b - 1.96 * t, b + 1.96 * t)).outcome
    if outcome == "holds":
        assert a - b > 1.96 * math.sqrt(max(0.0, s * s + t * t - 2 * correlation * s * t)) - 1e-9


@pytest.mark.parametrize(
    ("axis", "found"),
    [
        ("win rate, %", "%"), ("ΔQ(k)", ""), ("log-prob, nats a token", "nats a token"), ("reward", ""),
        ("KL to the reference (nats)", "nats"), ("", ""), ("of chosen, rejected, %", "%"),
    ],
)  # fmt: skip
def test_the_unit_stands_behind_the_last_comma_or_in_brackets(axis, found):
    assert unit(axis) == found


def test_numbers_have_the_digits_that_their_unit_bears():
    assert [number(value, "%") for value in (61.249, -0.04, 100.0)] == ["61.2", "0.0", "100.0"]
    assert [number(value, "nats") for value in (0.12345, -1.2345, 12.345, 1234.5)] == ["0.123", "−1.23", "12.3", "1234"]
    assert with_interval(at(1.0, 5.0, 4.0, 6.0), "%") == "5.0 [4.0, 6.0]"
    assert with_interval(at(1.0, 5.0), "%") == "5.0"
    assert [x_in_words(x) for x in (4.0, -0.5, "a")] == ["4", "−0.5", "a"]
    assert [as_printed(value) for value in (61.0, -2.85)] == ["61", "−2.85"]
