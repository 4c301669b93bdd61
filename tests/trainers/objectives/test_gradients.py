"""Gradients are right, point the right way and stay finite."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from objectives_support import PAIRWISE, POINTWISE, full, losses, responses

from trainers.objectives.numerics import STEEPEST, alpha_reward, log1mexp, log_odds

# β that keep all terms of like size; 1/(2β) of sppo's default would drown the rest in rounding.
SETTINGS = {"cal_dpo": {"beta": 0.5}, "sppo": {"beta": 0.5}, "sppo_soft": {"beta": 0.5}, "slic": {"delta": 4.0}}


@pytest.mark.parametrize("name", PAIRWISE)
def test_the_gradient_of_a_pairwise_objective_passes_gradcheck(name: str) -> None:
    chosen = torch.tensor([-3.0, -8.0, -0.7], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([-5.0, -2.0, -9.0], dtype=torch.float64, requires_grad=True)
    reference = full(chosen.detach(), 1), full(rejected.detach(), 2)

    def of(w: torch.Tensor, l_: torch.Tensor) -> torch.Tensor:
        sides = [
            responses(log_prob=log_prob, tokens=side.tokens, reference=side.reference, reward=side.reward)
            for log_prob, side in zip((w, l_), reference, strict=True)
        ]
        return losses(name, *sides, **SETTINGS.get(name, {}))

    assert torch.autograd.gradcheck(of, (chosen, rejected))


@pytest.mark.parametrize("name", POINTWISE)
def test_the_gradient_of_a_pointwise_objective_passes_gradcheck(name: str) -> None:
    log_prob = torch.tensor([-3.0, -8.0], dtype=torch.float64, requires_grad=True)
    value = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    rest = full(log_prob.detach(), 3)

    def of(log_prob: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        made = responses(
            log_prob=log_prob,
            reference=rest.reference,
            reward=rest.reward,
            value=value,
            prompt_ratio=rest.prompt_ratio,
        )
        # rao reads no value; a zero keeps it in the graph.
        return losses(name, made) + 0 * value

    assert torch.autograd.gradcheck(of, (log_prob, value))


@pytest.mark.parametrize("alpha", [-2.0, -1e-7, -1e-9, 0.0, 1e-9, 1e-7, 0.1, 0.25, 2.0])
def test_the_reward_of_alphapo_passes_gradcheck_for_every_alpha(alpha: float) -> None:
    log_prob = torch.tensor([-4.0, -0.5, 0.0, 0.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: alpha_reward(x, alpha), (log_prob,))


@given(st.floats(-1e-5, 1e-5), st.floats(-60, 5))
def test_alphapo_goes_to_simpo_as_alpha_goes_to_0(alpha: float, log_prob: float) -> None:
    x = torch.tensor(log_prob, dtype=torch.float32, requires_grad=True)
    reward = alpha_reward(x, alpha)
    reward.backward()
    # The next terms of the series: ℓ̄ − α ℓ̄²/2 and 1 − α ℓ̄, in fp32.
    assert reward.item() == pytest.approx(log_prob - alpha * log_prob**2 / 2, rel=1e-6, abs=1e-6)
    assert x.grad.item() == pytest.approx(1 - alpha * log_prob, rel=1e-6)


@given(st.floats(-10, 10), st.floats(-1e5, 1e5))
def test_the_reward_of_alphapo_is_finite_and_never_falls(alpha: float, log_prob: float) -> None:
    x = torch.tensor(log_prob, dtype=torch.float32, requires_grad=True)
    reward = alpha_reward(x, alpha)
    reward.backward()
    assert math.isfinite(reward.item())
    assert 0 <= x.grad.item() < 2 * math.exp(STEEPEST)


def test_the_reward_of_alphapo_goes_on_along_its_tangent_where_it_would_overflow() -> None:
    # α = ¼: e^30 is reached at ℓ̄ = −120; ten nats on, the reward has fallen by 10 e^30.
    x = torch.tensor([-120.0, -130.0], dtype=torch.float64, requires_grad=True)
    reward = alpha_reward(x, 0.25)
    assert reward[0].item() == pytest.approx(-4 * math.expm1(30))
    assert (reward[0] - reward[1]).item() == pytest.approx(10 * math.exp(30))
    reward.sum().backward()
    assert x.grad.tolist() == pytest.approx([math.exp(30)] * 2)


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("ends", [(-1e5, -1.0), (-1.0, -1e5), (-1e5, -1e5), (0.0, -1e5), (-1e5, 0.0), (0.0, 0.0)])
def test_the_loss_and_its_gradient_are_finite_in_fp32_whatever_the_log_probs(
    name: str, ends: tuple[float, float]
) -> None:
    w, l_ = (torch.tensor([end], requires_grad=True) for end in ends)
    fields = {"tokens": [2.0], "reference": [-50.0], "reward": [1.0]}
    found = losses(name, *(responses(torch.float32, log_prob=end, **fields) for end in (w, l_)))
    found.sum().backward()
    assert all(map(math.isfinite, (found.item(), w.grad.item(), l_.grad.item())))


@pytest.mark.parametrize("name", sorted(set(PAIRWISE) - {"ipo", "ipo_mean", "rpo"}))
def test_a_step_down_the_gradient_raises_the_chosen_response_and_lowers_the_rejected_one(name: str) -> None:
    w, l_ = (torch.tensor([-6.0], dtype=torch.float64, requires_grad=True) for _ in range(2))
    fields = {"tokens": [3.0], "reference": [-6.0], "reward": [0.0]}
    losses(name, *(responses(log_prob=x, **fields | {"reward": [r]}) for x, r in ((w, 2.0), (l_, 1.0)))).backward()
    assert w.grad.item() < 0 < l_.grad.item()


@given(st.floats(-80, -1e-6))
def test_log1mexp_is_log_of_one_minus_p_to_the_last_digits(log_prob: float) -> None:
    x = torch.tensor(log_prob, dtype=torch.float64, requires_grad=True)
    found = log1mexp(x)
    found.backward()
    p_not = -math.expm1(log_prob)
    expected = math.log(p_not) if log_prob > -0.7 else math.log1p(-math.exp(log_prob))
    assert found.item() == pytest.approx(expected, rel=1e-13)
    assert x.grad.item() == pytest.approx(-math.exp(log_prob) / p_not, rel=1e-12)


def test_the_log_odds_of_a_response_that_is_all_but_certain_are_right_in_fp32() -> None:
    # log p = −1e-6: p/(1 − p) = (1 − 1e-6)/1e-6, log odds = ln 1e6 − 5e-7; slope 1/(1 − p) = 1e6.
    x = torch.tensor([-1e-6], requires_grad=True)
    found = log_odds(x)
    found.sum().backward()
    assert found.item() == pytest.approx(math.log(1e6), rel=1e-6)
    assert x.grad.item() == pytest.approx(1e6, rel=1e-5)


def test_a_response_that_fp32_cannot_tell_from_certain_has_the_log_odds_of_machine_epsilon() -> None:
    x = torch.tensor([0.0, -1e-9], requires_grad=True)
    found = log_odds(x)
    found.sum().backward()
    # ε = 2⁻²³
    assert found.tolist() == pytest.approx([23 * math.log(2)] * 2, rel=1e-5)
    assert x.grad.tolist() == [0.0, 0.0]


def test_the_log_odds_of_a_hopeless_response_are_its_log_prob() -> None:
    assert log_odds(torch.tensor([-200.0])).item() == -200.0
