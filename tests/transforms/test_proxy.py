"""The calibrated reward margin: what it learns, when it is refused, and that it never sees what it is held to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from transforms import proxy as module
from transforms.proxy import (
    FOLDS,
    MIN_AUDIT,
    Fit,
    calibration,
    certainty,
    fit_calibration,
    fit_proxy,
    held_out_error,
    wrong_chance,
)

TRUE = Fit(a=0.5, b=0.6, c=1.2, kappa=6.0, scale=1.0)


def draw(fit, count, seed, n=4):
    """Margins, shares cut and wins of pairs whose consistencies are Beta-distributed around the fit's mean."""
    rng = np.random.default_rng(seed)
    margin, share = rng.normal(0.5, 1.5, count), rng.uniform(0, 1, count)
    mean = fit.mean(margin, share)
    consistency = rng.beta(fit.kappa * mean, fit.kappa * (1 - mean))
    return margin, share, rng.binomial(n, consistency).astype(float), np.full(count, n)


def fitted(margin, share, wins, n, *, audit=None, fold=None, threshold=0.5, accepted_error=0.05):
    count = len(margin)
    audit = np.arange(count) if audit is None else audit
    fold = np.arange(count) % FOLDS if fold is None else fold
    return fit_proxy(
        margin, share, fold, audit, wins, n,
        threshold=threshold, accepted_error=accepted_error, fallback=(0.5, 0.5),
    )  # fmt: skip


def test_the_mean_is_the_formula_of_the_module():
    # Margin 2 at scale 4, half cut: .5 + .5 · (.6 + 1.2 · .5) = 1.1.
    fit = TRUE._replace(scale=4.0)
    assert fit.mean(np.array([2.0]), np.array([0.5]))[0] == pytest.approx(1 / (1 + np.exp(-1.1)))


def test_the_likelihood_is_the_beta_binomials_without_its_coefficient():
    mean, kappa, n = np.array([0.3, 0.8]), 5.0, np.array([4, 3])
    wins = np.array([1.0, 3.0])
    theirs = stats.betabinom.logpmf(wins, n, kappa * mean, kappa * (1 - mean)) - np.log(special.comb(n, wins))
    assert module._log_likelihood(mean, kappa, wins, n) == pytest.approx(theirs)


def test_a_large_audit_recovers_the_parameters_it_was_drawn_from():
    margin, share, wins, n = draw(TRUE, 20_000, seed=1)
    found = fit_calibration(margin, share, wins, n)
    slope, interaction = found.b / found.scale, found.c / found.scale
    assert found.a == pytest.approx(TRUE.a, abs=0.08)
    assert slope == pytest.approx(TRUE.b, abs=0.1)
    assert interaction == pytest.approx(TRUE.c, abs=0.15)
    assert found.kappa == pytest.approx(TRUE.kappa, rel=0.1)


def test_the_constant_rate_ignores_the_margin():
    margin, share, wins, n = draw(TRUE, 2000, seed=2)
    found = fit_calibration(margin, share, wins, n, slope=False)
    assert (found.b, found.c) == (0.0, 0.0)
    assert found.mean(margin, share) == pytest.approx(np.full(2000, wins.sum() / n.sum()), abs=0.02)


def test_the_unit_of_the_rewards_does_not_matter():
    margin, share, wins, n = draw(TRUE, 500, seed=3)
    one = fit_calibration(margin, share, wins, n).mean(margin, share)
    other = fit_calibration(1000 * margin, share, wins, n).mean(1000 * margin, share)
    assert other == pytest.approx(one, abs=1e-3)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_larger_margin_never_foretells_less_even_where_the_audit_says_so(seed, share):
    rng = np.random.default_rng(seed)
    margin, n = rng.normal(size=30), np.full(30, 3)
    wins = rng.binomial(3, special.expit(-2 * margin)).astype(float)  # the wrong way round
    fit = fit_calibration(margin, rng.uniform(0, 1, 30), wins, n)
    grid = np.linspace(-5, 5, 50)
    assert (np.diff(fit.mean(grid, np.full(50, share))) >= 0).all()


