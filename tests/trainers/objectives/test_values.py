"""Every objective on one pair worked by hand.

The chosen response has 4 tokens and ℓ = −4, the reference gives it −5; the rejected one 2 tokens, −6 and −5.5. So
    ℓ̄_w = −1     ℓ̄_l = −3       Δ_w = 1     Δ_l = −1/2      Δ̄_w = 1/4    Δ̄_l = −1/4
with rewards 2 and 1/2.
"""

import math

import pytest
import torch
from objectives_support import losses, responses

from trainers.objectives import OBJECTIVES, objective
from trainers.objectives.by_response import pushed_down
from trainers.objectives.published import PUBLISHED

W = responses(log_prob=[-4.0], tokens=[4.0], reference=[-5.0], reward=[2.0])
L = responses(log_prob=[-6.0], tokens=[2.0], reference=[-5.5], reward=[0.5])


def softplus(x: float) -> float:
    """−log σ(−x), in a form that shares no code with the objectives."""
    return math.log(1 + math.exp(x))


VALUES = {
    # β(Δ_w − Δ_l) = 2 · 1.5 = 3
    ("dpo", "beta=2"): softplus(-3),
    # (1.5 − 1/(2 · 0.25))² = (1.5 − 2)²
    ("ipo", "beta=0.25"): 0.25,
    # (0.5 − 2)²
    ("ipo_mean", "beta=0.25"): 2.25,
    # The margin 2 falls 1 short of δ = 3; λ ℓ_w = 0.5 · −4
    ("slic", "delta=3 weight=0.5"): 1 + 2,
    # Beyond δ only the likelihood counts.
    ("slic", "delta=1 weight=0.5"): 2,
    # 2 · (−1 + 3) − 2 · 0.75 = 2.5
    ("simpo", "beta=2 gamma_beta_ratio=0.75"): softplus(-2.5),
    # 2 · (1/4 + 1/4) − 2 · 0.75 = −0.5
    ("simpo_ref", "beta=2 gamma_beta_ratio=0.75"): softplus(0.5),
    # r = 2 (1 − e^{ℓ̄/−2})/½: 4(1 − e^0.5) and 4(1 − e^1.5); γ = 2 · 0.75
    ("alphapo", "alpha=0.5 beta=2 gamma_beta_ratio=0.75"): softplus(1.5 - 4 * (math.exp(1.5) - math.exp(0.5))),
    # r = 2 (1 − e^ℓ̄)/(−1): 2(e^−1 − 1) and 2(e^−3 − 1)
    ("alphapo", "alpha=-1 beta=2 gamma_beta_ratio=0"): softplus(-2 * (math.exp(-1) - math.exp(-3))),
    # As simpo.
    ("alphapo", "alpha=0 beta=2 gamma_beta_ratio=0.75"): softplus(-2.5),
    # r = 4(1 − e^−0.125) and 4(1 − e^0.125)
    ("alphapo_ref", "alpha=0.5 beta=2 gamma_beta_ratio=0.75"): softplus(1.5 - 4 * (math.exp(0.125) - math.exp(-0.125))),
    # odds e^−1/(1 − e^−1) = 1/(e − 1) and 1/(e³ − 1); −log σ(log ratio) = log(1 + (e − 1)/(e³ − 1))
    ("orpo", "weight=0.5"): 1 + 0.5 * math.log(1 + (math.e - 1) / (math.e**3 - 1)),
    # β(ℓ_w − ℓ_l) = 0.5 · 2; λ ℓ̄_w = −3
    ("cpo", "beta=0.5 weight=3"): softplus(-1) + 3,
    ("cpo", "beta=0.5 weight=3 likelihood=mean"): softplus(-1) + 3,
    # As the paper writes it: λ ℓ_w = −12
    ("cpo", "beta=0.5 weight=3 likelihood=sum"): softplus(-1) + 12,
    # (2 · 1.5 − 1.5)²
    ("rpo", "beta=2"): 2.25,
    # ±1/(2β) = ±2: (1 − 2)² + (−½ + 2)²
    ("sppo", "beta=0.25"): 1 + 2.25,
    # dpo with 0.25 · 1.5 beside it
    ("cal_dpo", "beta=0.25"): softplus(-0.375) + 3.25,
    ("cal_dpo", "beta=0.25 form=dpo"): softplus(-0.375) + 3.25,
    # eq. 10 of the paper: no β in the first term
    ("cal_dpo", "beta=0.25 form=paper"): softplus(-1.5) + 3.25,
    # The authors' code: half of the calibration besides
    ("cal_dpo", "beta=0.25 form=authors"): softplus(-1.5) + 1.625,
    # P = σ(1.5); ±(P − ½)/β = ±t
    ("sppo_soft", "beta=0.25"): (1 - 4 * (1 / (1 + math.exp(-1.5)) - 0.5)) ** 2
    + (-0.5 + 4 * (1 / (1 + math.exp(-1.5)) - 0.5)) ** 2,
}


