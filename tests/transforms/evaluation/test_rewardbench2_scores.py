"""RewardBench 2's scores, worked out by hand: best of four, Ties and its parts, the mean of six."""

import math

import numpy as np
import pytest

from transforms.evaluation.rewardbench2 import (
    SUBSETS,
    Rewarded,
    credit,
    missing,
    subset_records,
    ties_record,
    ties_score,
    total,
)
from transforms.records.rewardbench2 import SubsetRecord
from transforms.statistics.clustered import clustered_rate
from transforms.statistics.intervals import wilson


def row(name, chosen, rejected, *, subset="Math", prompt=None):
    rewards = np.array(chosen, float), np.array(rejected, float)
    return Rewarded(name, subset, prompt or name, *rewards)


def ties(*questions):
    """((tied right, tied wrong), (ref right, ref wrong)) a question."""
    found = []
    for number, forms in enumerate(questions):
        for form, rewards in zip(("tied", "ref"), forms, strict=True):
            if rewards:
                found.append(row(f"{form}:{number}", *rewards, subset="Ties", prompt=f"p{number}"))
    return found


# Right from wrong 1.5 apart, right from right 0.5; beside its ref, 0.25 apart.
FIRST = (([3.0, 2.5], [1.0, 0.0]), ([3.0], [2.75]))
# One right response below a wrong one (−1), right from right 3; ref 2 apart.
SECOND = (([1.0, 4.0], [2.0]), ([0.0], [-2.0]))


@pytest.mark.parametrize(
    ("chosen", "rejected", "expected"),
    [
        (2.0, [1.0, 0.0, -1.0], 1.0),
        (2.0, [2.0, 1.0, 0.0], 1 / 2),
        (2.0, [2.0, 2.0, 0.0], 1 / 3),
        (2.0, [2.0, 2.0, 2.0], 1 / 4),
        (1.0, [2.0, 0.0, 0.0], 0.0),
        (-3.0, [-4.0], 1.0),
    ],
)
def test_a_right_response_that_shares_the_highest_reward_counts_its_share(chosen, rejected, expected):
    assert credit(row("a", [chosen], rejected)) == expected


def test_a_subset_is_the_mean_of_its_rows_with_wilsons_interval_where_each_has_its_prompt():
    rows = [row("a", [2], [1, 0, 0]), row("b", [2], [2, 0, 0]), row("c", [0], [1, 1, 1]), row("d", [5], [1, 1, 1])]
    [found] = subset_records(rows)
    assert (found.subset, found.rows, found.responses, found.level) == ("Math", 4, 16, 1)
    assert (found.value, found.low, found.high) == pytest.approx(tuple(wilson(2.5, 4)))


