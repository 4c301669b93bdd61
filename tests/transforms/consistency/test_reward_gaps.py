"""What the size of gaps says of a consistency: against closed forms, integrals and made worlds."""

from dataclasses import replace

import numpy as np
import pytest
from gap_worlds import MODEL, SKEWED, first, world
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from transforms.consistency import reward_gaps as module
from transforms.consistency.reward_gaps import GapBeliefs, Gaps, Shape, believe, fit_shape, foresight

# Nearly normal noise of spread 2 around a place that is N(1 + margin, 3²) beforehand; no strangers.
NORMAL = Shape(
    scale=1.0, place=(1.0, 1.0, 0.0), apart=3.0, strangers=1e-12, far=10.0, spread=(float(np.log(2)), 0.0, 0.0),
    uneven=1e-6, degrees=1e6, skew=0.0,
)  # fmt: skip


def gaps(*values, margin=0.0, cut=0.5, skew=0):
    return Gaps(np.array([margin]), np.array([cut]), np.array([values], float).reshape(1, -1), np.array([skew]))


def normal_posterior(margin, values):
    """Mean and standard deviation of the place: precisions add up."""
    precision = 1 / 9 + len(values) / 4
    return ((1 + margin) / 9 + sum(values) / 4) / precision, precision**-0.5


@pytest.mark.parametrize("values", [(), (0.3,), (-2.0,), (1.5, -2.5, -1.0), (-4.0, -3.0, -5.0, -2.0)])
@pytest.mark.parametrize("margin", [0.0, -3.0])
def test_with_normal_noise_the_posterior_is_the_conjugate_one(values, margin):
    mean, deviation = normal_posterior(margin, values)
    found = believe(NORMAL, gaps(*values, margin=margin), threshold=0.5)
    assert found.above(0.5)[0] == pytest.approx(stats.norm.cdf(mean / deviation), abs=2e-3)
    # The next gap is N(mean, deviation² + 2²).
    assert found.mean()[0] == pytest.approx(stats.norm.cdf(mean / np.hypot(deviation, 2)), abs=5e-3)
    for level, end in zip((0.025, 0.975), found.interval(), strict=True):
        assert end[0] == pytest.approx(stats.norm.cdf(stats.norm.ppf(level, mean, deviation) / 2), abs=1e-2)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_before_the_first_gap_the_chance_to_be_above_any_threshold_is_exact(threshold):
    # Φ(m / 2) ≥ τ where m ≥ 2 · Φ⁻¹(τ), and m is N(1, 3²).
    found = believe(NORMAL, gaps(), threshold=threshold)
    assert found.above(threshold)[0] == pytest.approx(stats.norm.sf(2 * stats.norm.ppf(threshold), 1, 3), abs=1e-6)


@pytest.mark.parametrize("skew", [-1, 0, 1])
@pytest.mark.parametrize("u", [-1.2, 0.0, 0.4])
def test_the_consistency_of_a_place_is_the_integral_of_the_skewed_noise(u, skew):
    shape = replace(NORMAL, degrees=4.0, skew=0.45)
    tilt = np.exp(0.45 * skew)

    def density(e):
        return 2 / (tilt + 1 / tilt) * stats.t.pdf(e / tilt if e >= 0 else e * tilt, 4)

    expected = (
        integrate.quad(density, -u, np.inf, points=[0.0] if u > 0 else None, limit=200)[0]
        if u <= 0
        else (1 - integrate.quad(density, -np.inf, -u)[0])
    )
    assert module._consistency(np.array(u), shape, skew) == pytest.approx(expected, abs=1e-7)
    assert module._at(expected, shape, skew) == pytest.approx(u, abs=1e-6)


