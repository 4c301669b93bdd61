"""Statistics of one pair by hand and against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from transforms.consistency import (
    DROP,
    KEEP,
    OPEN,
    decide,
    decide_by_mean,
    interval,
    probability_above,
    wilson,
    win_share,
)

rewards = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=6)
parameters = st.floats(0.05, 200)
thresholds = st.floats(0, 1)


def one(value):
    return np.array([float(value)])


def test_win_share_counts_all_combinations_and_ties_one_half():
    # 2 > 1, 2 = 2, 2 < 3; 4 beats all three: (1 + .5 + 0 + 3) / 6
    assert win_share([2.0, 4.0], [1.0, 2.0, 3.0]) == 0.75


def test_a_poet_pair_compares_each_completion_with_the_one_shorter_response():
    assert win_share([0.1, 0.9, 0.5], [0.5]) == 0.5


@given(rewards, rewards)
def test_win_share_is_the_mann_whitney_statistic(chosen, rejected):
    u = stats.mannwhitneyu(chosen, rejected, method="asymptotic").statistic if len({*chosen, *rejected}) > 1 else None
    expected = 0.5 if u is None else u / (len(chosen) * len(rejected))
    assert win_share(chosen, rejected) == pytest.approx(expected)


@given(parameters, parameters, thresholds)
def test_the_probability_above_a_threshold_is_the_betas_upper_tail(wins, losses, threshold):
    ours = probability_above(one(wins), one(losses), threshold)
    assert ours[0] == pytest.approx(stats.beta.sf(threshold, wins, losses), rel=1e-9, abs=1e-12)


def test_certainty_at_the_ends_of_the_scale_is_exact():
    # P(c ≥ 0) = 1 and P(c ≥ 1) = 0 under any Beta: τ = 0 keeps every pair, τ = 1 none.
    wins, losses = np.array([0.5, 20.5]), np.array([3.5, 0.5])
    assert probability_above(wins, losses, 0.0).tolist() == [1.0, 1.0]
    assert decide(wins, losses, threshold=0.0, delta=0.05).tolist() == [KEEP, KEEP]
    assert probability_above(wins, losses, 1.0).tolist() == [0.0, 0.0]
    assert decide(wins, losses, threshold=1.0, delta=0.05).tolist() == [DROP, DROP]


@pytest.mark.parametrize(("threshold", "verdict"), [(0.25, KEEP), (0.2501, OPEN), (0.7499, OPEN), (0.75, DROP)])
def test_exactly_one_minus_delta_keeps_and_exactly_delta_drops(threshold, verdict):
    # Under Beta(1, 1), P(c ≥ τ) = 1 − τ, so δ = 1/4 is met exactly at τ = 1/4 and τ = 3/4.
    assert decide(one(1), one(1), threshold=threshold, delta=0.25).tolist() == [verdict]


@given(parameters, parameters, thresholds, st.floats(0.001, 0.499))
def test_decide_is_the_rule_of_scipys_tail(wins, losses, threshold, delta):
    above = stats.beta.sf(threshold, wins, losses)
    if min(abs(above - delta), abs(above - 1 + delta)) > 1e-9:
        expected = KEEP if above >= 1 - delta else DROP if above <= delta else OPEN
        assert decide(one(wins), one(losses), threshold=threshold, delta=delta).tolist() == [expected]


@pytest.mark.parametrize(("n", "verdict"), [(1, OPEN), (2, KEEP)])
def test_two_equal_completions_settle_it_at_one_tenth_and_one_does_not(n, verdict):
    # Jeffreys: P(c ≥ 1/2) under Beta(1.5, .5) is 1/2 + 1/π = .818, under Beta(2.5, .5) 1/2 + 4/(3π) = .924.
    assert probability_above(one(1.5), one(0.5), 0.5)[0] == pytest.approx(0.5 + 1 / np.pi)
    assert probability_above(one(2.5), one(0.5), 0.5)[0] == pytest.approx(0.5 + 4 / (3 * np.pi))
    assert decide(one(n + 0.5), one(0.5), threshold=0.5, delta=0.1).tolist() == [verdict]
    assert decide(one(0.5), one(n + 0.5), threshold=0.5, delta=0.1).tolist() == [-verdict]


@pytest.mark.parametrize(("wins", "verdict"), [(0, DROP), (1, DROP), (2, KEEP), (3, KEEP)])
def test_with_three_samples_the_majority_decides_at_threshold_one_half(wins, verdict):
    assert decide_by_mean(one(wins + 0.5), one(3.5 - wins), threshold=0.5).tolist() == [verdict]


def test_a_posterior_mean_of_exactly_the_threshold_keeps():
    assert decide_by_mean(one(1.5), one(1.5), threshold=0.5).tolist() == [KEEP]
    assert decide_by_mean(one(3), one(1), threshold=0.75).tolist() == [KEEP]
    assert decide_by_mean(one(3), one(1), threshold=np.nextafter(0.75, 1)).tolist() == [DROP]


def test_certainty_can_decide_against_the_mean():
    # The mean of Beta(4.5, .5) is .9, below τ = .905, yet P(c ≥ τ) = .64 is above 1 − δ for δ = .4.
    assert probability_above(one(4.5), one(0.5), 0.905)[0] == pytest.approx(stats.beta.sf(0.905, 4.5, 0.5))
    assert decide(one(4.5), one(0.5), threshold=0.905, delta=0.4).tolist() == [KEEP]
    assert decide_by_mean(one(4.5), one(0.5), threshold=0.905).tolist() == [DROP]


@given(parameters, parameters)
def test_the_interval_is_the_betas_central_95_percent(wins, losses):
    low, high = interval(one(wins), one(losses))
    assert (low[0], high[0]) == pytest.approx(stats.beta(wins, losses).interval(0.95), rel=1e-6, abs=1e-9)


def test_everything_is_elementwise():
    wins, losses = np.array([2.5, 0.5, 7.0]), np.array([1.5, 3.5, 0.1])
    each = [interval(one(a), one(b)) for a, b in zip(wins, losses, strict=True)]
    low, high = interval(wins, losses)
    assert low.tolist() == [pair[0][0] for pair in each]
    assert high.tolist() == [pair[1][0] for pair in each]
    assert decide(wins, losses, threshold=0.5, delta=0.1).tolist() == [OPEN, DROP, KEEP]


def test_of_no_pairs_there_is_nothing_to_say():
    nothing = np.zeros(0)
    assert decide(nothing, nothing, threshold=0.5, delta=0.1).shape == (0,)
    assert interval(nothing, nothing)[0].shape == (0,)


@pytest.mark.parametrize(("successes", "count"), [(187, 200), (0, 5), (5, 5), (1, 1)])
def test_wilson_is_scipys(successes, count):
    ours = wilson(successes, count)
    theirs = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_wilson_of_nothing_knows_nothing():
    assert wilson(0, 0) == (0.0, 0.0, 1.0)
