"""Claims by intervals: apart, overlapping, against a number, missing; and numbers in words."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.reproduce.claims import check_units, judge
from flows.reproduce.config import Claim, Place, Reading, Sized
from flows.reproduce.numbers import as_printed, decimals, number, unit, with_interval, x_in_words
from transforms.errors import ConfigError
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
    assert judge(claim.model_copy(update={"higher": Place(series="ours", x=7)}), series, "").found.startswith("9.0 [")
    assert judge(claim.model_copy(update={"higher": Place(series="ours", x=0.51)}), series, "").outcome == "not told"


@pytest.mark.parametrize(
    ("than", "outcome", "found"),
    [
        (at("a", -4.0, -7.5, -0.5), "holds", "−4.0 [−7.5, −0.5] against 0 points: the interval lies below it"),
        (at("a", 4.0, 0.5, 7.5), "does not hold", "4.0 [0.5, 7.5] against 0 points: the interval lies above it"),
        (at("a", -4.0, -8.5, 0.5), "not told", "−4.0 [−8.5, 0.5] against 0 points: the interval holds it"),
        (at("a", -4.0), "not told", "−4.0 against 0 points: it has no interval"),
    ],
)
def test_a_difference_may_be_claimed_to_lie_below_a_number(than, outcome, found):
    claim = Claim(says="s", higher=0, than=Place(series="ours", x="a"))
    said = judge(claim, [Series(label="ours", points=[than], unit="points")], AXIS)
    assert (said.outcome, said.found) == (outcome, found)
    gone = judge(claim, [Series(label="ours", points=[], missing=["no pair"])], AXIS)
    assert (gone.outcome, gone.found) == ("not told", "there is no number of ours, a (no pair)")


def test_a_claim_of_two_numbers_is_none():
    with pytest.raises(ValueError, match="claim 's': `higher` and `than` are both numbers"):
        Claim(says="s", higher=1, than=0)


def test_a_point_is_shown_in_its_own_unit_and_not_in_that_of_the_axis():
    series = [Series(label="moved", points=[at("chosen", 0.012, 0.01, 0.014)], unit="nats a token")]
    claim = Claim(says="s", higher=Place(series="moved", x="chosen"), than=0)
    assert judge(claim, series, "βΔ, nats times β").found == (
        "0.0120 [0.0100, 0.0140] against 0 nats a token: the interval lies above it"
    )


def test_a_claim_of_two_units_is_an_error_of_the_catalogue():
    series = [Series(label="moved", points=[], unit="nats a token"), Series(label="rate", points=[])]
    claim = Claim(says="s", higher=Place(series="moved", x="a"), than=Place(series="rate", x="a"))
    with pytest.raises(ConfigError, match="claim 's' is of two units: moved in nats a token, rate in %; hold like"):
        judge(claim, series, AXIS)


def reading(label, **changes):
    return Reading(**({"label": label, "step": "s", "reads": "win_rates"} | changes))


def line(**changes):
    return Sized(**({"steps": ["s"], "needs": "n", "series": [reading("rate")]} | changes))


def test_differences_of_shares_are_in_points_unless_they_say_otherwise():
    paired = {"minus_first": True}
    assert reading("r").own_unit is None
    assert reading("r", options=paired).own_unit == "points"
    assert reading("r", options=paired, unit="%").own_unit == "%"
    assert reading("r", options=paired, unit="").own_unit == ""
    assert reading("r", reads="pairs_ordered", options=paired | {"measure": "accuracy"}).own_unit == "points"
    assert reading("r", reads="pairs_ordered", options=paired | {"measure": "margin"}).own_unit is None


def test_what_is_drawn_on_one_axis_is_in_one_unit():
    change = reading("change", options={"minus_first": True})
    check_units(line(also=[change]), AXIS)
    check_units(line(series=[change]), "change, points")
    with pytest.raises(ConfigError, match=r"series 'change' is in points and the axis in %: put it under `also`"):
        check_units(line(series=[change]), AXIS)


def test_units_of_a_claim_are_checked_before_anything_is_read():
    change = reading("change", options={"minus_first": True})
    claim = Claim(says="s", higher=Place(series="change", x="a"), than=Place(series="rate", x="a"))
    with pytest.raises(ConfigError, match="claim 's' is of two units: change in points, rate in %"):
        check_units(line(also=[change], claims=[claim]), AXIS)
    check_units(line(also=[change], claims=[claim]), "change, points")


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
    assert [number(value, "points") for value in (0.0123, -2.85)] == ["0.0", "−2.9"]
    assert number(-1.2e-7, "nats") == "0.000000"
    assert [number(value, "nats") for value in (0.12345, -1.2345, 12.345, 1234.5, 0.00012345, 0.0)] == [
        "0.123", "−1.23", "12.3", "1234", "0.000123", "0.00",
    ]  # fmt: skip
    assert with_interval(at(1.0, 5.0, 4.0, 6.0), "%") == "5.0 [4.0, 6.0]"
    assert with_interval(at(1.0, 5.0), "%") == "5.0"
    assert with_interval(at(1.0, 0.0003, 0.0001, 0.0005), "nats") == "0.00030 [0.00010, 0.00050]"
    assert with_interval(at(1.0, 1234.5, 1000.0, 1469.0), "nats") == "1234 [1000, 1469]"
    assert with_interval(at(1.0, 0.45, 0.0004, 0.9), "nats") == "0.4500 [0.0004, 0.9000]"  # or it would look like 0
    assert with_interval(at(1.0, 0.45, 0.0, 0.9), "nats") == "0.45 [0.00, 0.90]"
    assert with_interval(at(1.0, 0.00002, -0.5, 0.5), "nats") == "0.00 [−0.50, 0.50]"
    assert with_interval(at(1.0, 2.5, 2.5, 2.5), "nats") == "2.50 [2.50, 2.50]"
    assert decimals(at(1.0, 1e-30, 1e-31, 1e-29), "nats") == 9
    assert [x_in_words(x) for x in (4.0, -0.5, "a")] == ["4", "−0.5", "a"]
    assert [as_printed(value) for value in (61.0, -2.85)] == ["61", "−2.85"]
