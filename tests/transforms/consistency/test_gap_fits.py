"""Fits by folds, and when gaps are trusted over counts."""

import numpy as np
import pytest
from gap_worlds import MODEL, SKEWED, TWO_MODES, first, world

from transforms.consistency.beliefs import Beliefs
from transforms.consistency.gap_fits import _by_counting, fit_gaps
from transforms.consistency.proxy import FOLDS, Sampled, fit_proxy
from transforms.consistency.reward_gaps import believe, fit_shape


def fitted(gaps, *, by_margin=True, before=None):
    """Against counting as it would be from the same completions."""
    count = len(gaps.margin)
    rows, fold = np.arange(count), np.arange(count) % FOLDS
    n = (~np.isnan(gaps.values)).sum(axis=1)
    sampled = Sampled(rows, np.nansum(gaps.values > 0, axis=1).astype(float), n, np.ones(count, bool))
    known = {"threshold": 0.5, "accepted_error": 0.05, "fallback": (0.5, 0.5)}
    counting = fit_proxy(gaps.margin, gaps.share_cut, fold, sampled, **known).beliefs
    return fit_gaps(gaps, rows, fold, threshold=0.5, counting=counting, by_margin=by_margin, before=before)


@pytest.mark.parametrize("kind", [MODEL, SKEWED])
def test_gaps_are_trusted_where_they_foretell_wins_better_than_counts(kind):
    some, _ = world(kind, 200)
    found = fitted(first(some, 4))
    assert found.trusted and found.gain > 0.003
    assert f"{found.gain:+.3f} ± " in found.why


def test_wins_are_counted_where_the_shape_does_not_fit():
    some, _ = world(TWO_MODES, 200)
    found = fitted(first(some, 8))
    assert not found.trusted and found.gain < -0.01
    assert "wins are counted" in found.why


def test_wins_are_counted_where_too_few_pairs_have_two_completions():
    some, _ = world(MODEL, 200)
    found = fitted(first(some, 2, of_which=slice(19)))
    assert not found.trusted and found.shapes == ()
    assert "19 pairs" in found.why


def test_each_pair_is_judged_by_a_fit_that_did_not_see_its_fold():
    some, _ = world(MODEL, 100)
    some = first(some, 2)
    found = fitted(some)
    rows = np.array([7, 3, 12, 8, 97])
    judged = found.believe(rows, some.of(rows))
    for at, row in enumerate(rows):
        shape = fit_shape(some.of(np.arange(100) % FOLDS != row % FOLDS), threshold=0.5)
        alone = believe(shape, some.of(np.array([row])), threshold=0.5)
        np.testing.assert_allclose(judged.weight[at], alone.weight[0], atol=1e-12)
        np.testing.assert_allclose(judged.edges[judged.kind[at]], alone.edges[alone.kind[0]], atol=1e-12)
    assert len(found.believe(rows[:0], some.of(rows[:0])).above(0.5)) == 0


def test_a_fit_that_goes_on_from_the_last_one_ends_where_a_new_one_does():
    some, _ = world(MODEL, 300)
    warm = fitted(first(some, 4), before=fitted(first(some, 2)))
    cold = fitted(first(some, 4))
    assert warm.gain == pytest.approx(cold.gain, abs=0.003)


def test_counting_foretells_a_win_by_wins_and_losses_before_it():
    # Jeffreys: ½, then 1.5 / 2 after a win; a tie is half of each: P(win) is (0.5 + 1.5) / 3 after it.
    scores = _by_counting(np.array([[1.0, 0.0, -1.0, np.nan]]), Beliefs.alike(1, 0.5, 0.5))
    expected = [np.log(0.5), (np.log(0.75) + np.log(0.25)) / 2, np.log(1 - 2 / 3), np.nan]
    np.testing.assert_allclose(scores[0], expected, rtol=1e-12)


def test_gaps_must_do_better_than_by_chance_at_first_and_no_worse_later():
    some, _ = world(MODEL, 100)
    some = first(some, 2)
    found = fitted(some)
    gain, error = found.gain, float(found.why.split("± ")[1].split()[0])
    assert found.trusted == (gain > 0.5 * error)
    for before, least in ((found._replace(trusted=True), 0.0), (found._replace(trusted=False), 0.5)):
        again = fitted(some, before=before)
        error = float(again.why.split("± ")[1].split()[0])
        assert again.trusted == (again.gain > least * error)


def test_pairs_of_one_prompt_cannot_be_held_out():
    some, _ = world(MODEL, 60)
    flat = Beliefs.alike(60, 0.5, 0.5)
    one = np.zeros(60, int)
    found = fit_gaps(first(some, 2), np.arange(60), one, threshold=0.5, counting=flat, by_margin=True)
    assert not found.trusted and found.why == (
        "wins are counted: pairs are of too few prompts: 0 of 60 with two completions are left when a fold is held out"
    )
