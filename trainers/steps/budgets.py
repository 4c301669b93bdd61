"""What a number of steps comes to in tokens, and which number of steps comes nearest to so many tokens."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trainers.steps.arguments import training_order
from trainers.steps.order import Order
from trainers.steps.settings import Optimisation

Lengths = npt.NDArray[np.int64]  # tokens of each example, (examples,), at least 1


class Reached(NamedTuple):
    """What a number of steps comes to."""

    steps: int
    tokens: int


def steps_order(settings: Optimisation, steps: int, examples: int) -> Order:
    """The order of a training of so many steps, each of them full."""
    return training_order(settings.model_copy(update={"epochs": None, "steps": steps}), examples)


def tokens_seen(lengths: Lengths, order: Order) -> int:
    """Tokens of the examples that all steps of `order` see, repeats counted."""
    return sum(int(lengths[step].sum()) for step in order)


def steps_for(tokens: int, lengths: Lengths, settings: Optimisation) -> Reached:
    """The number of whole steps that comes nearest to `tokens`, at least one: off by half a step at most.

    Of two that are equally near it is the smaller one.

    Args:
        tokens: that should be seen, at least 1.
        lengths: of the examples.
        settings: pairs a step, and the seed that shuffles.
    """
    enough = math.ceil(tokens / (settings.pairs_per_step * int(lengths.min())))
    before = Reached(0, 0)
    for step in steps_order(settings, enough, len(lengths)):
        now = Reached(before.steps + 1, before.tokens + int(lengths[step].sum()))
        if now.tokens >= tokens:
            return before if before.steps and tokens - before.tokens <= now.tokens - tokens else now
        before = now
    return before  # of `enough` steps, each as short as a step can be
