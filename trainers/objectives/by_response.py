"""Objectives of single responses and their rewards: any number a prompt, compared across prompts."""

import torch

from trainers.objectives.registry import Positive, pointwise
from trainers.objectives.responses import Responses


@pointwise(
    needs={"reference", "reward", "value"},
    source="arXiv 2405.19107, DRO-V",
    implicit=lambda responses, settings: responses.need("value") + settings.tau * responses.delta,
)
def dro(responses: Responses, *, tau: Positive = 1.0) -> torch.Tensor:
    """½(r − V(x) − τΔ)², (responses,); its gradient also trains the value head."""
    residual = responses.need("reward") - responses.need("value") - tau * responses.delta
    return residual.square() / 2


@pointwise(
    needs={"reference", "reward", "prompt_ratio"},
    over="prompts",
    source="reward alignment optimization, algorithm 1",
    implicit=lambda responses, settings: (
        settings.beta * (responses.delta + settings.log_z0 + responses.need("prompt_ratio"))
    ),
)
def rao(responses: Responses, *, beta: Positive = 0.1, log_z0: float = 50.0) -> torch.Tensor:
    """(r − β(Δ + log Z_i))², (responses,); the paper's loss of a prompt is their mean.

    log Z_i = log Z_0 + log π(x∖t0|t0) − log π_ref(x∖t0|t0) is detached: it moves the target, the gradient does
    not go through it. The paper's range for Z_0, −50 … 500, shows that log Z_0 is meant; a lower one raises
    every target. t0, the prompt's first token, must be the same for all prompts
    (`trainers.examples.check_first_token`), or Z_0 is not one number.
    """
    log_z = log_z0 + responses.need("prompt_ratio").detach()
    return (responses.need("reward") - beta * (responses.delta + log_z)).square()
