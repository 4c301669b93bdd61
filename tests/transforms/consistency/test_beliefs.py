"""Mixtures of Beta distributions: against scipy where they have one component, by hand where two."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from transforms.consistency.beliefs import Beliefs

parameters = st.floats(0.05, 200)
# Its complement must be known as well as itself: mass near an end can lie within the last bit of 1.
thresholds = st.floats(0, 1).map(lambda value: round(value, 6))


def two(share, first, second):
    """One pair that is Beta(*first) with probability `share`, else Beta(*second)."""
    wins, losses = zip(first, second, strict=True)
    return Beliefs(np.array([[share, 1 - share]]), np.array([wins], float), np.array([losses], float))


@st.composite
def mixtures(draw):
    share = draw(st.floats(0, 1))
    return two(share, *(tuple(draw(parameters) for _ in range(2)) for _ in range(2)))


def test_jeffreys_after_one_and_two_wins():
    # P(c ≥ 1/2) under Beta(1.5, .5) is 1/2 + 1/π = .818, under Beta(2.5, .5) 1/2 + 4/(3π) = .924.
    found = Beliefs.alike(2, 0.5, 0.5).after(np.array([1.0, 2.0]), np.array([1, 2]))
    assert found.above(0.5) == pytest.approx([0.5 + 1 / np.pi, 0.5 + 4 / (3 * np.pi)])
    assert found.mean() == pytest.approx([0.75, 2.5 / 3])


@given(parameters, parameters, thresholds)
def test_one_component_is_scipys_beta(wins, losses, threshold):
    found, theirs = Beliefs.alike(1, wins, losses), stats.beta(wins, losses)
    assert found.above(threshold)[0] == pytest.approx(theirs.sf(threshold), rel=1e-9, abs=1e-12)
    assert found.mean()[0] == pytest.approx(theirs.mean())
    assert [side[0] for side in found.interval()] == pytest.approx(theirs.interval(0.95), rel=1e-6, abs=1e-9)


def test_the_component_that_foretold_the_comparisons_gains_share():
    # Beta(1, 1) gives two losses of two the chance 1/3, Beta(3, 1) 2/20 = 1/10: from 1/2 to 10/13.
    found = two(0.5, (1, 1), (3, 1)).after(np.array([0.0]), np.array([2]))
    assert found.share[0] == pytest.approx([10 / 13, 3 / 13])
    assert found.wins.tolist() == [[1, 3]]
    assert found.losses.tolist() == [[3, 3]]
    # P(c ≥ 1/2): 1/8 under Beta(1, 3), 1/2 under Beta(3, 3).
    assert found.above(0.5)[0] == pytest.approx(10 / 13 / 8 + 3 / 13 / 2)


def test_a_mixture_is_the_mean_of_its_components():
    found = two(0.25, (1, 1), (3, 1))
    assert found.mean()[0] == pytest.approx(0.25 / 2 + 0.75 * 3 / 4)
    assert found.above(0.5)[0] == pytest.approx(0.25 / 2 + 0.75 * 7 / 8)
    assert found.certainty(0.5)[0] == pytest.approx(0.25 / 2 + 0.75 * 7 / 8)
    assert found.wrong(np.array([False]), 0.5)[0] == pytest.approx(0.25 / 2 + 0.75 * 7 / 8)
    assert found.wrong(np.array([True]), 0.5)[0] == pytest.approx(0.25 / 2 + 0.75 / 8)


@given(mixtures())
def test_the_interval_leaves_a_fortieth_on_either_side(found):
    for level, [edge] in zip((0.025, 0.975), found.interval(), strict=True):
        below = float((found.share * special.betainc(found.wins, found.losses, edge)).sum())
        beside = float((found.share * special.betainc(found.wins, found.losses, np.nextafter(edge, 1))).sum())
        # A parameter far below one puts a wall of probability on one float at an end of the scale.
        assert below == pytest.approx(level, abs=1e-6) or min(edge, 1 - edge) < 1e-9 or below <= level <= beside


@given(mixtures(), st.lists(st.booleans(), max_size=6))
def test_comparisons_may_come_one_by_one_or_all_at_once(found, outcomes):
    # Their likelihoods multiply: the chance of all is that of each given those before it.
    at_once, chance = found.after(np.array([float(sum(outcomes))]), np.array([len(outcomes)])), 0.0
    one_by_one = found
    for outcome in outcomes:
        win = np.array([float(outcome)])
        chance += one_by_one.log_likelihood(win, np.array([1]))[0]
        one_by_one = one_by_one.after(win, np.array([1]))
    for mine, theirs in zip(one_by_one, at_once, strict=True):
        assert mine[0] == pytest.approx(theirs[0], rel=1e-6, abs=1e-9)
    together = found.log_likelihood(np.array([float(sum(outcomes))]), np.array([len(outcomes)]))[0]
    assert chance == pytest.approx(together, rel=1e-6, abs=1e-6)


@given(mixtures(), thresholds)
def test_the_mirror_image_believes_the_opposite(found, threshold):
    mirrored = found.mirrored(np.array([True]))
    assert mirrored.mean()[0] == pytest.approx(1 - found.mean()[0])
    assert mirrored.above(threshold)[0] == pytest.approx(1 - found.above(1 - threshold)[0], abs=1e-6)
    assert all((a == b).all() for a, b in zip(found.mirrored(np.array([False])), found, strict=True))


def test_some_pairs_can_get_beliefs_of_another_number_of_components():
    before = Beliefs.alike(3, 0.5, 0.5)
    after = before.replaced(np.array([1]), two(0.25, (1, 1), (3, 1)))
    assert after.mean() == pytest.approx([0.5, 0.6875, 0.5])
    assert after.above(0.5)[[0, 2]] == pytest.approx([0.5, 0.5])
    assert after.of(np.array([1])).share.tolist() == [[0.25, 0.75]]
    assert before.share.shape == (3, 1)
    back = after.replaced(np.array([1]), Beliefs.alike(1, 2, 1))
    assert back.mean() == pytest.approx([0.5, 2 / 3, 0.5])


@pytest.mark.parametrize("found", [Beliefs.alike(2, 0.5, 20.5), two(0.1, (0.5, 3.5), (20.5, 0.5))])
def test_certainty_at_the_ends_of_the_scale_is_exact(found):
    # P(c ≥ 0) = 1 and P(c ≥ 1) = 0 under any belief: τ = 0 keeps every pair, τ = 1 none.
    assert set(found.above(0.0).tolist()) == {1.0}
    assert set(found.above(1.0).tolist()) == {0.0}


def test_of_no_pairs_there_is_nothing_to_believe():
    found = Beliefs.alike(0, 0.5, 0.5).after(np.zeros(0), np.zeros(0, int))
    assert found.above(0.5).shape == found.mean().shape == found.interval()[0].shape == (0,)
