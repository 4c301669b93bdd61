"""Implicit rewards of prefixes from one reading, by hand; and where training moved the data's likelihood."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.errors import ConfigError
from transforms.evaluation.displacement import displacement
from transforms.evaluation.implicit_rewards import ImplicitRewards, PairLogProbs, mean_log_probs

POLICY = PairLogProbs([np.array([-1.0, -2.0, -3.0])], [np.array([-4.0, -1.0])])
REFERENCE = PairLogProbs([np.array([-2.0, -2.0, -5.0])], [np.array([-3.0, -3.0])])


def margin(measure, chosen, rejected, *, reference=REFERENCE, beta=1.0):
    rewards = ImplicitRewards(POLICY, reference, measure=measure, beta=beta)
    [found] = rewards.margins({"chosen": np.array([chosen]), "rejected": np.array([rejected])})
    return found


# Log-ratios by token: chosen 1, 0, 2; rejected −1, 2.
@pytest.mark.parametrize(
    ("measure", "chosen", "rejected", "expected"),
    [
        ("log_ratio", 1, 1, 1 - (-1)),
        ("log_ratio", 2, 2, 1 - 1),
        ("log_ratio", 3, 2, 3 - 1),
        ("mean_log_ratio", 3, 2, 3 / 3 - 1 / 2),
        ("mean_log_prob", 1, 1, -1 - (-4)),
        ("mean_log_prob", 3, 2, -6 / 3 - (-5 / 2)),
    ],
)
def test_the_reward_of_a_prefix_is_a_sum_of_its_tokens(measure, chosen, rejected, expected):
    assert margin(measure, chosen, rejected) == pytest.approx(expected)
    assert margin(measure, chosen, rejected, beta=0.1) == pytest.approx(0.1 * expected)


def test_log_probs_alone_need_no_reference():
    assert margin("mean_log_prob", 3, 2, reference=None) == margin("mean_log_prob", 3, 2)


@pytest.mark.parametrize("measure", ["log_ratio", "mean_log_ratio"])
def test_a_ratio_without_a_reference_is_refused(measure):
    with pytest.raises(ConfigError, match=f"the implicit reward {measure} needs log-probs of a reference"):
        margin(measure, 1, 1, reference=None)


@settings(max_examples=40)
@given(st.lists(st.floats(-50, 0, width=32), min_size=1, max_size=30), st.data())
def test_a_cumulative_sum_is_the_sum_of_the_slice(tokens, data):
    keep = data.draw(st.integers(1, len(tokens)))
    read = PairLogProbs([np.array(tokens, np.float32)], [np.zeros(1, np.float32)])
    rewards = ImplicitRewards(read, None, measure="mean_log_prob")
    [found] = rewards.margins({"chosen": np.array([keep]), "rejected": np.array([1])})
    assert found == pytest.approx(np.mean(tokens[:keep]), abs=1e-9)


def test_a_pair_with_a_number_that_is_not_finite_is_named():
    good = np.zeros(2)
    read = PairLogProbs([good, good, np.array([-1.0, np.nan])], [good, np.array([-np.inf]), good])
    assert read.bad() == [1, 2]
    assert [len(tokens) for tokens in read.of([0, 1]).rejected] == [2, 1]


def test_mean_log_probs_are_per_token():
    assert {side: values.tolist() for side, values in mean_log_probs(POLICY).items()} == {
        "chosen": [-2.0],
        "rejected": [-2.5],
    }


def test_displacement_is_the_change_of_the_mean_log_probs():
    found = displacement(POLICY, REFERENCE, ["a"])
    assert [(one.side, one.before.value, one.after.value, one.change.value) for one in found] == [
        ("chosen", -3.0, -2.0, 1.0),
        ("rejected", -3.0, -2.5, 0.5),
        ("margin", 0.0, 0.5, 0.5),
    ]


def test_without_a_reference_only_the_policy_is_known():
    assert [(one.after.value, one.before, one.change) for one in displacement(POLICY, None, ["a"])] == [
        (-2.0, None, None),
        (-2.5, None, None),
        (0.5, None, None),
    ]
