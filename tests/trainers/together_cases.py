"""What each of two processes does in test_reading_together.py: read a tiny model's log-probs together."""

import json
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
from models_support import llama
from torch.distributed.tensor import DTensor
from training_support import some_examples

from trainers.policies.reading_together import ReadingTogether
from trainers.reading.examples import Example
from trainers.steps.processes import is_first, met
from trainers.steps.sharding import let_go
from transforms.errors import ModelError

LAYERS = {"num_hidden_layers": 2}
# One example alone leaves the other process nothing of its own; 7 leave it one less.
BATCHES = (some_examples(1, seed=1), some_examples(7, seed=2), some_examples(4, responses=3, seed=3))
LONGEST = 32


def load() -> Any:
    """Equal in every process."""
    torch.manual_seed(0)
    return llama(**LAYERS)


class Loading:
    """Loads the model, and says afterwards how this process holds it."""

    def __init__(self, *, weakly: bool = False) -> None:
        self.models: list[Any] = []
        self._weakly = weakly

    def __call__(self) -> Any:
        model = load()
        self.models.append(weakref.ref(model) if self._weakly else model)
        return model

    def held(self) -> list[float]:
        """The share of the weights' numbers that lie in this process, of each model that was loaded."""
        return [share_of(model) for model in self.models]


def share_of(model: Any) -> float:
    let_go(model)
    parts = [value.to_local() if isinstance(value, DTensor) else value for value in model.parameters()]
    return sum(part.numel() for part in parts) / sum(value.numel() for value in model.parameters())


def main(folder: Path, cast_to: torch.dtype | None) -> None:
    """Read all batches, stop, and write what was found and seen; then fail in the middle of another reading."""
    with met():
        loading = Loading()
        reading = ReadingTogether(loading, batch_tokens=40, cast_to=cast_to, longest=LONGEST if is_first() else 0)
        told: list[int] = []
        found: list[Any] = []
        if is_first():
            found = [reading.token_log_probs(batch, told.append) for batch in BATCHES]
            reading.stop()
            reading.close()
        else:
            reading.follow()
        held = loading.held()
        nothing = Loading()
        idle = ReadingTogether(nothing, batch_tokens=40, cast_to=cast_to)
        if is_first():
            idle.stop()
        else:
            idle.follow()
        freed = Loading(weakly=True)
        passing = ReadingTogether(freed, batch_tokens=40, cast_to=cast_to)
        if is_first():
            passing.token_log_probs(BATCHES[0], lambda _tokens: None)
            passing.stop()
            passing.close()
        else:
            passing.follow()
        left = [model() is not None for model in freed.models]
        broken = ReadingTogether(load, batch_tokens=40, cast_to=cast_to)
        message = ""
        unknown = [Example("unknown", np.array([1, 10_000], np.int32), (np.array([1], np.int32),))]
        try:
            broken.token_log_probs(unknown, told.append) if is_first() else broken.follow()
        except (ModelError, IndexError) as error:
            message = str(error)
    name = "first" if is_first() else "other"
    record = {
        "tokens": [[[one.tolist() for one in example] for example in batch] for batch in found],
        "told": told,
        "held": held,
        "left": left,
        "idle": nothing.held(),
        "message": message,
    }
    (folder / f"{name}.json").write_text(json.dumps(record))


if __name__ == "__main__":
    main(Path(sys.argv[1]), {"float32": None, "bfloat16": torch.bfloat16}[sys.argv[2]])
