"""Tiny reward models and trainers of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from models_support import SMALL, seeded
from training_support import optimised, step_trainer
from transformers import LlamaConfig, LlamaForSequenceClassification

from trainers.batches.tensors import PADDED, Layout
from trainers.reading.examples import Example
from trainers.rewards.checkpoint import new_head
from trainers.rewards.comparisons import Comparisons
from trainers.steps.settings import BradleyTerry, Memory
from trainers.steps.trainer import StepTrainer


def small_classifier(dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    """One layer, and a new head."""
    config = LlamaConfig(**SMALL | {"num_hidden_layers": 1, "num_labels": 1} | options)
    model = seeded(lambda: LlamaForSequenceClassification(config)).to(dtype)
    new_head(model, seed=0)
    return model


def reward_trainer(
    folder: Path,
    model: Any,
    pairs: Sequence[Example],
    *,
    terms: BradleyTerry | None = None,
    layout: Layout = PADDED,
    batch_tokens: int = 10_000,
    test: Sequence[Example] | None = None,
    save_steps: int | None = None,
    memory: Mapping[str, Any] | None = None,
    **optimisation: Any,
) -> StepTrainer:
    """A trainer on `pairs`; 8 a step, one pass and a learning rate of 0.01 if nothing else is said."""
    tasks = [
        None if some is None else Comparisons(some, terms or BradleyTerry(), layout=layout, batch_tokens=batch_tokens)
        for some in (pairs, test)
    ]
    held = Memory(**{"batch_tokens": batch_tokens, "dtype": "float32"} | dict(memory or {}))
    chosen, identity = optimised(optimisation), {"model": "tiny"}
    return step_trainer(
        folder, model, *tasks, optimisation=chosen, memory=held, save_steps=save_steps, identity=identity
    )