def test_the_more_is_cut_the_less_the_margin_says():
    fit = fit_calibration(*draw(TRUE, 2000, seed=4))
    means = fit.mean(np.full(3, 2.0), np.array([0.1, 0.5, 0.9]))
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
            assert len({tuple(prior) for prior in found.prior.tolist()}) <= 5  # one a fold, whatever the margin
            means = found.prior[:, 0] / found.prior.sum(axis=1)
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
    assert found.prior.tolist() == [[0.5, 0.5]] * (MIN_AUDIT - 1)


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
        assert (after.prior[mine] == before.prior[mine]).all()
        assert (after.expected[~mine] != before.expected[~mine]).any()


def test_pairs_outside_the_audit_are_foretold_by_a_fit_without_their_fold():
    margin, share, wins, n = draw(TRUE, 300, seed=11)
    audit = np.arange(0, 300, 2)
    found = fitted(margin, share, wins[audit], n[audit], audit=audit)
    fold = np.arange(300) % FOLDS
    seen = audit[fold[audit] != 1]
    fit = fit_calibration(margin[seen], share[seen], wins[seen], n[seen])
    assert found.expected[fold == 1].tolist() == fit.mean(margin[fold == 1], share[fold == 1]).tolist()


def test_certainty_is_the_likelier_verdicts_probability():
    # P(c ≥ .5) under Beta(9, 1), Beta(1, 9) and Beta(1, 1): 1 − 2⁻⁹, 2⁻⁹, 1/2.
    prior = np.array([[9.0, 1.0], [1.0, 9.0], [1.0, 1.0]])
    assert certainty(prior, 0.5) == pytest.approx([1 - 2**-9, 1 - 2**-9, 0.5])
    assert certainty(prior, 0.0).tolist() == certainty(prior, 1.0).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("prior", "wins", "n", "wrong"), [([2, 1], 1, 1, 1 / 8), ([1, 2], 0, 1, 1 / 8), ([2, 1], 0, 0, 1 / 4)]
)
def test_a_verdict_is_as_likely_wrong_as_the_completions_that_it_did_not_see_say(prior, wins, n, wrong):
    # Beta(2, 1) keeps and is wrong with 1/4; after 1 of 1 it is Beta(3, 1), wrong with 1/8. Beta(1, 2) mirrors it.
    found = wrong_chance(np.array([prior], float), np.array([float(wins)]), np.array([n]), 0.5)
    assert found == pytest.approx([wrong])


def test_a_pair_that_the_prior_cannot_explain_is_judged_as_if_nothing_had_been_known_of_it():
    # 0 of 1 has the chance 1/3 under Beta(2, 1) and 1/2 under Jeffreys, so the share of strangers is the highest, 1/2:
    # the pair is one with (1/2) / (1/2 + 1/3) = 3/5, wrong with 1/2 + 1/π, and else Beta(2, 2), wrong with 1/2.
    found = wrong_chance(np.array([[2.0, 1.0]]), np.array([0.0]), np.array([1]), 0.5)
    assert found == pytest.approx([0.5 + 3 / 5 / np.pi])


def test_a_prior_that_is_too_sure_of_itself_does_not_explain_its_mistakes_away():
    # Seven of a hundred pairs lose all eight comparisons. Beta(45, 5) alone would call their verdicts right still:
    # Beta(45, 13).
    prior, n = np.tile([45.0, 5.0], (100, 1)), np.full(100, 8)
    wins = np.where(np.arange(100) < 7, 0.0, 8.0)
    assert stats.beta.cdf(0.5, 45, 13) < 1e-4
    assert wrong_chance(prior, wins, n, 0.5).sum() == pytest.approx(7, abs=0.1)


def surety(prior, wins, n, accepted):
    rows = np.arange(len(prior))
    return module._surety(
        np.asarray(prior, float), rows, np.asarray(wins, float), np.asarray(n), threshold=0.5, accepted_error=accepted
    )


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
    weak = Fit(a=0.3, b=0.5, c=0.0, kappa=1.0, scale=1.0)
    found = fitted(*draw(weak, 600, seed=12), accepted_error=0.001)
    assert found.informative
    assert found.sure == np.inf
    assert found.why.endswith("nowhere surely enough for an error of 0.1%, so it decides no pair alone")
    assert (found.prior > 0).all()


def test_the_held_out_error_is_the_share_of_other_verdicts_with_wilsons_interval():
    record = held_out_error(np.array([True, True, False, True]), np.array([True, False, False, True]))
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
    assert (certainty(found.prior, threshold) >= found.sure).all()