def test_each_side_of_the_threshold_has_its_own_cells():
    for skew in (-1, 0, 1):
        found = believe(replace(NORMAL, degrees=3.0, skew=0.6), gaps(0.2, skew=skew), threshold=0.7)
        edges = found.edges[found.kind[0]]
        assert edges[module._SIDE] == pytest.approx(0.7, abs=1e-12)
        assert found.above(0.7)[0] == pytest.approx(found.weight[0, module._SIDE :].sum(), abs=1e-12)
        assert (np.diff(edges) > 0).all() and edges[[0, -1]].tolist() == [0.0, 1.0]


some = st.lists(st.floats(-8, 8), min_size=1, max_size=4)


@given(some, st.floats(-5, 5), st.sampled_from([-1, 0, 1]), st.floats(0.05, 0.95))
def test_turned_round_gaps_say_the_opposite(values, margin, skew, threshold):
    shape = replace(NORMAL, place=(0.0, 1.0, 0.5), degrees=6.0, skew=0.3, uneven=0.4, strangers=0.1)
    one = believe(shape, gaps(*values, margin=margin, skew=skew), threshold=threshold)
    other = believe(shape, gaps(*(-v for v in values), margin=-margin, skew=-skew), threshold=1 - threshold)
    np.testing.assert_allclose(other.above(1 - threshold), 1 - one.above(threshold), atol=1e-9)
    turned = one.mirrored(np.array([True]))
    np.testing.assert_allclose(turned.mean(), other.mean(), atol=1e-9)
    np.testing.assert_allclose(one.mirrored(np.array([False])).weight, one.weight)


@given(some, st.floats(0.01, 3))
def test_a_larger_gap_never_speaks_against_a_pair_with_normal_noise(values, more):
    before = believe(NORMAL, gaps(*values), threshold=0.5).above(0.5)
    assert believe(NORMAL, gaps(*values[:-1], values[-1] + more), threshold=0.5).above(0.5) >= before - 1e-9


def test_one_gap_far_outside_is_taken_for_a_stranger_and_no_number_is_lost():
    shape = replace(NORMAL, degrees=6.0, strangers=0.05)
    found = believe(shape, gaps(-1e6), threshold=0.5)
    assert np.isfinite(found.weight).all()
    assert found.weight.sum() == pytest.approx(1)


def test_gaps_of_different_number_are_each_judged_by_their_own():
    together = Gaps(
        np.zeros(3), np.full(3, 0.5), np.array([[1.0, np.nan], [1.0, 2.0], [np.nan, np.nan]]), np.zeros(3, int)
    )
    found = believe(NORMAL, together, threshold=0.5).above(0.5)
    alone = [believe(NORMAL, gaps(*values), threshold=0.5).above(0.5)[0] for values in ((1.0,), (1.0, 2.0), ())]
    np.testing.assert_allclose(found, alone, rtol=1e-12)


def test_more_pairs_than_one_chunk_holds_are_judged_alike(monkeypatch):
    some, _ = world(MODEL, 30)
    whole = believe(NORMAL, some, threshold=0.5)
    monkeypatch.setattr(module, "_CHUNK", 7)
    np.testing.assert_array_equal(believe(NORMAL, some, threshold=0.5).weight, whole.weight)
    shape = fit_shape(some, threshold=0.5)
    monkeypatch.undo()
    assert shape.apart == pytest.approx(fit_shape(some, threshold=0.5).apart, rel=1e-6)


def test_a_fit_finds_what_made_the_gaps():
    some, _ = world(MODEL, 3000)
    found = fit_shape(first(some, 8), threshold=0.5)
    scale = found.scale
    assert found.place[0] * scale == pytest.approx(0.0, abs=0.15)
    assert found.place[1:] == pytest.approx((0.32, 0.48), abs=0.06)
    assert found.apart * scale == pytest.approx(1.0, rel=0.15)
    middle = np.exp(found.spread[0] + 0.5 * found.spread[1]) * scale
    assert middle == pytest.approx(1.5, rel=0.06)
    assert found.uneven == pytest.approx(0.3, abs=0.08)
    assert (found.degrees in (4.0, 6.0, 10.0)) and abs(found.skew) < 0.2 and found.strangers < 0.1


