"""From rewards to verdicts, with the numbers worked by hand."""

import pytest
from tests_support import chat, pairs_table, row

from transforms.judge import PairRewards, judge_pairs
from transforms.prepare import prepare
from transforms.truncation import Truncation

CHAT = chat()
NO_LIMITS = {"min_reward_margin": None}


def prepared(*rows, truncation=None):
    return prepare(pairs_table(*rows), CHAT, truncation or Truncation(), max_length=None).pairs


LONG_CHOSEN = row("q", "the cat sat on the mat", "dog")
EQUAL = row("q", "dog", "cat")


def judged(pairs, rewards, *, reference="label", limits=None, threshold=0.5):
    return judge_pairs(
        pairs,
        rewards,
        prior=(0.5, 0.5),
        threshold=threshold,
        delta=0.05,
        reference=reference,
        limits=limits or NO_LIMITS,
    ).to_pylist()


def poet(full, samples, n=3):
    """Rewards of a POET pair whose chosen side is the longer."""
    chosen, rejected = full
    return {
        LONG_CHOSEN["pair_id"]: PairRewards(
            {"chosen": chosen, "rejected": rejected}, {"chosen": samples, "rejected": [rejected]}, n
        )
    }


def test_two_of_three_completions_above_the_shorter_response_keep_the_pair():
    [pair] = judged(prepared(LONG_CHOSEN), poet((2.0, 1.0), [1.5, 0.5, 3.0]))
    assert pair["consistency"] == pytest.approx(2 / 3)
    assert (pair["n"], pair["verdict"], pair["reason"]) == (3, "keep", None)
    assert pair["consistency_low"] < 2 / 3 < pair["consistency_high"]


def test_one_of_three_drops_it_as_inconsistent():
    [pair] = judged(prepared(LONG_CHOSEN), poet((2.0, 1.0), [1.5, 0.5, 0.0]))
    assert (pair["verdict"], pair["reason"]) == ("drop", "inconsistent")


def test_where_the_reward_model_disagrees_with_the_label_its_own_order_is_the_other_reference():
    rewards = poet((0.5, 1.0), [0.2, 0.3, 1.5])
    [by_label] = judged(prepared(LONG_CHOSEN), rewards)
    [by_reward] = judged(prepared(LONG_CHOSEN), rewards, reference="reward")
    assert by_label["consistency"] == by_reward["consistency"] == pytest.approx(1 / 3)
    assert by_label["consistency_by_reward"] == pytest.approx(2 / 3)
    assert (by_label["verdict"], by_reward["verdict"]) == ("drop", "keep")


def test_a_reward_model_that_sees_a_tie_has_no_order_of_its_own():
    [pair] = judged(prepared(LONG_CHOSEN), poet((1.0, 1.0), [2.0, 2.0, 0.0]))
    assert pair["consistency_by_reward"] == 0.5


def test_a_pair_of_equal_lengths_is_consistent_by_definition_and_needs_no_sample():
    pairs = prepared(EQUAL)
    assert pairs["chosen_keep"].to_pylist() == pairs["rejected_keep"].to_pylist()
    rewards = {EQUAL["pair_id"]: PairRewards({"chosen": 0.0, "rejected": 1.0}, {"chosen": [0.0], "rejected": [1.0]}, 0)}
    [pair] = judged(pairs, rewards)
    assert (pair["consistency"], pair["n"], pair["verdict"]) == (1.0, 0, "keep")


def test_both_sides_cut_compare_all_combinations():
    pairs = prepared(
        row("q", "the cat sat on the mat", "the dog ran and ran"), truncation=Truncation(method="ratio", ratio=0.5)
    )
    key = pairs["pair_id"][0].as_py()
    rewards = {key: PairRewards({"chosen": 1.0, "rejected": 0.0}, {"chosen": [1.0, 3.0], "rejected": [2.0, 0.0]}, 2)}
    [pair] = judged(pairs, rewards)
    assert pair["consistency"] == 0.75


def test_a_pair_with_a_reason_stays_dropped_and_is_not_judged():
    [pair] = judged(prepared({**LONG_CHOSEN, "reason": "tie"}), {})
    assert (pair["verdict"], pair["reason"], pair["consistency"]) == ("drop", "tie", None)


def test_without_rewards_every_good_pair_is_kept_unjudged():
    [pair] = judged(prepared(LONG_CHOSEN), {})
    assert (pair["verdict"], pair["consistency"], pair["n"]) == ("keep", None, None)


def test_a_small_reward_margin_drops_with_its_rule_as_the_reason():
    [pair] = judged(prepared(LONG_CHOSEN), poet((1.2, 1.0), [2.0, 2.0, 2.0]), limits={"min_reward_margin": 0.5})
    assert (pair["verdict"], pair["reason"]) == ("drop", "min_reward_margin")


def test_inconsistency_is_named_before_a_small_margin():
    [pair] = judged(prepared(LONG_CHOSEN), poet((1.2, 1.0), [0.0, 0.0, 0.0]), limits={"min_reward_margin": 0.5})
    assert pair["reason"] == "inconsistent"
