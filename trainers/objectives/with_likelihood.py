"""Pairwise objectives that need no reference because they also raise the chosen response's likelihood."""

from typing import Literal

import torch
from torch.nn.functional import logsigmoid, relu

from trainers.objectives.numerics import log_odds
from trainers.objectives.registry import NotNegative, Positive, pairwise
from trainers.objectives.responses import Responses


@pairwise(source="arXiv 2305.10425, with the chosen response as the target of the regulariser")
def slic(chosen: Responses, rejected: Responses, *, delta: Positive = 1.0, weight: NotNegative = 0.5) -> torch.Tensor:
    """max(0, δ − (ℓ_w − ℓ_l)) − λ ℓ_w, (pairs,); `weight` is λ. Both from the grid in arXiv 2405.14734."""
    return relu(delta - (chosen.log_prob - rejected.log_prob)) - weight * chosen.log_prob


@pairwise(needs={"lengths"}, source="arXiv 2403.07691, eq. 6 and 7")
def orpo(chosen: Responses, rejected: Responses, *, weight: NotNegative = 0.1) -> torch.Tensor:
    """−ℓ̄_w − λ log σ(log odds(exp ℓ̄_w) − log odds(exp ℓ̄_l)), (pairs,); `weight` is λ."""
    ratio = log_odds(chosen.mean) - log_odds(rejected.mean)
    return -chosen.mean - weight * logsigmoid(ratio)


@pairwise(
    needs={"lengths"},  # for its second term; the contrast is of sums
    source="arXiv 2401.08417, eq. 3",
    implicit=lambda responses, settings: settings.beta * responses.log_prob,
)
def cpo(
    chosen: Responses,
    rejected: Responses,
    *,
    beta: Positive = 0.1,
    weight: NotNegative = 1.0,
    likelihood: Literal["mean", "sum"] = "mean",
) -> torch.Tensor:
    """−log σ(β(ℓ_w − ℓ_l)) − λ ℓ̄_w, or with ℓ_w in the second term, (pairs,); `weight` is λ.

    `likelihood: sum` is the paper's equation as it stands, −log π(y_w|x), which weighs a response by its length.
    `mean` is a token's, as in the trainers that its authors released (fe1ixxu/ALMA, fe1ixxu/CPO_SIMPO; TRL's is from
    there): those average over all chosen tokens of a batch, this over each response's. At equal λ the two differ by
    |y_w|.
    """
    target = chosen.log_prob if likelihood == "sum" else chosen.mean
    return -logsigmoid(beta * (chosen.log_prob - rejected.log_prob)) - weight * target
