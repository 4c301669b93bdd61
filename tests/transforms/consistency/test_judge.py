"""From evidence to columns, verdicts and reasons, with the numbers worked by hand."""

import numpy as np
import pytest
from evidence_support import believe, draw, evidence
from scipy import stats
from tests_support import chat, pairs_table, row

from transforms.consistency.gap_fits import GapFits
from transforms.consistency.judge import judge_pairs
from transforms.consistency.reward_gaps import Shape
from transforms.preparation.prepare import prepare
from transforms.preparation.truncation import Truncation

CHAT = chat()
NO_LIMITS = {"min_reward_margin": None}


def prepared(*rows, truncation=None):
    return prepare(pairs_table(*rows), CHAT, truncation or Truncation(), max_length=None).pairs


LONG_CHOSEN = row("q", "the cat sat on the mat", "dog")
EQUAL = row("q", "dog", "cat")


def judged(pairs, found, *, limits=None, threshold=0.5, places=None):
    places = {0: 0} if places is None else places
    return judge_pairs(pairs, found, places, threshold=threshold, limits=limits or NO_LIMITS).to_pylist()


def sampled(full, completions, *, reference="label", cut="chosen", delta=0.05):
    """One POET pair after a fixed number of completions."""
    found = evidence(1, cut=cut, n_max=len(completions), reference=reference)
    found.full["chosen"][0], found.full["rejected"][0] = full
    draw(found, 0, **{cut: completions})
    found.decide(threshold=0.5, delta=delta)
    return found


def test_two_of_three_completions_above_the_shorter_response_keep_the_pair():
    [pair] = judged(prepared(LONG_CHOSEN), sampled((2.0, 1.0), [1.5, 0.5, 3.0]))
    assert pair["consistency"] == pytest.approx(2 / 3)
    assert (pair["n"], pair["verdict"], pair["reason"], pair["decided_by"]) == (3, "keep", None, "n_max")
    assert (pair["consistency_low"], pair["consistency_high"]) == pytest.approx(stats.beta(2.5, 1.5).interval(0.95))
    assert pair["p_keep"] == pytest.approx(stats.beta.sf(0.5, 2.5, 1.5))
    twentieths = np.diff(stats.beta.cdf(np.linspace(0, 1, 21), 2.5, 1.5))
    assert pair["posterior"] == pytest.approx(twentieths.tolist(), abs=1e-6)
    assert (pair["reward_chosen"], pair["reward_rejected"]) == (2.0, 1.0)
    assert (pair["expected"], pair["audit"]) == (None, False)


def test_one_of_three_drops_it_as_inconsistent():
    [pair] = judged(prepared(LONG_CHOSEN), sampled((2.0, 1.0), [1.5, 0.5, 0.0]))
    assert (pair["verdict"], pair["reason"]) == ("drop", "inconsistent")


def test_where_the_reward_model_disagrees_with_the_label_its_own_order_is_the_other_reference():
    full, completions = (0.5, 1.0), [0.2, 0.3, 1.5]
    [by_label] = judged(prepared(LONG_CHOSEN), sampled(full, completions))
    [by_reward] = judged(prepared(LONG_CHOSEN), sampled(full, completions, reference="reward"))
    assert by_label["consistency"] == by_reward["consistency"] == pytest.approx(1 / 3)
    assert by_label["consistency_by_reward"] == pytest.approx(2 / 3)
    assert (by_label["verdict"], by_reward["verdict"]) == ("drop", "keep")


@pytest.mark.parametrize("reference", ["label", "reward"])
@pytest.mark.parametrize("full", [(0.5, 1.0), (1.0, 0.5), (1.0, 1.0)])
def test_the_interval_is_of_the_consistency_with_the_label_whatever_the_reference(full, reference):
    # One of three completions beats the rejected side: Beta(.5 + 1, .5 + 2) under the Jeffreys prior.
    completions = [full[1] + x for x in (0.5, -0.1, -0.2)]
    [pair] = judged(prepared(LONG_CHOSEN), sampled(full, completions, reference=reference))
    assert (pair["consistency_low"], pair["consistency_high"]) == pytest.approx(stats.beta(1.5, 2.5).interval(0.95))


def test_a_reward_model_that_sees_a_tie_has_no_order_of_its_own():
    [pair] = judged(prepared(LONG_CHOSEN), sampled((1.0, 1.0), [2.0, 2.0, 0.0]))
    assert pair["consistency_by_reward"] == 0.5


def test_a_pair_of_equal_lengths_is_consistent_by_definition_and_needs_no_sample():
    pairs = prepared(EQUAL)
    assert pairs["chosen_keep"].to_pylist() == pairs["rejected_keep"].to_pylist()
    found = evidence(1, cut="none")
    found.full["rejected"][0] = 1.0
    found.decide(threshold=0.5, delta=0.05)
    [pair] = judged(pairs, found)
    assert (pair["consistency"], pair["n"], pair["verdict"], pair["decided_by"]) == (1.0, 0, "keep", "uncut")
    assert (pair["consistency_low"], pair["consistency_high"], pair["p_keep"]) == (1.0, 1.0, 1.0)
    assert pair["consistency_by_reward"] == 1.0


