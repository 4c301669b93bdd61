"""Sums over responses by rule, with intervals over prompts."""

import pytest
from decode_support import decoded, decoded_row, rule

from transforms.errors import SourceError
from transforms.evaluation.decodings import best, policy_curve, rule_results


def test_each_rule_and_value_has_its_own_means_in_the_order_of_the_rows():
    rows = [
        decoded_row("mix", value, pair, reward=reward, log_ratio=2 * reward, finished=pair == "a")
        for value, rewards in ((0.5, (1.0, 3.0)), (0.0, (0.0, 1.0)))
        for pair, reward in zip("ab", rewards, strict=True)
    ]
    first, second = rule_results(decoded(*rows))
    assert [(r.kind, r.value, r.responses) for r in (first, second)] == [("mix", 0.5, 2), ("mix", 0.0, 2)]
    assert (first.reward.value, first.log_ratio.value, first.finished, first.tokens) == (2.0, 4.0, 0.5, 2.0)
    assert first.kl.value == 0.5
    # Student's t of two values ±1 about 2: 12.706 · √2 / √2.
    assert first.reward.high == pytest.approx(2 + 12.7062)


def test_several_samples_of_a_prompt_count_as_one_for_the_interval():
    rows = [decoded_row(pair_id=pair, sample=s, reward=r) for pair, r in (("a", 1.0), ("b", 3.0)) for s in range(5)]
    [found] = rule_results(decoded(*rows))
    assert found.responses == 10
    assert found.reward.high == pytest.approx(2 + 12.7062)


def test_a_response_without_a_reward_counts_for_the_distances_only():
    rows = [
        decoded_row(pair_id="a", reward=1.0),
        decoded_row(pair_id="b", reward=2.0),
        decoded_row(pair_id="c", reward=None, log_ratio=3.5),
    ]
    [found] = rule_results(decoded(*rows))
    assert (found.responses, found.reward.value, found.log_ratio.value) == (3, 1.5, 1.5)


def test_rewards_of_one_prompt_only_are_refused():
    rows = [decoded_row(pair_id="a"), decoded_row(pair_id="b", reward=None)]
    with pytest.raises(SourceError, match="rule mix 1 has responses with a reward to fewer than 2 prompts"):
        rule_results(decoded(*rows))


def test_the_curve_by_position_is_of_the_policy_alone():
    rows = [
        decoded_row(pair_id="a", policy_kl=[1.0, 0.5]),
        decoded_row(pair_id="b", policy_kl=[3.0]),
        decoded_row("mix", 0.5, "c", policy_kl=[9.0]),
        decoded_row("length", 1.0, "c", policy_kl=[9.0]),
    ]
    [first] = policy_curve(decoded(*rows))  # one response reaches position 2: no interval
    assert (first.at, first.mean, first.pairs) == (1.0, 2.0, 2)
    assert policy_curve(decoded(rows[2])) == []


def test_the_best_rule_has_the_highest_reward():
    rules = [rule("mix", 0, 0.1, 0), rule("kl", 0.2, 0.9, 3), rule("mix", 1, 0.9, 9)]
    assert best(rules).name == "b = 0.2"