def test_a_fit_finds_noise_that_is_skewed_towards_the_completed_side():
    # Gamma noise leans to the right in rewards; gaps of a completed rejected side lean to the left.
    some, _ = world(SKEWED, 1000)
    assert fit_shape(first(some, 8), threshold=0.5).skew >= 0.25
    assert fit_shape(first(some, 8)._replace(skew=-some.skew), threshold=0.5).skew <= -0.25


def test_two_completions_vary_more_than_one():
    # Both sides completed: the noise of each pair is that of two, √2 as wide.
    some, _ = world(MODEL, 2000)
    both = np.arange(2000) % 2 == 0
    place = some.values.mean(axis=1, keepdims=True)
    values = np.where(both[:, None], place + np.sqrt(2) * (some.values - place), some.values)
    found = fit_shape(first(some._replace(values=values, skew=np.where(both, 0, some.skew)), 8), threshold=0.5)
    assert found.spread[2] == pytest.approx(np.log(2) / 2, abs=0.06)


def test_pairs_far_from_the_threshold_do_not_widen_the_spread_of_those_near_it():
    some, _ = world(MODEL, 1500)
    far = np.arange(1500) % 2 == 0
    moved = some._replace(values=some.values + np.where(far, 12.0, 0.0)[:, None])  # eight spreads up
    found = fit_shape(first(moved, 8), threshold=0.5)
    middle = np.exp(found.spread[0] + 0.5 * found.spread[1]) * found.scale
    assert middle == pytest.approx(1.5, rel=0.08)


def test_a_fit_that_begins_with_the_wrong_skew_does_not_end_there():
    some, _ = world(SKEWED, 1000)
    some = first(some, 8)
    right = fit_shape(some, threshold=0.5)
    again = fit_shape(some, threshold=0.5, start=replace(right, skew=-0.6, degrees=3.0))
    assert (again.skew, again.degrees) == (right.skew, right.degrees)


@pytest.mark.parametrize("unit", [0.001, 1000.0])
def test_the_unit_of_rewards_does_not_matter(unit):
    some, _ = world(MODEL, 200)
    some = first(some, 2)
    other = some._replace(margin=unit * some.margin, values=unit * some.values)
    one, two = (believe(fit_shape(x, threshold=0.5), x, threshold=0.5).above(0.5) for x in (some, other))
    np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("number", [1, 2, 8])
def test_a_fitted_posterior_errs_as_often_as_it_says(number):
    # Two of each of a fifth of the pairs, as an audit has them, or the spread could not be told from the places.
    some, consistency = world(MODEL, 3000, seed=3)
    some = first(some, max(number, 2), of_which=slice(600) if number == 1 else slice(None))
    found = believe(fit_shape(some, threshold=0.5), some, threshold=0.5)
    wrong = (found.above(0.5) >= 0.5) != (consistency >= 0.5)
    believed = 1 - found.certainty(0.5)
    assert wrong.mean() == pytest.approx(believed.mean(), abs=0.02)
    low, high = found.interval()
    # Few completions tell spreads and places apart badly, and the fit is then on the wide side.
    assert 0.935 <= ((low <= consistency) & (consistency <= high)).mean() <= 0.98
    keeps = np.ones(len(wrong), bool)
    np.testing.assert_allclose(found.wrong(keeps, 0.5), 1 - found.above(0.5))


@pytest.mark.parametrize("values", [np.zeros((40, 2)), np.ones((40, 2)), np.tile([1.0, -1.0], (40, 1))])
def test_gaps_without_any_spread_can_be_fitted(values):
    some = Gaps(np.zeros(40), np.full(40, 0.5), values, np.ones(40, int))
    found = believe(fit_shape(some, threshold=0.5), some, threshold=0.5)
    assert np.isfinite(found.weight).all()
    expected = {0.0: 0.5, 2.0: 1.0}[abs(values.sum(axis=1)[0])]
    assert found.above(0.5) == pytest.approx(np.full(40, expected), abs=0.1)


