"""SimPO and AlphaPO: margins of mean log-probs, without a reference or with one."""

import torch
from torch.nn.functional import logsigmoid

from trainers.objectives.numerics import alpha_reward
from trainers.objectives.registry import NotNegative, Positive, pairwise
from trainers.objectives.responses import Responses


@pairwise(needs={"lengths"}, source="arXiv 2405.14734, eq. 6")
def simpo(
    chosen: Responses, rejected: Responses, *, beta: Positive = 2.0, gamma_beta_ratio: NotNegative = 0.5
) -> torch.Tensor:
    """−log σ(β(ℓ̄_w − ℓ̄_l) − γ), (pairs,); γ is given as γ/β, as the papers quote it. Defaults: Llama-3-base."""
    return -logsigmoid(beta * (chosen.mean - rejected.mean - gamma_beta_ratio))


@pairwise(needs={"lengths", "reference"}, source="arXiv 2501.03884, A.4, with α = 0")
def simpo_ref(
    chosen: Responses, rejected: Responses, *, beta: Positive = 2.0, gamma_beta_ratio: NotNegative = 0.5
) -> torch.Tensor:
    """−log σ(β(Δ̄_w − Δ̄_l) − γ), (pairs,): SimPO against a reference."""
    return -logsigmoid(beta * (chosen.mean_delta - rejected.mean_delta - gamma_beta_ratio))


@pairwise(
    needs={"lengths"},
    source="arXiv 2501.03884, eq. 3 and 4",
    implicit=lambda responses, settings: settings.beta * alpha_reward(responses.mean, settings.alpha),
)
def alphapo(
    chosen: Responses,
    rejected: Responses,
    *,
    alpha: float = 0.25,
    beta: Positive = 10.0,
    gamma_beta_ratio: NotNegative = 0.3,
) -> torch.Tensor:
    """−log σ(r_α(w) − r_α(l) − γ) with r_α = β(1 − exp(−α ℓ̄))/α, (pairs,); α = 0 is SimPO.

    Defaults: the row of the paper's table 3 for Llama-3-8B-Instruct, whose learning rate is 1.1e-6.
    """
    margin = alpha_reward(chosen.mean, alpha) - alpha_reward(rejected.mean, alpha)
    return -logsigmoid(beta * (margin - gamma_beta_ratio))


@pairwise(
    needs={"lengths", "reference"},
    source="arXiv 2501.03884, A.4",
    implicit=lambda responses, settings: settings.beta * alpha_reward(responses.mean_delta, settings.alpha),
)
def alphapo_ref(
    chosen: Responses,
    rejected: Responses,
    *,
    alpha: float = 0.25,
    beta: Positive = 10.0,
    gamma_beta_ratio: NotNegative = 0.3,
) -> torch.Tensor:
    """AlphaPO with Δ̄ in place of ℓ̄, (pairs,); α = 0 is `simpo_ref`. Defaults: `alphapo`'s, for want of others."""
    margin = alpha_reward(chosen.mean_delta, alpha) - alpha_reward(rejected.mean_delta, alpha)
    return -logsigmoid(beta * (margin - gamma_beta_ratio))
