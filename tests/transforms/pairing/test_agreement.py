"""Kendall's τ-b within prompts: against scipy, by hand, and with every prompt counted."""

import numpy as np
import pytest
from hypothesis import given
from pairing_support import run, runs
from scipy import stats

from transforms.pairing.agreement import agreement, kendall
from transforms.statistics.clustered import clustered_difference
from transforms.statistics.intervals import Rate, wilson

NAN = float("nan")


@given(runs(annotators=2))
def test_tau_is_scipys_prompt_by_prompt(scored):
    a, b = scored.scores.T
    found = kendall(scored.prompt, a, b)
    for prompt in range(scored.prompts):
        mine = (scored.prompt == prompt) & ~np.isnan(a) & ~np.isnan(b)
        if mine.sum() < 2 or len(set(a[mine])) < 2 or len(set(b[mine])) < 2:
            assert np.isnan(found[prompt])
        else:
            assert found[prompt] == pytest.approx(stats.kendalltau(a[mine], b[mine], variant="b").statistic)


def test_two_annotators_agree_as_far_as_their_orders_do():
    # τ: 1; −1; of three pairs two alike and one that b finds equal, 2 / √(3 · 2).
    found = agreement(run([(1, 1), (2, 5)], [(1, 5), (2, 1)], [(1, 1), (2, 2), (3, 2)]))
    one = found.pairs[0]
    taus = np.array([1, -1, 2 / 6**0.5])
    assert (one.first, one.second, one.prompts, one.too_few, one.constant) == ("a", "b", 3, 0, 0)
    assert one.tau == clustered_difference(taus, ["0", "1", "2"])
    assert one.tau.value == pytest.approx(taus.mean())
    # The same best: yes, no, and to b two of which one is a's: ½.
    assert one.same_best.value == pytest.approx(0.5)
    assert found.same_best == one.same_best
    assert found.prompts == 3


def test_a_prompt_that_says_nothing_is_counted_with_its_reason():
    one = agreement(run([(1, 1)], [(1, NAN), (2, 1)], [(1, 1), (1, 2)], [(1, 1), (2, 2), (NAN, 0)])).pairs[0]
    assert (one.prompts, one.too_few, one.constant) == (1, 2, 1)
    assert (one.tau.value, one.tau.low, one.tau.high) == (1, None, None)
    assert one.same_best == wilson(1, 1)


def test_where_no_prompt_counts_nothing_is_known():
    found = agreement(run([(1, 1)], [(2, 2)]))
    assert found.pairs[0].tau is None
    assert found.pairs[0].same_best == found.same_best == Rate(0.0, 0.0, 1.0)
    assert (found.prompts, found.left_out) == (0, 2)


def test_full_agreement_of_few_prompts_is_not_certain():
    one = agreement(run(*[[(1, 1), (2, 2)]] * 5)).pairs[0]
    assert one.tau.value == 1
    assert one.tau.low < 0.8
    assert one.same_best == wilson(5, 5)


def test_of_three_annotators_all_must_have_the_same_best():
    scored = run(
        [(1, 1, 1), (2, 2, 2)], [(1, 1, 2), (2, 2, 1)], [(1, 1, NAN), (2, 2, 1)], names=("rm", "judge", "other")
    )
    found = agreement(scored)
    assert [(one.first, one.second) for one in found.pairs] == [("rm", "judge"), ("rm", "other"), ("judge", "other")]
    assert [one.same_best.value for one in found.pairs] == [1, 0.5, 0.5]
    assert (found.same_best.value, found.prompts, found.left_out) == (0.5, 2, 1)


def test_one_annotator_has_nobody_to_agree_with():
    assert agreement(run([1, 2])).pairs == ()


@given(runs(annotators=3))
def test_every_prompt_is_counted_once(scored):
    found = agreement(scored)
    assert found.prompts + found.left_out == scored.prompts
    for one in found.pairs:
        assert one.prompts + one.too_few + one.constant == scored.prompts
        assert 0 <= one.same_best.low <= one.same_best.high <= 1
