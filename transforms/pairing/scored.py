"""A run's responses as arrays, sorted by (prompt, response index), and the pairs of rows that share a prompt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from transforms.errors import SchemaError
from transforms.statistics.intervals import Bools, Floats, Ints

AGGREGATES: Final = ("mean_z", "mean_rank", "minimum")
_BLOCK: Final = 1 << 20  # pairs at once: a dozen arrays of them are some 100 MB


@dataclass(frozen=True, slots=True)
class Scored:
    """The responses of a run with their scores. R responses, A annotators.

    Args:
        prompt: which prompt each answers, 0, 0, 0, 1, 1, 2 …: from 0, non-decreasing, without gaps; (R,).
        scores: higher is better, NaN where the annotator has no score of the response; (R, A).
        tokens: length of each response, at least 0; (R,).
        finished: whether the model ended it, (R,).
        annotators: the names of the columns of `scores`; (A,).

    Raises:
        SchemaError: another shape or type, prompts out of order, an infinite score, a negative length, a name that is
            there twice or that is an aggregate's.
    """

    prompt: Ints
    scores: Floats
    tokens: Ints
    finished: Bools
    annotators: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.prompt)
        checked(self.prompt, "prompt", np.int64, (count,))
        checked(self.scores, "scores", np.float64, (count, len(self.annotators)))
        checked(self.tokens, "tokens", np.int64, (count,))
        checked(self.finished, "finished", np.bool_, (count,))
        steps = np.diff(self.prompt, prepend=-1)
        off = np.flatnonzero((steps != 1) & ((steps != 0) | (np.arange(count) == 0)))
        if len(off):
            message = (
                f"prompt is {self.prompt[off[0]]} in row {off[0]}, expected 0, 0, 1, 2 … without gaps; sort the "
                "responses by prompt and number the prompts densely"
            )
            raise SchemaError(message)
        if count and self.tokens.min() < 0:
            row = int(self.tokens.argmin())
            message = f"tokens is {self.tokens[row]} in row {row}, expected a length of at least 0"
            raise SchemaError(message)
        for name in self.annotators:
            if name in AGGREGATES or self.annotators.count(name) > 1:
                message = (
                    f"an annotator is called {name!r}, which is another's name or an aggregate's "
                    f"({', '.join(AGGREGATES)}); give each a name of its own"
                )
                raise SchemaError(message)

    @property
    def prompts(self) -> int:
        """How many."""
        return int(self.prompt[-1]) + 1 if len(self.prompt) else 0

    def columns(self, names: Sequence[str] | None = None) -> Floats:
        """The scores of some annotators, (R, names); of all by default.

        Raises:
            SchemaError: no annotator has that name.
        """
        if names is None:
            return self.scores
        unknown = [name for name in names if name not in self.annotators]
        if unknown or not names:
            message = f"annotator {unknown[0]!r} has" if unknown else "no annotator has"
            message += f" no scores here, expected one or more of {', '.join(self.annotators)}"
            raise SchemaError(message)
        return self.scores[:, [self.annotators.index(name) for name in names]]


def checked(values: npt.NDArray[Any], name: str, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    """Refuse an array of another type or shape, or with infinite numbers; NaN is what is not there.

    Raises:
        SchemaError: it is one.
    """
    if values.dtype != np.dtype(dtype) or values.shape != shape:
        message = (
            f"{name} is {values.dtype} of shape {values.shape}, expected {np.dtype(dtype)} of shape {shape}; one entry "
            "a row"
        )
        raise SchemaError(message)
    if len(infinite := np.argwhere(np.isinf(values))):
        message = f"{name} is infinite in row {infinite[0][0]}, expected a finite number, or NaN where there is none"
        raise SchemaError(message)


def row_pairs(prompt: Ints) -> Iterator[tuple[Ints, Ints]]:
    """All pairs of rows i < j of one prompt, (pairs,) and (pairs,), in blocks; a prompt's are all in one block.

    Args:
        prompt: as of `Scored`.
    """
    if not len(prompt):
        return
    sizes = np.bincount(prompt)
    ends = np.cumsum(sizes)
    block = np.cumsum(sizes * (sizes - 1) // 2) // _BLOCK
    last = np.flatnonzero(np.diff(block, append=block[-1] + 1))  # the last prompt of each block
    low = 0
    for high in ends[last].tolist():
        rows = np.arange(low, high)
        later = ends[prompt[low:high]] - rows - 1
        left = np.repeat(rows, later)
        right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(later) - later, later)
        yield left, right
        low = high


def sums(prompt: Ints, values: Floats | Bools, prompts: int) -> Floats:
    """Of the values of each prompt, (prompts,)."""
    return np.bincount(prompt, values, prompts).astype(np.float64)


def names_of(prompt: Ints) -> list[str]:
    """Prompts as the statistics take clusters."""
    return [str(at) for at in prompt.tolist()]
