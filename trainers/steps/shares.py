"""Which examples a process reads together in a step: a matter of memory and speed, never of the step's loss.

Every process knows the whole step, so nothing has to be agreed on: each works out all shares and takes its own.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch.utils.data import Dataset

from trainers.steps.order import Order

Cut = Callable[[Sequence[int]], list[list[int]]]


class MicroBatch(NamedTuple):
    """Examples that one forward pass reads."""

    rows: tuple[int, ...]
    counts: bool  # False: read again only because another process still has one to read


class Step(NamedTuple):
    """One optimizer step as one process sees it."""

    number: int
    rows: tuple[int, ...]  # of all processes
    micro_batches: tuple[MicroBatch, ...]  # of this one


class Steps(Dataset[dict[str, Step]]):  # type: ignore[misc]
    """The steps of `order`, each cut by `cut`, as the Trainer's data loader asks for them.

    Args:
        order: the steps' examples.
        cut: examples into micro-batches that fit in memory, the longest first.
        process: which of them this is.
        processes: how many share a step.
    """

    def __init__(self, order: Order, cut: Cut, *, process: int, processes: int) -> None:
        self._order, self._cut = order, cut
        self._process, self._processes = process, processes

    def __len__(self) -> int:
        return self._order.steps

    def __getitem__(self, number: int) -> dict[str, Step]:
        rows = self._order.step(number)
        own = share(rows, self._cut, process=self._process, processes=self._processes)
        # A mapping, because the Trainer looks for labels in it.
        return {"step": Step(number, tuple(rows), tuple(own))}


def share(rows: Sequence[int], cut: Cut, *, process: int, processes: int) -> list[MicroBatch]:
    """The micro-batches of one process; every process gets as many, or a collective call would wait for ever.

    Examples are dealt out by length, so that all have about as much to do. A process with fewer micro-batches
    reads the step's shortest example once more and leaves it out of every sum.
    """
    batches = cut(rows)
    by_length = [row for batch in batches for row in batch]
    shares = [by_length[first::processes] for first in range(processes)]
    cuts = [cut(part) if part else [] for part in shares]
    own = [MicroBatch(tuple(batch), counts=True) for batch in cuts[process]]
    stand_in = MicroBatch((batches[-1][0],), counts=False)
    return own + [stand_in] * (max(map(len, cuts)) - len(own))
