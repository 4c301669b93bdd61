"""Objectives of single responses and their rewards: any number a prompt, compared across prompts."""

import math
from collections.abc import Sequence
from typing import Final

import torch

from trainers.objectives.registry import Positive, pointwise
from trainers.objectives.responses import Responses

# The paper's Z_0 is 50; algorithm 1 takes its logarithm. Its range, −50 … 500, has none, so 50 may be log Z_0 itself.
LOG_Z0_OF_ALGORITHM_1: Final = math.log(50)
LOG_Z0_OF_ITS_RANGE: Final = 50.0


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
    source="RAO, algorithm 1 (Li, Leng, Song and Hu, ACL 2026)",
    implicit=lambda responses, settings: (
        settings.beta * (responses.delta + settings.log_z0 + responses.need("prompt_ratio"))
    ),
)
def rao(responses: Responses, *, beta: Positive = 0.1, log_z0: float = LOG_Z0_OF_ALGORITHM_1) -> torch.Tensor:
    """(r − β(Δ + log Z_i))², (responses,); the paper's loss of a prompt is their mean.

    log Z_i = log Z_0 + log π(x∖t0|t0) − log π_ref(x∖t0|t0) is detached: it moves the target, the gradient does
    not go through it. t0, the prompt's first token, must be the same for all prompts
    (`trainers.reading.examples.check_first_token`), or Z_0 is not one number.

    A response rises where r > β log Z_i and falls where r is less, so `log_z0` belongs to the scale of the rewards.
    The paper's 50 has two readings: Z_0, of which algorithm 1 takes the logarithm, log 50 = 3.91 (the default); or
    log Z_0 itself, 50, because its range goes below zero. With 50 and β 0.1 chosen responses with a reward below 5
    fall, and that they do not fall is what the paper promises.
    """
    log_z = log_z0 + responses.need("prompt_ratio").detach()
    return (responses.need("reward") - beta * (responses.delta + log_z)).square()


def pushed_down(rewards: Sequence[Sequence[float]], *, beta: float, log_z0: float) -> int:
    """Prompts whose best response RAO pushes down from the first step on, because its reward is below β log Z_0.

    Before that step policy and reference are one, so Δ and the prompt's own ratio are 0.

    Args:
        rewards: of each prompt's responses.
        beta: β.
        log_z0: log Z_0.
    """
    return sum(max(found) < beta * log_z0 for found in rewards)
