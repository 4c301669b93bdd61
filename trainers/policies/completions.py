"""Learning from completions alone, without anything to prefer them to: supervised fine-tuning (docs/methods.md)."""

from collections.abc import Sequence
from typing import Any

import torch

from trainers.batches.logprobs import log_probs
from trainers.batches.tensors import Layout
from trainers.reading.examples import Example, examples_sha256
from trainers.steps.order import cut_by_length
from trainers.steps.task import Call, Read


class Completions:
    """A `trainers.steps.task.Task` over completion tokens: L = −Σ_i Σ_t log π(y_it | x_i, y_i<t) / Σ_i |y_i|.

    The sums are over all completions of a step, in whatever micro-batches and processes, so a long completion weighs as
    many times more than a short one as it has more tokens. That is the mean that TRL's SFTTrainer takes over a step
    (`num_items_in_batch`), not the mean over micro-batches of their means. Prompt tokens are read and are no terms.

    Args:
        examples: prompts with the completions that are learned, one or several each.
        layout: of the batches.
        batch_tokens: of one forward pass, padding included.
    """

    def __init__(self, examples: Sequence[Example], *, layout: Layout, batch_tokens: int) -> None:
        self.examples = examples
        self._layout, self._batch_tokens = layout, batch_tokens

    @property
    def size(self) -> int:
        """How many examples there are."""
        return len(self.examples)

    @property
    def identity(self) -> dict[str, Any]:
        """The objective's name and the data's hash."""
        return completions_identity(self.examples)

    def cut(self, rows: Sequence[int]) -> list[list[int]]:
        """Micro-batches by length."""
        return cut_by_length(rows, self.examples.__getitem__, self._layout, self._batch_tokens)

    def terms(self, rows: Sequence[int]) -> int:
        """A completion token is a term."""
        return sum(self.examples[row].kept_tokens for row in rows)

    def names(self, rows: Sequence[int]) -> list[str]:
        """Names of the examples."""
        return [self.examples[row].name for row in rows]

    def read(self, call: Call, rows: Sequence[int], device: torch.device) -> Read:
        """−log π of each completion token; `log_prob` is its mean without the sign, `tokens` how many there are."""
        examples = [self.examples[row] for row in rows]
        batch = self._layout.batch(examples).to(device)
        found = call(lambda policy: log_probs(policy, batch)).tokens
        return Read(
            losses=-found,
            names=[example.name for example in examples for _ in range(example.kept_tokens)],
            figures={"log_prob": found.detach()},
            kept_tokens=batch.kept_tokens,
            read_tokens=batch.read_tokens,
            totals={"tokens": torch.tensor(batch.lengths, device=device)},
        )


def completions_identity(examples: Sequence[Example]) -> dict[str, Any]:
    """What decides the losses of `examples`, as plain JSON."""
    return {
        "objective": {"name": "sft", "settings": {}},
        "data": {"examples": len(examples), "sha256": examples_sha256(examples)},
    }