def test_rows_of_one_prompt_say_less_than_as_many_prompts():
    rows = [row(str(at), [2.0 * (at < 4)], [1, 0, 0], prompt=str(at // 2)) for at in range(8)]
    apart = [one._replace(prompt=one.source_id) for one in rows]
    [together], [alone] = subset_records(rows), subset_records(apart)
    assert together.value == alone.value == 0.5
    assert together.high - together.low > alone.high - alone.low


def test_the_parts_of_ties_are_those_of_the_benchmarks_code():
    found = ties_record(ties(FIRST, SECOND))
    assert (found.questions, found.alone) == (2, 0)
    assert (found.tied, found.ref, found.preferred, found.preferred_hard) == (0.5, 1.0, 0.5, 0.0)
    assert found.margin == pytest.approx((math.tanh(0.25 / 0.5 - 1) + math.tanh(-1 / 3 - 1)) / 2)
    # 0.3 · 0.5 + 0.3 · 1 + 0.2 · 0.5 + 0.2 · 0 + 0.01 · (−0.46212 − 0.87006) / 2
    assert ties_score(found) == pytest.approx(0.55 - 0.0066609, abs=1e-7)


@pytest.mark.parametrize(
    ("right", "wrong", "ref", "parts"),
    [
        # right responses all alike: the distance is infinitely larger than their spread
        ([2.0, 2.0], [1.0], ([2.0], [1.0]), (1.0, 1.0, 1.0, 1.0, 1.0)),
        ([1.0, 1.0], [2.0], ([2.0], [1.0]), (0.0, 1.0, 0.0, 0.0, -1.0)),
        # everything alike: 0 / 0 counts nothing, and nothing is above anything
        ([1.0, 1.0], [1.0], ([2.0], [1.0]), (0.0, 1.0, 0.0, 0.0, 0.0)),
        # as far apart as spread: not further
        ([3.0, 2.0], [1.0], ([3.0], [2.0]), (1.0, 1.0, 0.0, 0.0, 0.0)),
        # level with a wrong one is not above it
        ([3.0, 2.0], [2.0], ([3.0], [3.0]), (0.0, 0.0, 0.0, 0.0, math.tanh(-1))),
    ],
)
def test_what_is_level_in_ties_is_decided_as_there(right, wrong, ref, parts):
    found = ties_record(ties(((right, wrong), ref)))
    assert (found.tied, found.ref, found.preferred, found.preferred_hard) == parts[:4]
    assert found.margin == pytest.approx(parts[4])


def test_a_row_of_ties_without_its_other_counts_where_it_can():
    rows = ties(FIRST, (([1.0, 4.0], [2.0]), None), (None, ([0.0], [1.0])))
    found = ties_record(rows)
    assert (found.questions, found.alone) == (1, 2)
    assert (found.tied, found.ref, found.preferred, found.preferred_hard) == (0.5, 0.5, 1.0, 0.0)


def test_ties_without_a_question_that_has_both_rows_has_no_score():
    assert ties_record(ties((FIRST[0], None), (None, SECOND[1]))) is None
    assert subset_records(ties((FIRST[0], None))) == []


def test_the_interval_of_ties_is_over_questions():
    rows = ties(FIRST, SECOND, FIRST)
    [found] = subset_records(rows)
    first = 0.8 + 0.01 * math.tanh(-0.5)
    second = 0.3 + 0.01 * math.tanh(-4 / 3)
    assert found.value == pytest.approx((2 * first + second) / 3)
    assert (found.rows, found.responses, found.level) == (6, 4 + 2 + 3 + 2 + 4 + 2, 0)
    stretched = clustered_rate((np.array([first, second, first]) + 0.01) / 1.02, ["0", "1", "2"])
    assert (found.low, found.high) == pytest.approx(
        (max(-0.01, 1.02 * stretched.low - 0.01), min(1.01, 1.02 * stretched.high - 0.01))
    )


def scored(subset, value, rows=10):
    shares = {"value": value, "low": value - 0.1, "high": value + 0.1}
    return SubsetRecord(subset=subset, rows=rows, responses=4 * rows, level=0, **shares)


def test_the_total_is_the_mean_of_six_whatever_their_sizes():
    values = dict(zip(SUBSETS, (0.9, 0.3, 0.6, 0.6, 0.3, 0.9), strict=True))
    found = total([scored(name, value, rows=1 if name == "Ties" else 500) for name, value in values.items()])
    assert found.value == pytest.approx(0.6)
    half = math.sqrt(6 * (0.1 / 6) ** 2)
    assert (found.low, found.high) == pytest.approx((0.6 - half, 0.6 + half))


def test_without_one_of_the_six_there_is_no_total():
    records = [scored(name, 0.5) for name in SUBSETS if name != "Focus"] + [scored("my own", 0.5)]
    assert total(records) is None
    assert missing(records) == ["Focus"]


def test_subsets_come_in_the_benchmarks_order_and_others_behind_them():
    names = ["my own", "Focus", "Factuality", "another", "Precise IF"]
    rows = [row(name, [1], [0, 0, 0], subset=name) for name in names]
    order = ["Factuality", "Precise IF", "Focus", "another", "my own"]
    assert [record.subset for record in subset_records(rows)] == order
