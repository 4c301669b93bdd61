"""Statistics of one pair by hand and against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from transforms.consistency.beliefs import Beliefs
from transforms.consistency.win_shares import DROP, KEEP, OPEN, decide, decide_by_mean, win_share
from transforms.statistics.intervals import wilson

rewards = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=6)


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


@pytest.mark.parametrize(("above", "verdict"), [(0.75, KEEP), (0.7499, OPEN), (0.2501, OPEN), (0.25, DROP)])
def test_exactly_one_minus_delta_keeps_and_exactly_delta_drops(above, verdict):
    assert decide(one(above), delta=0.25).tolist() == [verdict]


@pytest.mark.parametrize(("wins", "verdict"), [(0, DROP), (1, DROP), (2, KEEP), (3, KEEP)])
def test_with_three_samples_the_majority_decides_at_threshold_one_half(wins, verdict):
    posterior = Beliefs.alike(1, 0.5, 0.5).after(one(wins), np.array([3]))
    assert decide_by_mean(posterior.mean(), threshold=0.5).tolist() == [verdict]


@pytest.mark.parametrize(("mean", "verdict"), [(0.75, KEEP), (np.nextafter(0.75, 0), DROP)])
def test_a_posterior_mean_of_exactly_the_threshold_keeps(mean, verdict):
    assert decide_by_mean(one(mean), threshold=0.75).tolist() == [verdict]


def test_certainty_can_decide_against_the_mean():
    # The mean of Beta(4.5, .5) is .9, below τ = .905, yet P(c ≥ τ) = .64 is above 1 − δ for δ = .4.
    found = Beliefs.alike(1, 4.5, 0.5)
    assert found.above(0.905)[0] == pytest.approx(stats.beta.sf(0.905, 4.5, 0.5))
    assert decide(found.above(0.905), delta=0.4).tolist() == [KEEP]
    assert decide_by_mean(found.mean(), threshold=0.905).tolist() == [DROP]


def test_everything_is_elementwise():
    assert decide(np.array([0.5, 0.05, 0.95]), delta=0.1).tolist() == [OPEN, DROP, KEEP]
    assert decide_by_mean(np.array([0.5, 0.05]), threshold=0.5).tolist() == [KEEP, DROP]
    assert decide(np.zeros(0), delta=0.1).shape == (0,)


@pytest.mark.parametrize(("successes", "count"), [(187, 200), (0, 5), (5, 5), (1, 1)])
def test_wilson_is_scipys(successes, count):
    ours = wilson(successes, count)
    theirs = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_wilson_of_nothing_knows_nothing():
    assert wilson(0, 0) == (0.0, 0.0, 1.0)
