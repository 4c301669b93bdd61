"""Pairwise objectives that hold the policy against a frozen reference: Δ = ℓ − ℓ_ref, summed over tokens."""

from typing import Literal

import torch
from torch.nn.functional import logsigmoid

from trainers.objectives.registry import Positive, pairwise
from trainers.objectives.responses import Responses


@pairwise(needs={"reference"}, source="arXiv 2305.18290, eq. 7")
def dpo(chosen: Responses, rejected: Responses, *, beta: Positive = 0.01) -> torch.Tensor:
    """−log σ(β(Δ_w − Δ_l)), (pairs,)."""
    return -logsigmoid(beta * (chosen.delta - rejected.delta))


@pairwise(needs={"reference"}, source="arXiv 2310.12036, eq. 17")
def ipo(chosen: Responses, rejected: Responses, *, beta: Positive = 0.1) -> torch.Tensor:
    """(Δ_w − Δ_l − 1/(2β))², (pairs,); the paper calls β τ."""
    return (chosen.delta - rejected.delta - 1 / (2 * beta)).square()


@pairwise(needs={"reference", "lengths"}, source="arXiv 2310.12036, eq. 17, as its authors trained")
def ipo_mean(chosen: Responses, rejected: Responses, *, beta: Positive = 0.1) -> torch.Tensor:
    """(Δ̄_w − Δ̄_l − 1/(2β))², (pairs,): means over tokens, so that β does not depend on lengths (TRL's `ipo`)."""
    return (chosen.mean_delta - rejected.mean_delta - 1 / (2 * beta)).square()


@pairwise(needs={"reference", "reward"}, source="arXiv 2405.19316, reward distillation")
def rpo(chosen: Responses, rejected: Responses, *, beta: Positive = 0.1) -> torch.Tensor:
    """(β(Δ_w − Δ_l) − (r_w − r_l))², (pairs,): the implicit margin takes the reward model's value.

    The best β depends on the scale of the rewards; the default is only a usual one.
    """
    implicit = beta * (chosen.delta - rejected.delta)
    return (implicit - (chosen.need("reward") - rejected.need("reward"))).square()


@pairwise(needs={"reference"}, source="arXiv 2412.14516")
def cal_dpo(
    chosen: Responses,
    rejected: Responses,
    *,
    beta: Positive = 0.001,
    form: Literal["dpo", "paper", "authors"] = "dpo",
) -> torch.Tensor:
    """A contrast + a calibration C = (Δ_w − 1/(2β))² + (Δ_l + 1/(2β))², (pairs,), in one of three forms.

    `form: dpo` is −log σ(β(Δ_w − Δ_l)) + C: DPO as it is, and calibration. `paper`, eq. 10, has no β in the contrast:
    −log σ(Δ_w − Δ_l) + C, as the first code that its authors released (Cal-DPO/Cal-DPO). `authors` halves the
    calibration besides, −log σ(Δ_w − Δ_l) + C/2, as their code does now (tengxiao1/Cal-DPO, scripts/dpo_trainer.py).
    """
    contrast = dpo(chosen, rejected, beta=beta if form == "dpo" else 1.0)
    return contrast + (0.5 if form == "authors" else 1.0) * sppo(chosen, rejected, beta=beta)


@pairwise(needs={"reference"}, source="arXiv 2405.00675, eq. 4.7 with P = 1")
def sppo(chosen: Responses, rejected: Responses, *, beta: Positive = 0.001) -> torch.Tensor:
    """(Δ_w − 1/(2β))² + (Δ_l + 1/(2β))², (pairs,); the paper's η is 1/β."""
    return _towards(chosen, rejected, torch.ones_like(chosen.log_prob), beta)


@pairwise(needs={"reference", "reward"}, source="arXiv 2405.00675, eq. 4.7")
def sppo_soft(chosen: Responses, rejected: Responses, *, beta: Positive = 0.001) -> torch.Tensor:
    """(Δ_w − (P − ½)/β)² + (Δ_l + (P − ½)/β)², (pairs,), with P = P(w ≻ l) = σ(r_w − r_l)."""
    return _towards(chosen, rejected, torch.sigmoid(chosen.need("reward") - rejected.need("reward")), beta)


def _towards(chosen: Responses, rejected: Responses, wins: torch.Tensor, beta: float) -> torch.Tensor:
    target = (wins - 0.5) / beta
    return (chosen.delta - target).square() + (rejected.delta + target).square()
