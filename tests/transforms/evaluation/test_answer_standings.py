"""Win rates of variants over trainings and prompts, by hand."""

import numpy as np
import pytest

from transforms.evaluation.answer_standings import AnswersTrial, answer_standings, common_prompts
from transforms.pairing.win_rate import Comparisons
from transforms.statistics.two_way import two_way_difference, two_way_mean, two_way_share


def trial(variant, seed, wins, longer=None, *, prompts=None, budgets=("steps",)):
    prompts = np.arange(len(wins)) if prompts is None else np.array(prompts)
    longer = np.zeros(len(wins), np.int64) if longer is None else np.array(longer)
    compared = Comparisons(np.arange(len(wins)), np.array(wins, float), longer, prompts, len(wins))
    return AnswersTrial(variant, seed, budgets, compared, 100.0 * (seed + 1), 0.5)


def test_only_prompts_that_all_trainings_could_be_compared_on_count():
    trials = [
        trial("raw", 0, [1, 0, 1, 0], prompts=[1, 2, 3, 4]),
        trial("poet", 0, [1, 1, 1], prompts=[2, 3, 5]),
    ]
    prompts = common_prompts(trials)
    assert prompts.tolist() == [2, 3]
    raw, poet = answer_standings(["raw", "poet"], ["steps"], trials, prompts)
    assert (raw.rate.value, poet.rate.value, poet.difference.rate.value) == (0.5, 1.0, 0.5)


def test_rates_and_differences_are_over_trainings_and_prompts_and_paired_by_seed():
    raw = [[1, 0, 0, 0.5], [1, 0, 1, 0]]
    poet = [[1, 1, 0, 1], [1, 1, 1, 0]]
    trials = [trial("raw", 0, raw[0]), trial("raw", 1, raw[1]), trial("poet", 1, poet[1]), trial("poet", 0, poet[0])]
    names = ["0", "1", "2", "3"]
    first, second = answer_standings(["raw", "poet"], ["steps"], trials, np.arange(4))
    assert first.difference is None
    assert first.rate == two_way_share(np.array(raw), names)
    assert (first.characters, first.ended, first.trainings) == (150.0, 0.5, 2)
    difference = second.difference
    assert difference.trainings == 2
    assert difference.rate == two_way_difference(np.array(poet, float) - np.array(raw), names)
    assert difference.rate.value == pytest.approx(3 / 8 - 0.5 / 8)
    # No lengths differ, so the rate at equal length is the rate.
    assert second.at_equal_length.value == second.rate.value == 0.75
    assert difference.at_equal_length.value == pytest.approx(difference.rate.value)
    mean = two_way_mean(np.array(poet, float), names)
    assert second.at_equal_length.low == pytest.approx(max(mean.low, 0.0))
    assert second.at_equal_length.high == pytest.approx(min(mean.high, 1.0))


def test_without_a_common_seed_there_is_no_difference():
    trials = [trial("raw", 0, [1, 0, 1]), trial("poet", 1, [1, 1, 1])]
    _, poet = answer_standings(["raw", "poet"], ["steps"], trials, np.arange(3))
    assert poet.difference is None


def test_a_training_that_length_alone_explains_leaves_its_variant_without_a_rate_at_equal_length():
    separated = [-5, -3, 4, 6]
    mixed = [-5, 3, -4, 6]
    trials = [trial("raw", 0, [0, 1, 1, 0], mixed), trial("poet", 0, [0, 0, 1, 1], separated)]
    raw, poet = answer_standings(["raw", "poet"], ["steps"], trials, np.arange(4))
    assert raw.at_equal_length is not None
    assert (poet.at_equal_length, poet.not_fitted, poet.difference.at_equal_length) == (None, "separated", None)


def test_a_training_that_stands_for_two_budgets_is_in_both():
    trials = [trial("raw", 0, [1, 0, 1], budgets=("steps", "tokens")), trial("poet", 0, [1, 1, 1])]
    found = answer_standings(["raw", "poet"], ["steps", "tokens"], trials, np.arange(3))
    assert [(one.budget, one.variant) for one in found] == [("steps", "raw"), ("steps", "poet"), ("tokens", "raw")]
