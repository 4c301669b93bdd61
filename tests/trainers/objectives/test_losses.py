"""Bradley–Terry by hand."""

import math

import pytest
import torch

from trainers.objectives.bradley_terry import bradley_terry, temporal_incoherence


def test_equal_rewards_cost_ln_2() -> None:
    assert bradley_terry(torch.tensor([3.0]), torch.tensor([3.0])).item() == pytest.approx(math.log(2))


def test_the_loss_is_minus_log_of_the_winning_probability() -> None:
    # r_w - r_l = ln 3, so P(chosen wins) = 3/4.
    losses = bradley_terry(torch.tensor([math.log(3.0), 0.0]), torch.tensor([0.0, math.log(3.0)]))
    assert losses.tolist() == pytest.approx([math.log(4 / 3), math.log(4)])


def test_a_margin_is_taken_off_the_difference() -> None:
    with_margin = bradley_terry(torch.tensor([2.0]), torch.tensor([0.5]), torch.tensor([1.5]))
    assert with_margin.item() == pytest.approx(math.log(2))


def test_a_zero_margin_changes_nothing() -> None:
    chosen, rejected = torch.tensor([1.0, -2.0]), torch.tensor([0.3, 0.4])
    assert torch.equal(bradley_terry(chosen, rejected, torch.zeros(2)), bradley_terry(chosen, rejected))


def test_centring_adds_the_squared_sum_of_both_rewards() -> None:
    losses = bradley_terry(torch.tensor([3.0]), torch.tensor([3.0]), centring=0.01)
    assert losses.item() == pytest.approx(math.log(2) + 0.01 * 36)


def test_prefixes_are_held_to_the_whole_responses_reward_and_to_the_next_prefixs() -> None:
    # After the prompt | and each token. The first: 9 | 1, 2, 4; the second: 7 | 3, no prefix; the third: 5 | 0, 6.
    values = torch.tensor([9.0, 1.0, 2.0, 4.0, 7.0, 3.0, 5.0, 0.0, 6.0], dtype=torch.float64, requires_grad=True)
    ahead, steps = temporal_incoherence(values, (4, 2, 3))
    assert ahead.tolist() == [(9 + 4) / 2, 0, 36]  # (1 − 4)² and (2 − 4)²; nothing; (0 − 6)²
    assert steps.tolist() == [(1 + 4) / 2, 0, 36]  # (1 − 2)² and (2 − 4)²
    (gradient,) = torch.autograd.grad(ahead.sum(), values, retain_graph=True)
    assert gradient.tolist() == [0, -3, -2, 0, 0, 0, 0, -12, 0]  # neither prompts nor whole responses are pulled
    (gradient,) = torch.autograd.grad(steps.sum(), values)
    assert gradient.tolist() == [0, -1, -2, 0, 0, 0, 0, -12, 0]


def test_a_constant_on_both_rewards_cancels_without_centring() -> None:
    chosen, rejected = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.25])
    shifted = bradley_terry(chosen + 8, rejected + 8)
    assert torch.equal(shifted, bradley_terry(chosen, rejected))


def test_the_gradient_pushes_the_chosen_reward_up_and_the_rejected_one_down_by_the_losing_probability() -> None:
    chosen = torch.tensor([0.0], requires_grad=True)
    rejected = torch.tensor([math.log(3.0)], requires_grad=True)
    bradley_terry(chosen, rejected).sum().backward()
    # d loss / d r_w = -P(rejected wins) = -3/4
    assert chosen.grad.item() == pytest.approx(-0.75)
    assert rejected.grad.item() == pytest.approx(0.75)


def test_a_hopeless_pair_costs_its_difference_and_stays_finite() -> None:
    assert bradley_terry(torch.tensor([-500.0]), torch.tensor([500.0])).item() == 1000.0
