"""Accuracies by group, RewardBench's sections worked out by hand, and curves of what is kept."""

import numpy as np
import pytest

from transforms.evaluation.accuracies import Groups, accuracies, correct, kept_curve, sections
from transforms.evaluation.rewardbench import WEIGHTS
from transforms.statistics.clustered import weighted_share
from transforms.statistics.intervals import Rate, wilson


def groups(*rows, source="bench"):
    """(subset, number of pairs) → one prompt a pair."""
    subsets = [subset for subset, count in rows for _ in range(count)]
    return Groups([source] * len(subsets), subsets, [str(i) for i in range(len(subsets))])


def margins(*rows):
    """(right, ties, wrong) a subset."""
    return np.concatenate([[2.0] * right + [0.0] * ties + [-1.0] * wrong for right, ties, wrong in rows])


def test_a_tie_is_half_right():
    assert correct(np.array([0.1, 0.0, -0.1, -0.0])).tolist() == [1, 0.5, 0, 0.5]


def test_all_pairs_come_first_then_sources_then_subsets():
    found = accuracies(
        np.array([1.0, -1.0, 0.0, 3.0]),
        Groups(["b", "a", "b", "b"], [None, "x", "y", "z"], ["1", "2", "3", "3"]),
    )
    assert [(r.source, r.subset, r.pairs, r.prompts, r.ties, r.value, r.margin) for r in found] == [
        ("all", None, 4, 3, 1, 0.625, 0.75),
        ("a", None, 1, 1, 0, 0.0, -1.0),
        ("b", None, 3, 2, 1, pytest.approx(2.5 / 3), pytest.approx(4 / 3)),
        ("b", "y", 1, 1, 1, 0.5, 0.0),
        ("b", "z", 1, 1, 0, 1.0, 3.0),
    ]


def test_a_source_alone_is_not_said_twice():
    found = accuracies(np.array([1.0, 1.0]), Groups(["a", "a"], [None, None], ["1", "2"]))
    assert [r.source for r in found] == ["all"]
    assert (found[0].low, found[0].high) == pytest.approx(tuple(wilson(2, 2))[1:])


def test_of_no_pairs_there_is_no_accuracy():
    assert accuracies(np.zeros(0), Groups([], [], [])) == []


def test_a_section_weighs_its_subsets_as_published_and_not_by_the_pairs_that_are_there():
    # Chat Hard: mt-bench-hard has weight 37, llmbar-natural 100; 1 of 2 right, and 3 of 4 with a tie.
    found = accuracies(margins((1, 0, 1), (2, 2, 0)), groups(("mt-bench-hard", 2), ("llmbar-natural", 4)))
    [section] = sections(found)
    assert (section.source, section.section, section.pairs) == ("bench", "Chat Hard", 6)
    assert section.value == pytest.approx((37 * 0.5 + 100 * 0.75) / 137)
    parts = {r.subset: Rate(r.value, r.low, r.high) for r in found}
    expected = weighted_share([parts["mt-bench-hard"], parts["llmbar-natural"]], [37, 100])
    assert (section.low, section.high) == (expected.low, expected.high)
    assert section.missing == [
        "llmbar-adver-neighbor",
        "llmbar-adver-GPTInst",
        "llmbar-adver-GPTOut",
        "llmbar-adver-manual",
    ]


def test_mathematics_weighs_as_much_as_six_languages_of_code():
    names = list(WEIGHTS["Reasoning"])
    found = accuracies(margins((1, 0, 0), *[(0, 0, 1)] * 6), groups(*[(name, 1) for name in names]))
    assert sections(found)[0].value == pytest.approx(0.5)


def test_the_score_is_the_mean_of_all_four_sections():
    names = ["alpacaeval-easy", "llmbar-natural", "donotanswer", "hep-go"]
    found = sections(
        accuracies(margins((9, 0, 1), (5, 0, 5), (8, 0, 2), (7, 0, 3)), groups(*[(name, 10) for name in names]))
    )
    assert [s.section for s in found] == [*WEIGHTS, "RewardBench"]
    assert [s.value for s in found] == pytest.approx([0.9, 0.5, 0.8, 0.7, 0.725])
    assert found[-1].pairs == 40
    assert len(found[-1].missing) == 23 - 4


def test_without_all_four_sections_there_is_no_score():
    found = sections(accuracies(margins((1, 0, 1)), groups(("hep-go", 2))))
    assert [s.section for s in found] == ["Reasoning"]


def test_an_unknown_subset_is_reported_and_in_no_section():
    found = accuracies(margins((1, 0, 0), (0, 0, 1)), groups(("hep-go", 1), ("my own", 1)))
    assert [r.subset for r in found] == [None, "hep-go", "my own"]
    [section] = sections(found)
    assert (section.value, section.pairs) == (1.0, 1)


def test_the_published_weights_are_all_there():
    totals = {section: sum(weights.values()) for section, weights in WEIGHTS.items()}
    assert totals == {"Chat": 358, "Chat Hard": 456, "Safety": 740, "Reasoning": 1968}


def test_a_curve_has_the_share_of_each_point_over_all_pairs():
    found = kept_curve({0.5: np.array([1.0, -1.0, 0.0]), 1.0: np.array([1.0, 1.0, -1.0])}, ["a", "b", "c"])
    assert [(p.at, p.mean, p.pairs) for p in found] == [(0.5, 0.5, 3), (1.0, pytest.approx(2 / 3), 3)]
    assert (found[1].low, found[1].high) == pytest.approx(tuple(wilson(2, 3))[1:])


def test_a_single_pair_makes_no_curve():
    assert kept_curve({1.0: np.array([1.0])}, ["a"]) == []
