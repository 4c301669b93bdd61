"""When training must not go on: a loss or a gradient that is no number, or one that runs away.

Clipping deals with the spikes that every run has. What stops a run here is three orders of magnitude away from
them, or lasts.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import Final

import torch

from trainers.reading.pair_tokens import some
from transforms.errors import ModelError

SPIKE: Final = 1000.0  # gradient norm over its median of the last 50 steps; spikes that a run survives are below 100
LASTING: Final = 10.0  # median loss of the last ten steps over that of the first ten
_FEW: Final = 10


def check_loss(losses: torch.Tensor, step: int, names: Sequence[str]) -> None:
    """Raise ModelError unless all losses are finite; names step and examples."""
    rows = (~losses.detach().isfinite()).nonzero().flatten().tolist()
    bad = list(dict.fromkeys(names[row] for row in rows))  # an example may have several terms
    if bad:
        message = (
            f"step {step}: the loss is not finite for {len(bad)} pairs: {some(bad)}. Nothing of this step was applied. "
            "Lower the learning rate, or look at these pairs"
        )
        raise ModelError(message)


def check_gradient(norm: float, earlier: Sequence[float], step: int, names: Sequence[str]) -> None:
    """Raise ModelError where a gradient must not be applied; names step and examples.

    Args:
        norm: of this step's gradient, before clipping.
        earlier: those of the steps before.
        step: its number.
        names: of the step's examples.
    """
    usual = median(earlier[-50:]) if len(earlier) >= _FEW else None
    if not math.isfinite(norm):
        problem = f"the gradient's norm is {norm}"
    elif usual is not None and norm > SPIKE * usual:
        problem = f"the gradient's norm is {norm:.3g}, {norm / usual:,.0f} times its median of {usual:.3g} so far"
    else:
        return
    message = (
        f"step {step}: {problem}, in a step of {len(names)} examples: {some(names)}. Nothing of this step was applied. "
        "Lower the learning rate, or look at these examples"
    )
    raise ModelError(message)


def check_trend(losses: Sequence[float], step: int, names: Sequence[str]) -> None:
    """Raise ModelError where the loss has been running away for ten steps; names step and examples.

    Args:
        losses: of all steps that were applied.
        step: number of the step that would be applied next.
        names: of its examples.
    """
    if len(losses) < 2 * _FEW:
        return
    start, now = median(losses[:_FEW]), median(losses[-_FEW:])
    if now > LASTING * start > 0:
        message = (
            f"step {step}: the loss has run away, its median over the last {_FEW} steps is {now:.3g} and was "
            f"{start:.3g} over the first {_FEW}. Nothing of this step ({len(names)} examples: {some(names)}) was "
            "applied. Lower the learning rate, or lengthen the warm-up"
        )
        raise ModelError(message)
