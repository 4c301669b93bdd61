"""Which examples a training step sees, and how they are cut into batches that fit.

A step is a random sample, whatever its lengths, so that no gradient is of short or long responses only. Inside
the step the examples go by length, which is where the padding is saved.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from trainers.batches.tensors import Layout
from trainers.reading.examples import Example
from trainers.reading.pair_tokens import Rows

# What a pass costs whatever it reads (weights are cast, gradients added up, kernels started), as a share of a full one:
# about 100 of 2,048 tokens on two cores. A GPU's pass costs more tokens, and is given more.
PASS_COST: Final = 1 / 32


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
    def rows(self) -> Sequence[int]:
        """The examples that any step sees, in their own order."""
        if self.seen >= self.examples:
            return range(self.examples)
        return sorted(row for step in self for row in step)

    @property
    def pass_ends(self) -> list[int]:
        """The steps by whose end one more whole pass is done, counted from 1; a step may begin the next pass too."""
        whole = self.seen // self.examples
        return sorted({math.ceil(done * self.examples / self.per_step) for done in range(1, whole + 1)})

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

    Of all such cuts the one that costs least: its tokens, padding included, and a share of `batch_tokens` for each
    batch. A longer example goes alone. The longest come first: if memory is too small it shows at once.
    """
    widths = [layout.width(example) for example in examples]
    order = sorted(range(len(examples)), key=lambda i: (widths[i], i))
    cheapest = [0.0] + [math.inf] * len(order)  # cost of the first 0, 1, 2 … of `order`
    begins = [0] * (len(order) + 1)  # where the last batch of each of those cuts begins
    for end, longest in enumerate(order, start=1):
        tokens = 0
        for first in reversed(range(end)):
            # Sorted, so the last one sets the width of a padded batch.
            added = order[first]
            tokens += layout.rows(examples[added]) * widths[longest if layout.pads else added]
            if tokens > batch_tokens and first + 1 < end:
                break
            cost = cheapest[first] + tokens + PASS_COST * batch_tokens
            if cost < cheapest[end]:
                cheapest[end], begins[end] = cost, first
    batches, end = [], len(order)
    while end:
        batches.append(order[begins[end] : end])
        end = begins[end]
    return batches


def cut_by_length(
    rows: Sequence[int], example: Callable[[int], Example], layout: Layout, batch_tokens: int
) -> list[list[int]]:
    """`rows` in micro-batches, as `batches_by_length` cuts their examples."""
    batches = batches_by_length([example(row) for row in rows], layout, batch_tokens)
    return [[rows[index] for index in batch] for batch in batches]


@lru_cache(maxsize=2)
def _shuffled(count: int, seed: int, epoch: int) -> Rows:
    return np.random.default_rng([seed, epoch]).permutation(count)
