"""Statistics by hand and against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from transforms.consistency import judge, wilson, win_share

JEFFREYS = (0.5, 0.5)
rewards = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=6)


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


def judge_one(share, n, *, threshold=0.5, delta=0.05, prior=JEFFREYS):
    result = judge(np.array([share]), np.array([n]), prior=prior, threshold=threshold, delta=delta)
    return float(result.low[0]), float(result.high[0]), bool(result.keep[0])


def test_the_interval_is_the_beta_posteriors():
    low, high, _ = judge_one(2 / 3, 3)
    assert (low, high) == pytest.approx(stats.beta(2.5, 1.5).interval(0.95))


def test_a_pair_that_was_not_cut_is_consistent_by_definition():
    assert judge_one(1.0, 0) == (1.0, 1.0, True)


@pytest.mark.parametrize(("wins", "keep"), [(0, False), (1, False), (2, True), (3, True)])
def test_with_three_samples_the_majority_decides_at_threshold_one_half(wins, keep):
    assert judge_one(wins / 3, 3)[2] is keep


def test_certainty_decides_against_the_mean():
    # Posterior mean .9 is below τ = .905, yet P(c ≥ τ) = .64 is above 1 − δ for δ = .4.
    assert judge_one(1.0, 4, threshold=0.905, delta=0.4)[2] is True
    assert judge_one(1.0, 4, threshold=0.905, delta=0.05)[2] is False


@pytest.mark.parametrize(("successes", "count"), [(187, 200), (0, 5), (5, 5), (1, 1)])
def test_wilson_is_scipys(successes, count):
    ours = wilson(successes, count)
    theirs = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_wilson_of_nothing_knows_nothing():
    assert wilson(0, 0) == (0.0, 0.0, 1.0)
