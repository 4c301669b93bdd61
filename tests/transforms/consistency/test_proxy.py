"""The calibrated reward margin: what it learns, when it is refused, and that it never sees what it is held to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from transforms.consistency import proxy as module
from transforms.consistency.beliefs import Beliefs
from transforms.consistency.proxy import (
    FOLDS,
    MIN_AUDIT,
    Fit,
    Sampled,
    calibration,
    fit_calibration,
    fit_proxy,
    held_out_error,
)

TRUE = Fit(a=0.5, b=0.6, c=1.2, kappa=6.0, d=-2.0, f=0.5, centre=0.0, scale=1.0)


def draw(fit, count, seed, n=4, value_gap=0.0):
    """Margins, shares cut and wins of pairs as the fit believes them to be."""
    rng = np.random.default_rng(seed)
    margin, share = rng.normal(0.5, 1.5, count), rng.uniform(0, 1, count)
    believed = fit.beliefs(margin, share, value_gap)
    kind = (rng.random(count) < believed.share[:, 1]).astype(int)
    consistency = rng.beta(believed.wins[np.arange(count), kind], believed.losses[np.arange(count), kind])
    return margin, share, rng.binomial(n, consistency).astype(float), np.full(count, n)


def fitted(margin, share, wins, n, *, audit=None, fold=None, threshold=0.5, accepted_error=0.05, value_gap=None):
    count = len(margin)
    audit = np.arange(count) if audit is None else audit
    fold = np.arange(count) % FOLDS if fold is None else fold
    return fit_proxy(
        margin, share, fold, Sampled(audit, wins, n, np.ones(len(audit), bool)),
        threshold=threshold, accepted_error=accepted_error, fallback=(0.5, 0.5), value_gap=value_gap,
    )  # fmt: skip


def test_what_is_believed_is_the_formula_of_the_module():
    # Margin 2 at scale 4, half cut: logit μ = .5 + .5 · (.6 + 1.2 · .5) = 1.1, logit ε = −2 − .5 · (2 − 1) / 4.
    fit = TRUE._replace(centre=1.0, scale=4.0)
    believed = fit.beliefs(np.array([2.0]), np.array([0.5]))
    mean, strangers = 1 / (1 + np.exp(-1.1)), 1 / (1 + np.exp(2.125))
    assert fit.foretold(np.array([2.0]), np.array([0.5]))[0] == pytest.approx(mean)
    assert believed.share[0] == pytest.approx([1 - strangers, strangers])
    assert believed.wins[0] == pytest.approx([6 * mean, 0.5])
    assert believed.losses[0] == pytest.approx([6 * (1 - mean), 0.5])


def test_the_slopes_that_the_fit_follows_are_those_of_its_likelihood(monkeypatch):
    margin, share, wins, n = draw(TRUE, 60, seed=0)
    caught = []

    def caught_only(loss, start, **_):
        caught.append(loss)
        return optimize.OptimizeResult(x=start)

    monkeypatch.setattr(optimize, "minimize", caught_only)
    fit_calibration(margin, share, wins, n, value_gap=np.random.default_rng(1).normal(0.2, 1.5, 60))
    [loss] = caught
    at = np.array([0.3, 0.7, 0.9, 0.4, -1.5, 0.6, 0.8])
    theirs = optimize.approx_fprime(at, lambda x: loss(x)[0], 1e-6)
    assert loss(at)[1] == pytest.approx(theirs, rel=1e-4, abs=1e-4)


def test_a_large_audit_recovers_the_parameters_it_was_drawn_from():
    margin, share, wins, n = draw(TRUE, 20_000, seed=1)
    found = fit_calibration(margin, share, wins, n)
    slope, interaction = found.b / found.scale, found.c / found.scale
    assert found.a == pytest.approx(TRUE.a, abs=0.08)
    assert slope == pytest.approx(TRUE.b, abs=0.1)
    assert interaction == pytest.approx(TRUE.c, abs=0.15)
    assert found.kappa == pytest.approx(TRUE.kappa, rel=0.15)
    assert found.d + found.f * found.centre / found.scale == pytest.approx(TRUE.d, abs=0.3)
    assert found.f / found.scale == pytest.approx(TRUE.f, abs=0.2)


def test_values_at_the_cuts_raise_what_is_foretold_beside_the_margin():
    value_gap = np.random.default_rng(9).normal(0, 2, 20_000)
    true = TRUE._replace(g=0.7)
    margin, share, wins, n = draw(true, 20_000, seed=1, value_gap=value_gap)
    found = fit_calibration(margin, share, wins, n, value_gap=value_gap)
    assert found.g / found.scale == pytest.approx(0.7, abs=0.05)
    assert found.b / found.scale == pytest.approx(TRUE.b, abs=0.1)
    # μ by hand: 0.5 + 2 · (0.6 + 1.2 · 0.5) + 0.7 · 1 = 3.6
    one = np.ones(1)
    assert true.foretold(2 * one, 0.5 * one, one)[0] == pytest.approx(1 / (1 + np.exp(-3.6)))
    without = fit_calibration(margin, share, wins, n)
    assert without.g == 0.0


def test_a_proxy_with_values_knows_more_where_they_say_something_and_says_what_it_rests_on():
    value_gap = np.random.default_rng(9).normal(0, 2, 600)
    margin, share, wins, n = draw(TRUE._replace(b=0.1, c=0.0, g=0.9), 600, seed=3, value_gap=value_gap)
    alone, beside = (fitted(margin, share, wins, n, value_gap=each) for each in (None, value_gap))
    assert beside.gain > alone.gain + 0.05
    assert beside.why.startswith("the reward margin with the values at the cuts foretells consistency: +")
    assert beside.sure_from(2.0, 0.05).why.endswith("so it decides no pair alone")
    assert alone.why.startswith("the reward margin foretells ")


def test_the_constant_rate_ignores_the_margin():
    margin, share, wins, n = draw(TRUE, 2000, seed=2)
    found = fit_calibration(margin, share, wins, n, slope=False)
    assert (found.b, found.c, found.f) == (0.0, 0.0, 0.0)
    assert found.beliefs(margin, share).mean() == pytest.approx(np.full(2000, wins.sum() / n.sum()), abs=0.02)


def test_the_unit_of_the_rewards_does_not_matter():
    margin, share, wins, n = draw(TRUE, 500, seed=3)
    one = fit_calibration(margin, share, wins, n).beliefs(margin, share).mean()
    other = fit_calibration(1000 * margin, share, wins, n).beliefs(1000 * margin, share).mean()
    assert other == pytest.approx(one, abs=1e-3)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_larger_margin_never_foretells_less_even_where_the_audit_says_so(seed, share):
    rng = np.random.default_rng(seed)
    margin, n = rng.normal(size=30), np.full(30, 3)
    wins = rng.binomial(3, special.expit(-2 * margin)).astype(float)  # the wrong way round
    fit = fit_calibration(margin, rng.uniform(0, 1, 30), wins, n)
    grid = np.linspace(-5, 5, 50)
    assert (np.diff(fit.foretold(grid, np.full(50, share))) >= 0).all()
    assert (np.diff(fit.beliefs(grid, np.full(50, share)).share[:, 1]) <= 0).all()


def test_the_more_is_cut_the_less_the_margin_says():
    fit = fit_calibration(*draw(TRUE, 2000, seed=4))
    means = fit.foretold(np.full(3, 2.0), np.array([0.1, 0.5, 0.9]))
    assert (np.diff(means) < 0).all()


def test_halves_from_ties_are_wins_like_any_other():
    margin, share, wins, n = draw(TRUE, 400, seed=5)
    assert fitted(margin, share, np.minimum(wins + 0.5, n), n).informative


def test_a_margin_that_knows_something_is_used():
    found = fitted(*draw(TRUE, 400, seed=6))
    assert found.informative
    assert found.gain > 0.05
    assert found.why.startswith("the reward margin foretells consistency: +")


def test_a_useless_margin_is_called_so_and_every_pair_gets_the_audits_own_rate():
    useful = 0
    for seed in range(12):
        margin, share, wins, n = draw(TRUE, 150, seed)
        found = fitted(np.random.default_rng(100 + seed).permutation(margin), share, wins, n)
        useful += found.informative
        if not found.informative:
            assert found.why.startswith("the reward margin foretells nothing: ")
            means = found.beliefs.mean()
            assert len(set(means.tolist())) <= 5  # one a fold, whatever the margin
            assert means == pytest.approx(np.full(150, wins.sum() / n.sum()), abs=0.12)
            assert found.sure == np.inf
    assert useful <= 1  # a one-sided test at 5 %, of a gain whose mean is below zero


def test_margins_that_are_all_equal_are_useless_and_no_error():
    *_, wins, n = draw(TRUE, 100, seed=7)
    for margin in (0.0, 3.0):
        assert not fitted(np.full(100, margin), np.full(100, 0.5), wins, n).informative


def test_too_few_audit_pairs_are_no_evidence():
    margin, share, wins, n = draw(TRUE, MIN_AUDIT - 1, seed=8)
    found = fitted(margin, share, wins, n)
    assert (found.informative, found.gain, found.sure) == (False, 0.0, np.inf)
    assert found.why == "19 audit pairs are too few to tell what the reward margin says (at least 20)"
    assert np.isnan(found.expected).all()
    assert found.beliefs.wins.tolist() == found.beliefs.losses.tolist() == [[0.5]] * (MIN_AUDIT - 1)


def test_an_audit_of_no_pairs_is_no_evidence():
    nothing = np.zeros(0)
    found = fitted(nothing, nothing, nothing, nothing.astype(int), audit=nothing.astype(int), fold=nothing.astype(int))
    assert found.why.startswith("0 audit pairs are too few")


def test_an_audit_of_one_prompt_cannot_be_held_out():
    margin, share, wins, n = draw(TRUE, 60, seed=9)
    found = fitted(margin, share, wins, n, fold=np.full(60, 3))
    assert not found.informative
    assert found.why == "the audit pairs are of too few prompts: 0 of 60 are left when one fold is held out"


def test_no_prediction_knows_its_own_pairs_outcome_nor_its_folds():
    margin, share, wins, n = draw(TRUE, 200, seed=10)
    before = fitted(margin, share, wins, n)
    for pair in (0, 77):
        changed = wins.copy()
        changed[pair] = n[pair] - wins[pair]
        after = fitted(margin, share, changed, n)
        mine = np.arange(200) % FOLDS == pair % FOLDS
        assert (after.expected[mine] == before.expected[mine]).all()
        for old, new in zip(before.beliefs, after.beliefs, strict=True):
            assert (old[mine] == new[mine]).all()
        assert (after.expected[~mine] != before.expected[~mine]).any()


def test_pairs_outside_the_audit_are_foretold_by_a_fit_without_their_fold():
    margin, share, wins, n = draw(TRUE, 300, seed=11)
    audit = np.arange(0, 300, 2)
    found = fitted(margin, share, wins[audit], n[audit], audit=audit)
    fold = np.arange(300) % FOLDS
    seen = audit[fold[audit] != 1]
    fit = fit_calibration(margin[seen], share[seen], wins[seen], n[seen])
    assert found.expected[fold == 1].tolist() == fit.beliefs(margin[fold == 1], share[fold == 1]).mean().tolist()


def test_pairs_that_no_margin_explains_are_strangers():
    # One in five is lost although its margin is as good as any: strangers, not a mean of four fifths for all.
    margin, n = np.full(400, 1.0), np.full(400, 8)
    wins = np.where(np.arange(400) % 5 == 0, 0.0, 8.0)
    fit = fit_calibration(margin, np.full(400, 0.5), wins, n)
    believed = fit.beliefs(margin[:1], np.full(1, 0.5))
    assert believed.mean()[0] == pytest.approx(0.8, abs=0.05)
    after = believed.after(np.array([0.0]), np.array([2]))
    assert after.above(0.5)[0] < 0.1
    assert believed.after(np.array([2.0]), np.array([2])).above(0.5)[0] > 0.95


def surety(prior, wins, n, accepted):
    """Of audit pairs, each with one Beta distribution."""
    prior = np.asarray(prior, float)
    before = Beliefs(np.ones((len(prior), 1)), prior[:, :1], prior[:, 1:])
    after = before.after(np.asarray(wins, float), np.asarray(n))
    return module.surety(before, after, threshold=0.5, accepted_error=accepted)


def test_the_proxy_must_be_as_sure_as_the_last_audit_pair_before_the_error_is_too_large():
    # Beta(k, 1) with no completions is wrong with 2⁻ᵏ. Thirty each of k = 4, 3, 2, with one wrong verdict more:
    # (30/16 + 1) / 31 = .093, (30/16 + 30/8 + 1) / 61 = .109, (30/16 + 30/8 + 30/4 + 1) / 91 = .155.
    prior, nothing = [[2, 1], [4, 1], [3, 1]] * 30, [0] * 90
    assert surety(prior, nothing, nothing, 0.1) == pytest.approx(15 / 16)
    assert surety(prior, nothing, nothing, 1 / 8) == pytest.approx(7 / 8)
    assert surety(prior, nothing, nothing, 1 / 4) == pytest.approx(3 / 4)


def test_completions_that_contradict_the_proxy_forbid_it_to_decide():
    # Beta(4, 1) after 0 of 8 is Beta(4, 9): its verdict is very likely wrong.
    assert surety([[4, 1]] * 30, [0] * 30, [8] * 30, 1 / 8) == np.inf
    assert surety([[4, 1]] * 30, [8] * 30, [8] * 30, 1 / 8) == pytest.approx(15 / 16)


@pytest.mark.parametrize(("pairs", "vouch"), [(18, False), (20, True)])
def test_a_handful_of_faultless_audit_pairs_vouches_for_nothing(pairs, vouch):
    # (0 + 1) / (k + 1) ≤ 5 % takes nineteen.
    assert surety([[8, 1]] * pairs, [50] * pairs, [50] * pairs, 0.05) == (pytest.approx(1 - 2**-8) if vouch else np.inf)


def test_equally_sure_pairs_are_skipped_together_or_not_at_all():
    # All are Beta(4, 1). The first thirty alone have no error; with the ten that are contradicted it is a quarter.
    assert surety([[4, 1]] * 40, [8] * 30 + [0] * 10, [8] * 40, 1 / 8) == np.inf


def test_a_proxy_that_is_nowhere_sure_says_so_and_lends_its_prior_alone():
    weak = Fit(a=0.3, b=0.5, c=0.0, kappa=1.0, d=-2.0, f=0.0, centre=0.0, scale=1.0)
    found = fitted(*draw(weak, 600, seed=12), accepted_error=0.001)
    assert found.informative
    assert found.sure == np.inf
    assert found.why.endswith("nowhere surely enough for an error of 0.1%, so it decides no pair alone")
    assert (found.beliefs.wins > 0).all()


def test_the_held_out_error_is_the_mean_chance_of_a_wrong_verdict_with_wilsons_interval():
    record = held_out_error(np.array([0.0, 0.9, 0.1, 0.0]))
    theirs = stats.binomtest(1, 4).proportion_ci(0.95, method="wilson")
    assert (record.value, record.count) == (0.25, 4)
    assert (record.low, record.high) == pytest.approx((theirs.low, theirs.high))


def test_calibration_points_hold_equal_numbers_of_pairs_by_prediction():
    # 12 pairs make two points (five pairs each at least), by prediction whatever their order.
    expected = np.array([0.9, 0.1] * 6)
    margin, share = 10 * expected, np.array([1.0, 0.0] * 5 + [0.0, 1.0])
    low, high = calibration(expected, margin, share)
    assert (low.predicted, high.predicted) == pytest.approx((0.1, 0.9))
    assert (low.margin, high.margin) == pytest.approx((1.0, 9.0))
    assert (low.observed.value, low.observed.count) == (pytest.approx(1 / 6), 6)
    assert (high.observed.value, high.observed.count) == (pytest.approx(5 / 6), 6)


@pytest.mark.parametrize(("pairs", "points"), [(1, 1), (9, 1), (10, 2), (40, 8), (400, 8)])
def test_there_are_up_to_eight_calibration_points_and_every_pair_is_in_one(pairs, points):
    found = calibration(np.linspace(0, 1, pairs), np.zeros(pairs), np.ones(pairs))
    assert len(found) == points
    assert sum(point.observed.count for point in found) == pairs


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_at_the_end_of_the_scale_needs_no_sampling(threshold):
    # P(c ≥ 0) = 1 and P(c ≥ 1) = 0: every verdict is certain.
    found = fitted(*draw(TRUE, 400, seed=6), threshold=threshold)
    assert found.sure == 1.0
    assert (found.beliefs.certainty(threshold) >= found.sure).all()
