"""Means over trainings and prompts: worked by hand, and right as often as they claim."""

import numpy as np
import pytest
from scipy import stats

from transforms.statistics.intervals import wilson
from transforms.statistics.two_way import two_way_difference, two_way_mean, two_way_share

VALUES = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 8.0]])


def test_a_mean_has_the_trainings_variance_and_what_prompts_add_to_it():
    # Trainings' means 2 and 5: 4.5 / 2 = 2.25, one degree of freedom, t = 12.7062.
    # Prompts' means 2, 3 and 5.5: 3.25 / 3 = 13/12. Residuals ±(½, ½, −1): 3 over 2 degrees of freedom, 1.5 / 6 = 1/4.
    # So prompts add 13/12 − 1/4 = 5/6, two degrees of freedom, t = 4.30265.
    half = (12.7062**2 * 2.25 + 4.30265**2 * 5 / 6) ** 0.5
    found = two_way_mean(VALUES, list("abc"))
    assert (found.value, found.low, found.high) == pytest.approx((3.5, 3.5 - half, 3.5 + half), abs=1e-3)


def test_pairs_of_one_prompt_count_together():
    # Each prompt's value twice is the same three prompts: neither part changes.
    twice = two_way_mean(np.repeat(VALUES, 2, axis=1), list("aabbcc"))
    once = two_way_mean(VALUES, list("abc"))
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))
    assert two_way_mean(np.repeat(VALUES, 2, axis=1), list("abcdef")).low > once.low


def test_trainings_that_agree_leave_the_interval_of_the_prompts():
    found = two_way_mean(np.array([[1.0, 3.0], [1.0, 3.0]]), list("ab"))
    assert (found.low, found.high) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-3)


@pytest.mark.parametrize(("values", "prompts"), [(VALUES[:1], list("abc")), (VALUES, list("aaa"))])
def test_one_training_or_one_prompt_has_no_interval(values, prompts):
    for mean in (two_way_mean, two_way_share, two_way_difference):
        found = mean(values, prompts)
        assert (found.value, found.low, found.high) == (values.mean(), None, None)


def test_differences_that_are_all_zero_are_no_proof_of_equality():
    # Two prompts more, half a one each way: variance (1 / 22)² with 19 degrees of freedom.
    found = two_way_difference(np.zeros((3, 20)), [str(i) for i in range(20)])
    half = stats.t.ppf(0.975, 19) / 22
    assert (found.value, found.low, found.high) == pytest.approx((0, -half, half))
    assert half == pytest.approx(0.095, abs=1e-3)  # the rule of three says 3 / 20 of pairs that could differ


def test_a_difference_of_shares_stays_within_one():
    found = two_way_difference(np.array([[1.0, 1.0, -1.0], [-1.0, 0.0, -1.0]]), list("abc"))
    assert (found.low, found.high) == (-1, 1)


def test_where_all_is_right_prompts_say_how_sure_that_is():
    found = two_way_share(np.ones((3, 12)), [str(i // 2) for i in range(12)])
    assert (found.value, found.low, found.high) == pytest.approx(tuple(wilson(6, 6)))


def test_more_trainings_of_the_same_answers_are_no_more_pairs():
    answers = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    found = two_way_share(np.tile(answers, (5, 1)), list("abcdefgh"))
    independent = wilson(5, 8)
    assert found.low <= independent.low + 1e-9
    assert found.high >= independent.high - 1e-9


@pytest.mark.parametrize("spread", [(0.0, 1.0, 0.0), (0.0, 1.0, 1.0), (0.3, 0.3, 1.0), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("trainings", [2, 3])
def test_intervals_hold_the_truth_at_least_as_often_as_they_say(spread, trainings):
    """(σ of seeds, of prompts, of both together); 30 prompts of 1 to 5 pairs, a mean and a difference of shares."""
    draw = np.random.default_rng([trainings, *(int(10 * sigma) for sigma in spread)])
    held = held_difference = 0
    rounds = 250
    for _ in range(rounds):
        place = np.repeat(np.arange(30), draw.integers(1, 6, size=30))
        one, other = (_values(draw, spread, trainings, place) for _ in range(2))
        prompts = place.astype(str).tolist()
        found = two_way_mean(one, prompts)
        held += found.low <= 0 <= found.high
        right = [(values > -0.8).astype(float) for values in (one, other)]
        difference = two_way_difference(right[0] - right[1], prompts)
        held_difference += difference.low <= 0 <= difference.high
    assert held / rounds > 0.92  # three standard errors of 250 rounds are four points
    assert held_difference / rounds > 0.92


def test_an_interval_over_pairs_alone_would_miss_where_seeds_differ():
    draw = np.random.default_rng(0)
    missed = 0
    for _ in range(100):
        values = _values(draw, (0.3, 0.0, 1.0), 3, np.arange(150))
        half = stats.t.ppf(0.975, 149) * values.mean(0).std(ddof=1) / 150**0.5
        missed += abs(values.mean()) > half
    assert missed > 40


def _values(draw, spread, trainings, place):
    seeds, prompts, both = spread
    values = seeds * draw.normal(size=(trainings, 1)) + both * draw.normal(size=(trainings, len(place)))
    return values + prompts * draw.normal(size=(1, place.max() + 1))[:, place]
