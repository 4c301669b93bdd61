"""Which examples a training step sees, and how they are cut into batches that fit.

A step is a random sample, whatever its lengths, so that no gradient is of short or long responses only. Inside
the step the examples go by length, which is where the padding is saved.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from trainers.batches import Layout
from trainers.examples import Example
from trainers.pair_tokens import Rows


@dataclass(frozen=True, slots=True)
class Order:
    """Shuffled passes over the examples, one behind the other, cut into steps.

    A step can be asked for by its number, so a run that goes on at step n needs no state but n.

    Attributes:
        examples: how many there are.
        per_step: how many a step sees; the last step sees what is left.
        epochs: passes; each example is in each exactly once. A part of a pass is allowed.
        seed: of the shuffles.
    """

    examples: int
    per_step: int
    epochs: float = 1.0
    seed: int = 0

    @property
    def seen(self) -> int:
        """Examples in all steps together, each pass counted."""
        # Rounded, because 81/50 passes over 50 examples are 81 examples and not 82.
        return math.ceil(round(self.examples * self.epochs, 6))

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return math.ceil(self.seen / self.per_step)

    @property
    def identity(self) -> dict[str, Any]:
        """What the order is made of, as plain JSON."""
        return asdict(self)

    def passes(self, steps: int) -> float:
        """How often the examples have been gone through after so many steps."""
        return min(steps * self.per_step, self.seen) / self.examples

    def step(self, number: int) -> list[int]:
        """Indices of the examples of step `number`, 0 … steps − 1.

        Raises:
            IndexError: there is no such step.
        """
        if not 0 <= number < self.steps:
            message = f"step {number} is not one of 0 … {self.steps - 1}"
            raise IndexError(message)
        start = number * self.per_step
        places = range(start, min(start + self.per_step, self.seen))
        return [int(_shuffled(self.examples, self.seed, at // self.examples)[at % self.examples]) for at in places]

    def __iter__(self) -> Iterator[list[int]]:
        return map(self.step, range(self.steps))

    def __len__(self) -> int:
        return self.steps


def batches_by_length(examples: Sequence[Example], layout: Layout, batch_tokens: int) -> list[list[int]]:
    """Indices of `examples` by length, cut into batches of at most `batch_tokens` tokens, padding included.

    An example that is longer goes alone. The longest come first: if memory is too small it shows at once.
    """
    widths = [layout.width(example) for example in examples]
    batches: list[list[int]] = []
    rows = 0
    for index in sorted(range(len(examples)), key=lambda i: (widths[i], i)):
        rows += layout.rows(examples[index])
        # Sorted, so the newest is the longest and sets the width of the whole batch.
        if batches and rows * widths[index] <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
            rows = layout.rows(examples[index])
    return batches[::-1]


@lru_cache(maxsize=2)
def _shuffled(count: int, seed: int, epoch: int) -> Rows:
    return np.random.default_rng([seed, epoch]).permutation(count)
