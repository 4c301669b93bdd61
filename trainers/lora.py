"""A few LoRA steps that move the backbone towards features in which the preferred responses stand apart.

The head stays as it was fitted on the frozen backbone and is fitted again afterwards, on the new features:
so both modes end in the same convex fit, and what is reported was measured on the weights that are saved.
"""

import logging
import math
from typing import Annotated, Any, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from trainers.features import Progress, last_states, length_batches, no_progress, pad_right
from trainers.losses import bradley_terry
from trainers.pair_tokens import PairTokens, Rows
from trainers.watch import check_loss

log = logging.getLogger(__name__)


class LoraSettings(BaseModel):
    """How the backbone is tuned in mode `lora`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16.0
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    steps: Annotated[int, Field(ge=1)] = 12
    pairs_per_step: Annotated[int, Field(ge=1)] = 8


def tune_backbone(
    backbone: nn.Module,
    pairs: PairTokens,
    rows: Rows,
    head: torch.Tensor,
    *,
    settings: LoraSettings,
    seed: int,
    centring: float,
    batch_tokens: int,
    device: torch.device,
    progress: Progress = no_progress,
) -> None:
    """Learn LoRA updates of all linear layers and merge them into the backbone's weights, in its own dtype.

    Args:
        backbone: a transformers model without head; changed in place.
        pairs: the training pairs.
        rows: which of them to learn from; the held-out ones are not among them.
        head: fitted on the backbone's features, (hidden,), fp32; not changed.
        settings: rank, steps and so on.
        seed: of the adapters' initial values and of the order of the pairs.
        centring: λ of the loss.
        batch_tokens: padded tokens in memory at once; larger steps accumulate gradients.
        device: where the backbone is.
        progress: told after every step.

    Raises:
        ModelError: the loss is not finite; names step and pairs.
    """
    # Here because it takes seconds, and mode `head` does without.
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules="all-linear", lora_dropout=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapted = get_peft_model(cast(Any, backbone), config)
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda done: 1 - done / settings.steps)
    weight = head.to(device)
    adapted.train()
    for step, chunk in enumerate(_chunks(rows, settings, seed), start=1):
        optimiser.zero_grad()
        loss = _accumulate(cast(Any, adapted), pairs, chunk, weight, step, centring, batch_tokens, device)
        norm = float(torch.nn.utils.clip_grad_norm_(trained, 1.0))
        optimiser.step()
        schedule.step()
        log.info("lora step %d/%d: loss %.4f, gradient norm %.3f", step, settings.steps, loss, norm)
        progress("lora", step, settings.steps)
    adapted.eval()
    cast(Any, adapted).merge_and_unload()


def _chunks(rows: Rows, settings: LoraSettings, seed: int) -> list[Rows]:
    """The pairs of each step: shuffled passes over `rows`, one behind the other."""
    needed = settings.steps * settings.pairs_per_step
    generator = np.random.default_rng(seed)
    passes = [generator.permutation(rows) for _ in range(math.ceil(needed / len(rows)))]
    return np.split(np.concatenate(passes)[:needed], settings.steps)


def _accumulate(
    backbone: Any,
    pairs: PairTokens,
    rows: Rows,
    head: torch.Tensor,
    step: int,
    centring: float,
    batch_tokens: int,
    device: torch.device,
) -> float:
    """Add the gradient of the mean loss over `rows` and return that mean, whatever the micro-batches are."""
    widths = [2 * max(len(pairs.sequences[side[row]]) for side in (pairs.chosen, pairs.rejected)) for row in rows]
    total = 0.0
    for indices in length_batches(widths, batch_tokens):
        part = rows[indices]
        sequences = [pairs.sequences[i] for i in (*pairs.chosen[part], *pairs.rejected[part])]
        rewards = last_states(backbone, pad_right(sequences, device)).float() @ head
        margin = None if pairs.margin is None else torch.from_numpy(pairs.margin[part]).to(device)
        losses = bradley_terry(rewards[: len(part)], rewards[len(part) :], margin, centring)
        check_loss(losses, step, [pairs.names[row] for row in part])
        loss = losses.sum() / len(rows)
        loss.backward()
        total += float(loss.detach())
    return total