@pytest.mark.parametrize(
    ("case", "expected"), VALUES.items(), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_the_loss_has_the_value_worked_by_hand(case: tuple[str, str], expected: float) -> None:
    name, settings = case
    chosen = dict(pair.split("=") for pair in settings.split())
    found = losses(name, W, L, **{key: value if value.isalpha() else float(value) for key, value in chosen.items()})
    assert found.shape == (1,)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_dro_is_half_the_squared_residual_of_each_response() -> None:
    # r − V − τΔ: 2 − ½ − 3 · 1 = −3/2 and ½ + 1 + 3 · ½ = 3
    both = responses(log_prob=[-4.0, -6.0], reference=[-5.0, -5.5], reward=[2.0, 0.5], value=[0.5, -1.0])
    assert losses("dro", both, tau=3.0).tolist() == [1.125, 4.5]


def test_rao_is_the_squared_residual_of_each_response() -> None:
    # log Z_i = 4 − 1 = 3 and 4 + 2 = 6; r − β(Δ + log Z): 2 − ½ · 4 = 0 and ½ − ½ · 5.5 = −2.25
    both = responses(log_prob=[-4.0, -6.0], reference=[-5.0, -5.5], reward=[2.0, 0.5], prompt_ratio=[-1.0, 2.0])
    assert losses("rao", both, beta=0.5, log_z0=4.0).tolist() == [0.0, 5.0625]


def test_a_lower_log_z0_raises_the_log_ratio_that_rao_asks_for() -> None:
    # The loss is 0 where Δ = r/β − log Z: 2/½ − 4 = 0, and 2/½ − 1 = 3.
    for log_z0, ratio in ((4.0, 0.0), (1.0, 3.0)):
        one = responses(log_prob=[ratio - 5], reference=[-5.0], reward=[2.0], prompt_ratio=[0.0])
        assert losses("rao", one, beta=0.5, log_z0=log_z0).item() == 0.0


def test_raos_50_has_two_readings_and_the_one_of_its_algorithm_lets_the_same_response_rise() -> None:
    settings = PUBLISHED["rao"]
    assert settings["Z_0 = 50"].settings == objective("rao").settings.model_dump()  # the default
    assert settings["Z_0 = 50"].settings["log_z0"] == pytest.approx(3.912, abs=1e-3)
    for reading, sign in (("Z_0 = 50", -1), ("log Z_0 = 50", 1)):
        log_prob = torch.tensor([-5.0], dtype=torch.float64, requires_grad=True)
        # As a run starts: the policy is the reference. A reward of 2 is more than 0.1 · 3.91 and less than 0.1 · 50.
        one = responses(log_prob=log_prob, reference=[-5.0], reward=[2.0], prompt_ratio=[0.0])
        losses("rao", one, **settings[reading].settings).sum().backward()
        assert log_prob.grad is not None
        assert log_prob.grad.sign().item() == sign  # a step goes against the gradient


def test_a_prompt_is_pushed_down_where_even_its_best_reward_is_below_beta_log_z0() -> None:
    rewards = [(0.3, -1.0), (0.5, 0.1), (6.0,), (-2.0, -3.0)]
    assert pushed_down(rewards, beta=0.1, log_z0=3.912) == 2
    assert pushed_down(rewards, beta=0.1, log_z0=50.0) == 3
    assert pushed_down(rewards, beta=0.1, log_z0=0.0) == 1


def test_the_gradient_of_rao_does_not_go_through_the_prompt() -> None:
    ratio = torch.tensor([1.0], requires_grad=True)
    log_prob = torch.tensor([-4.0], requires_grad=True)
    both = responses(torch.float32, log_prob=log_prob, reference=[-5.0], reward=[2.0], prompt_ratio=ratio)
    losses("rao", both).sum().backward()
    assert ratio.grad is None
    assert log_prob.grad is not None


def test_a_prompt_with_many_responses_weighs_as_much_as_one_with_few() -> None:
    each, counts = torch.tensor([1.0, 3.0, 7.0, 4.0, 4.0, 1.0]), (2, 1, 3)
    assert objective("rao").terms(each, counts).tolist() == [2.0, 7.0, 3.0]
    assert objective("dro").terms(each, counts) is each


def test_every_objective_has_a_value_worked_by_hand() -> None:
    assert {name for name, _ in VALUES} | {"dro", "rao"} == set(OBJECTIVES)


def test_a_pair_of_equal_responses_costs_ln_2_in_the_logistic_objectives() -> None:
    for name in ("dpo", "simpo_ref", "alphapo_ref"):
        settings = {} if name == "dpo" else {"gamma_beta_ratio": 0.0}
        assert losses(name, W, W, **settings).item() == pytest.approx(math.log(2))


def test_beta_near_0_leaves_ln_2_of_dpo_and_the_margin_of_the_reward_model_of_rpo() -> None:
    assert losses("dpo", W, L, beta=1e-12).item() == pytest.approx(math.log(2))
    assert losses("rpo", W, L, beta=1e-12).item() == pytest.approx(1.5**2)
