"""Standings of variants: paired by pair and seed, on the same pairs for all, worked by hand."""

import numpy as np
import pytest

from transforms.errors import ModelError
from transforms.evaluation.standings import PairScores, Trial, readable, standings, verdict
from transforms.statistics.intervals import MeanRecord
from transforms.statistics.two_way import two_way_difference, two_way_mean

PROMPTS = list("abcd")


def trial(variant, seed, margins, *, budgets=("steps",), chosen=None):
    sides = [None if chosen is None else np.array(chosen)] * 2
    return Trial(variant, seed, budgets, 3, 100 + seed, 1.5, PairScores(np.array(margins, float), *sides))


RAW = [trial("raw", 0, [1, -1, 2, -2]), trial("raw", 1, [1, 1, -3, -1])]
CUT = [trial("cut", 0, [2, 1, 0, -1]), trial("cut", 1, [1, 1, 1, -2])]


def test_a_difference_is_by_pair_and_seed():
    # Right or wrong, seed 0: (1 1 ½ 0) − (1 0 1 0) = (0 1 −½ 0); seed 1: (1 1 1 0) − (1 1 0 0) = (0 0 1 0).
    raw, cut = standings(["raw", "cut"], ["steps"], [*RAW, *reversed(CUT)], PROMPTS)
    expected = two_way_difference(np.array([[0, 1, -0.5, 0], [0, 0, 1, 0]]), PROMPTS)
    assert cut.difference.accuracy == expected
    assert cut.difference.accuracy.value == pytest.approx(1.5 / 8)
    assert cut.difference.margin == two_way_mean(np.array([[1, 2, -2, 1], [0, 0, 4, -1]], float), PROMPTS)
    assert cut.difference.trainings == 2
    assert raw.difference is None
    assert (raw.accuracy.value, cut.accuracy.value) == (0.5, 5.5 / 8)


def test_seeds_without_a_partner_count_for_the_standing_and_not_for_the_difference():
    _, cut = standings(["raw", "cut"], ["steps"], [RAW[0], *CUT], PROMPTS)
    assert (cut.trainings, cut.difference.trainings) == (2, 1)
    assert cut.difference.accuracy == MeanRecord(value=0.125, low=None, high=None)
    assert cut.difference.verdict == "unclear"
    [only] = standings(["raw", "cut"], ["steps"], [CUT[0]], PROMPTS)
    assert (only.variant, only.difference) == ("cut", None)


def test_a_training_stands_for_every_budget_that_it_meets():
    both = [one._replace(budgets=("steps", "tokens")) for one in RAW]
    found = standings(["raw", "cut"], ["steps", "tokens"], [*both, *CUT], PROMPTS)
    assert [(one.budget, one.variant) for one in found] == [("steps", "raw"), ("steps", "cut"), ("tokens", "raw")]
    assert (found[0].tokens, found[0].passes, found[0].steps) == (100.5, 1.5, 3)


def test_displacement_is_there_for_policies_only():
    moved = [trial("raw", seed, [1, 1, 1, 1], chosen=[seed, 0, -1, 0]) for seed in (0, 1)]
    [raw] = standings(["raw"], ["steps"], moved, PROMPTS)
    assert raw.chosen == raw.rejected == two_way_mean(np.array([[0, 0, -1, 0], [1, 0, -1, 0]], float), PROMPTS)
    assert standings(["raw"], ["steps"], RAW, PROMPTS)[0].chosen is None


def test_pairs_that_one_model_cannot_read_are_left_out_for_all():
    trials = [trial("raw", 0, [1, np.nan, 2, 1]), trial("cut", 0, [1, 1, 2, np.inf])]
    assert readable(trials) == [0, 2]
    with pytest.raises(ModelError, match="no held-out pair could be read by all 2 trained models"):
        readable([trial("raw", 0, [1, np.nan]), trial("cut", 0, [np.nan, 1])])


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.01, 0.2, "higher"),
        (-0.2, -0.01, "lower"),
        (-0.1, 0.3, "unclear"),
        (0.0, 0.3, "unclear"),
        (None, None, "unclear"),
    ],
)
def test_a_verdict_says_no_more_than_the_interval(low, high, said):
    assert verdict(MeanRecord(value=0.1, low=low, high=high)) == said