def test_the_sign_of_each_gap_is_foretold_by_those_before_it():
    some = gaps(1.0, -2.0, 0.0)
    chances = [believe(NORMAL, gaps(*some.values[0, :number]), threshold=0.5).mean()[0] for number in range(3)]
    expected = [np.log(chances[0]), np.log(1 - chances[1]), (np.log(chances[2]) + np.log(1 - chances[2])) / 2]
    np.testing.assert_allclose(foresight(NORMAL, some, threshold=0.5)[0], expected, rtol=1e-12)
    missing = foresight(NORMAL, gaps(1.0, np.nan), threshold=0.5)[0]
    assert not np.isnan(missing[0]) and np.isnan(missing[1])


def flat(places, weights):
    """Beliefs of one pair on some cells."""
    weight = np.zeros((1, len(module._CELLS)))
    weight[0, places] = weights
    return GapBeliefs(weight, np.linspace(0, 1, len(module._EDGES))[None], np.zeros(1, int), np.ones(1))


def test_the_value_of_sampling_is_how_often_two_correlated_normals_disagree_less():
    found = believe(NORMAL, gaps(0.5), threshold=0.5)
    mean = float((found.weight @ module._CELLS)[0])
    variance = float((found.weight @ module._CELLS**2)[0]) - mean**2
    share = variance * 3 * found.information[0] / (1 + variance * 3 * found.information[0])
    both = stats.multivariate_normal([mean, mean], variance * np.array([[share, share], [share, 1.0]]))
    # P(posterior mean > 0, place < 0) + P(posterior mean < 0, place > 0)
    below = both.cdf([0.0, 0.0])
    later = stats.norm.cdf(0, mean, (share * variance) ** 0.5) + stats.norm.cdf(0, mean, variance**0.5) - 2 * below
    now = stats.norm.cdf(-abs(mean) / variance**0.5)
    assert found.value_of_sampling(step=3, threshold=0.5)[0] == pytest.approx(now - later, abs=1e-5)


def test_a_pair_that_is_sure_is_worth_no_completion_and_an_open_one_is_worth_more_with_more():
    middle = module._SIDE
    sure, open_ = flat([-3], [1.0]), flat([middle - 8, middle + 8], [0.5, 0.5])
    assert sure.value_of_sampling(step=4, threshold=0.5)[0] == pytest.approx(0.0, abs=1e-12)
    values = [open_.value_of_sampling(step=step, threshold=0.5)[0] for step in (1, 2, 4, 8)]
    assert values == sorted(values) and values[0] > 0.01


def test_rows_can_be_chosen():
    some, _ = world(MODEL, 10)
    found = believe(NORMAL, some, threshold=0.5)
    part = found.of(np.array([3, 1]))
    np.testing.assert_allclose(part.above(0.5), found.above(0.5)[[3, 1]], rtol=1e-12)  # sums of another number of rows
    np.testing.assert_array_equal(part.information, found.information[[3, 1]])


def test_a_fit_learns_how_far_values_at_the_cuts_move_a_pair():
    some, _ = world(MODEL, 1500)
    value_gap = np.random.default_rng(4).normal(0, 2, 1500)
    moved = some._replace(values=some.values + 0.8 * value_gap[:, None], value_gap=value_gap)
    found = fit_shape(moved, threshold=0.5)
    assert found.by_value == pytest.approx(0.8, abs=0.06)  # gaps and values are over one scale
    assert fit_shape(moved._replace(value_gap=None), threshold=0.5).by_value == 0.0
    # A pair of no margin, half cut, whose values differ by 3: its place is foretold a + 0.8 · 3.
    one = Gaps(np.zeros(1), np.full(1, 0.5), np.zeros((1, 0)), np.ones(1, int), np.full(1, 3.0))
    by_hand = found.place[0] + found.by_value * 3 / found.scale
    assert found.foretold(one)[0] == pytest.approx(by_hand)
    assert moved.of(slice(2, 4)).value_gap.tolist() == value_gap[2:4].tolist()
