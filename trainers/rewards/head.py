"""A linear reward head on fixed features: Bradley–Terry regression with an L2 penalty.

The problem is convex and its penalised optimum unique, so the result depends on data and penalty only, not
on an optimiser's path. The penalty takes the place of early stopping: it is chosen by cross-validation over
prompts, after which the head is fitted on all of them. A fit takes a fraction of a second, so every prompt
can be held out once, and the accuracy on held-out prompts costs no forward pass.
"""

import hashlib
import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from trainers.objectives.bradley_terry import bradley_terry
from trainers.reading.pair_tokens import PairTokens, Rows, some
from trainers.steps.watch import check_loss
from transforms.errors import ModelError, SchemaError

log = logging.getLogger(__name__)


class HeldOut(NamedTuple):
    """Pairs of the prompts that were left out, and the head fitted without them."""

    rows: Rows
    weight: torch.Tensor  # (hidden,), fp32, for unscaled features


class HeadFit(NamedTuple):
    """A fitted head and how it was chosen."""

    weight: torch.Tensor  # (hidden,), fp32, for unscaled features
    weight_decay: float
    validation_losses: dict[float, float]  # weight decay → mean loss on held-out prompts
    held_out: list[HeldOut]  # one a fold, with the chosen weight decay


def folds_by_prompt(prompts: Sequence[str], folds: int, seed: int) -> list[Rows]:
    """Rows of the pairs in `folds` parts of like many prompts; all pairs of a prompt are in one part.

    Raises:
        SchemaError: all pairs have the same prompt.
    """
    by_hash = sorted(set(prompts), key=lambda prompt: hashlib.sha256(f"{seed} {prompt}".encode()).digest())
    if len(by_hash) < 2:
        message = "all pairs have the same prompt; a reward model needs at least two, to hold one out"
        raise SchemaError(message)
    fold = {prompt: place % min(folds, len(by_hash)) for place, prompt in enumerate(by_hash)}
    of_pair = np.array([fold[prompt] for prompt in prompts])
    return [np.flatnonzero(of_pair == number) for number in range(of_pair.max() + 1)]


def fit_head(
    features: torch.Tensor,
    pairs: PairTokens,
    *,
    folds: Sequence[Rows],
    weight_decays: Sequence[float],
    centring: float,
) -> HeadFit:
    """The head that orders `pairs` best, with the weight decay that does best on held-out prompts.

    Args:
        features: of `pairs.sequences`, (sequences, hidden), fp32.
        pairs: the training pairs.
        folds: which of them to hold out together.
        weight_decays: candidates; the penalty is weight_decay/2 · |w|² on features of unit variance.
        centring: λ of the loss.

    Raises:
        ModelError: a feature or a loss is not finite; names the pairs.
    """
    check_finite(features, pairs)
    # Scaled to unit variance so that one penalty fits all directions, and undone below exactly. Not centred:
    # the head has no bias to take the mean up, and in r_w − r_l it cancels anyway.
    scale = features.std(dim=0, correction=0).clamp_min(1e-6)
    scaled = features / scale
    everything = np.arange(len(pairs.names))
    splits = [(pairs.subset(np.setdiff1d(everything, fold)), pairs.subset(fold)) for fold in folds]
    losses: dict[float, float] = {}
    weights: dict[float, list[torch.Tensor]] = {}
    for weight_decay in weight_decays:
        weights[weight_decay] = [_fit(scaled, kept, weight_decay, centring) for kept, _ in splits]
        found = [
            _losses(weight, scaled, left_out, centring)
            for weight, (_, left_out) in zip(weights[weight_decay], splits, strict=True)
        ]
        losses[weight_decay] = float(torch.cat(found).mean())
        log.info("weight decay %g: held-out loss %.4f", weight_decay, losses[weight_decay])
    # Of two that do equally well the stronger penalty.
    best = min(weight_decays, key=lambda weight_decay: (losses[weight_decay], -weight_decay))
    return HeadFit(
        weight=_fit(scaled, pairs, best, centring) / scale,
        weight_decay=best,
        validation_losses=losses,
        held_out=[HeldOut(rows, weight / scale) for rows, weight in zip(folds, weights[best], strict=True)],
    )


def check_finite(features: torch.Tensor, pairs: PairTokens) -> None:
    """Raise ModelError naming the pairs whose features are not finite."""
    broken = ~features.isfinite().all(dim=1).numpy()
    if broken.any():
        bad = [pairs.names[row] for row in np.flatnonzero(broken[pairs.chosen] | broken[pairs.rejected])]
        message = (
            f"the model's last hidden state is not finite for {len(bad)} pairs: {some(bad)}. "
            "Its weights are damaged, or overflow in this dtype"
        )
        raise ModelError(message)


def _losses(weight: torch.Tensor, scaled: torch.Tensor, pairs: PairTokens, centring: float) -> torch.Tensor:
    rewards = scaled @ weight
    margin = None if pairs.margin is None else torch.from_numpy(pairs.margin)
    return bradley_terry(
        rewards[torch.from_numpy(pairs.chosen)], rewards[torch.from_numpy(pairs.rejected)], margin, centring
    )


def _fit(scaled: torch.Tensor, pairs: PairTokens, weight_decay: float, centring: float) -> torch.Tensor:
    """Minimum of mean loss + weight_decay/2 · |w|²."""
    weight = torch.zeros(scaled.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([weight], max_iter=500, tolerance_grad=1e-5, line_search_fn="strong_wolfe")
    step = 0

    def closure() -> torch.Tensor:
        nonlocal step
        step += 1
        optimiser.zero_grad()
        losses = _losses(weight, scaled, pairs, centring)
        check_loss(losses, step, pairs.names)
        objective = losses.mean() + weight_decay / 2 * weight.square().sum()
        objective.backward()
        return objective

    optimiser.step(closure)
    return weight.detach()
