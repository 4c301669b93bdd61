"""Responses for tests of objectives."""

from typing import Any

import torch

from trainers.objectives import OBJECTIVES, Responses, objective

PAIRWISE = [name for name, found in OBJECTIVES.items() if found.pairwise]
POINTWISE = [name for name, found in OBJECTIVES.items() if not found.pairwise]


def responses(dtype: torch.dtype = torch.float64, **fields: list[float] | torch.Tensor | None) -> Responses:
    """Lists become tensors of `dtype`; `tokens` is 1 where it is left out."""
    made = {
        name: value if value is None or isinstance(value, torch.Tensor) else torch.tensor(value, dtype=dtype)
        for name, value in fields.items()
    }
    made.setdefault("tokens", torch.ones_like(made["log_prob"]))
    return Responses(**made)


def losses(name: str, *sides: Responses, **settings: Any) -> torch.Tensor:
    """Losses of the objective `name`."""
    return objective(name, **settings).losses(*sides)


def full(log_prob: torch.Tensor, seed: int) -> Responses:
    """Responses with these log-probs and every other field drawn at random."""
    draw = torch.Generator().manual_seed(seed)

    def some(low: float, high: float) -> torch.Tensor:
        return torch.rand(len(log_prob), generator=draw, dtype=torch.float64).to(log_prob) * (high - low) + low

    return Responses(
        log_prob,
        tokens=some(1, 9).round(),
        reference=log_prob.detach() + some(-3, 3),
        reward=some(-2, 2),
        value=some(-1, 1),
        prompt_ratio=some(-2, 2),
    )