def test_both_sides_cut_compare_all_combinations():
    pairs = prepared(
        row("q", "the cat sat on the mat", "the dog ran and ran"), truncation=Truncation(method="ratio", ratio=0.5)
    )
    found = evidence(1, cut="both", n_max=2)
    draw(found, 0, chosen=[1.0, 3.0], rejected=[2.0, 0.0])
    found.decide(threshold=0.5, delta=0.05)
    [pair] = judged(pairs, found)
    assert (pair["consistency"], pair["n"]) == (0.75, 2)


def test_a_pair_that_the_proxy_decided_has_an_expectation_and_no_estimate():
    found = evidence(1)
    believe(found, 0, 9, 1)
    found.expected[0], found.skippable[0] = 0.9, True
    found.decide(threshold=0.5, delta=0.05)
    [pair] = judged(prepared(LONG_CHOSEN), found)
    assert (pair["consistency"], pair["consistency_by_reward"], pair["n"]) == (None, None, 0)
    assert (pair["expected"], pair["decided_by"], pair["verdict"]) == (0.9, "proxy", "keep")
    assert (pair["consistency_low"], pair["consistency_high"]) == pytest.approx(stats.beta(9, 1).interval(0.95))


def test_an_undecided_pair_is_dropped_under_that_name_or_kept():
    found = evidence(2)
    draw(found, 0, chosen=[1.0])
    found.close_undecided(keep=False)
    pairs = prepared(LONG_CHOSEN, row("p", "the dog ran and ran", "cat"))
    dropped = judged(pairs, found, places={0: 0, 1: 1})
    assert [(p["verdict"], p["reason"], p["decided_by"]) for p in dropped] == [("drop", "undecided", "undecided")] * 2
    assert [p["consistency"] for p in dropped] == [1.0, None]
    kept = evidence(1)
    kept.close_undecided(keep=True)
    [pair] = judged(prepared(LONG_CHOSEN), kept)
    assert (pair["verdict"], pair["reason"], pair["decided_by"]) == ("keep", None, "undecided")


def test_a_pair_with_a_reason_stays_dropped_and_is_not_judged():
    pairs = prepared({**LONG_CHOSEN, "reason": "tie"}, row("z", "the dog ran and ran", "cat"))
    at = pairs["reason"].to_pylist().index(None)
    found = judged(pairs, sampled((2.0, 1.0), [3.0, 3.0]), places={at: 0})
    tie, live = found[1 - at], found[at]
    assert (tie["verdict"], tie["reason"], tie["consistency"], tie["audit"]) == ("drop", "tie", None, False)
    assert (live["verdict"], live["consistency"]) == ("keep", 1.0)


def test_rows_find_their_place_in_the_evidence_in_any_order():
    pairs = prepared(LONG_CHOSEN, row("p", "the dog ran and ran", "cat"))
    found = evidence(4, n_max=1)
    for place in (1, 3):
        draw(found, place, chosen=[place - 2.0])
    found.decide(threshold=0.5, delta=0.05)
    assert [p["consistency"] for p in judged(pairs, found, places={1: 1, 0: 3})] == [1.0, 0.0]


def test_without_evidence_every_good_pair_is_kept_unjudged():
    [pair] = judged(prepared(LONG_CHOSEN), None)
    assert (pair["verdict"], pair["consistency"], pair["n"], pair["decided_by"]) == ("keep", None, None, None)


def test_a_small_reward_margin_drops_with_its_rule_as_the_reason():
    found = sampled((1.2, 1.0), [2.0, 2.0, 2.0])
    [pair] = judged(prepared(LONG_CHOSEN), found, limits={"min_reward_margin": 0.5})
    assert (pair["verdict"], pair["reason"]) == ("drop", "min_reward_margin")


def test_inconsistency_is_named_before_a_small_margin():
    found = sampled((1.2, 1.0), [0.0, 0.0, 0.0])
    [pair] = judged(prepared(LONG_CHOSEN), found, limits={"min_reward_margin": 0.5})
    assert pair["reason"] == "inconsistent"


@pytest.mark.parametrize("full", [(0.5, 1.0), (1.0, 0.5), (1.0, 1.0)])
def test_the_interval_by_gaps_is_of_the_consistency_with_the_label_whatever_the_reference(full):
    shape = Shape(1.0, (0.0, 0.5, 0.0), 1.0, 0.01, 3.0, (0.0, 0.0, 0.0), 0.2, 6.0, 0.3)
    completions = [full[1] + x for x in (0.5, -0.1, -0.2)]
    ends = {}
    for reference in ("label", "reward"):
        found = sampled(full, completions, reference=reference)
        found.gap_fits = GapFits(True, "because", 0.1, (shape,), np.zeros(1, int), 0.5, True)
        found.decide(threshold=0.5, delta=0.05)
        [pair] = judged(prepared(LONG_CHOSEN), found)
        ends[reference] = pair["consistency_low"], pair["consistency_high"]
    assert ends["reward"] == pytest.approx(ends["label"], abs=1e-6)
    assert ends["label"][0] < pair["consistency"] < ends["label"][1]


def test_probabilities_do_not_carry_the_digits_in_which_processors_differ():
    found = sampled((2.0, 1.0), [1.5, 0.5, 3.0])
    found.expected[0] = 0.123456789 + 1e-13
    [pair] = judged(prepared(LONG_CHOSEN), found)
    assert pair["expected"] == 0.123456789
    assert all(pair[name] == round(pair[name], 9) for name in ("p_keep", "consistency_low", "consistency_high"))
