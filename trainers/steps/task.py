"""What a training run is about, as far as the trainer has to know: examples by number, and how a model reads them."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

import torch

Result = TypeVar("Result")


class Call(Protocol):
    """Runs work on the model inside the forward pass of whatever wraps it."""

    def __call__(self, work: Callable[[Any], Result], /) -> Result: ...


class Read(NamedTuple):
    """What came of reading some examples together."""

    losses: torch.Tensor  # (terms,), with gradients; the step's loss is the mean of all its terms
    names: list[str]  # of the terms, for messages
    figures: dict[str, torch.Tensor]  # entries to be averaged, by name; the same names at every call
    kept_tokens: int  # response tokens that the losses read
    read_tokens: int  # tokens that the model read, padding left out
    spread: tuple[str, ...] = ()  # figures of which a measurement logs quantiles too
    totals: Mapping[str, torch.Tensor] = MappingProxyType({})  # entries to be added up, by name; likewise


class Task(Protocol):
    """Examples 0 … size − 1 and what is learned from them."""

    @property
    def size(self) -> int:
        """How many examples there are."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the losses, as plain JSON: the objective, its settings and the data's hash."""
        ...

    def cut(self, rows: Sequence[int], /) -> list[list[int]]:
        """The examples in micro-batches that fit in memory, the longest first."""
        ...

    def terms(self, rows: Sequence[int], /) -> int:
        """How many terms the loss of these examples is the mean of."""
        ...

    def names(self, rows: Sequence[int], /) -> list[str]:
        """Names of examples, for messages."""
        ...

    def read(self, call: Call, rows: Sequence[int], device: torch.device, /) -> Read:
        """Losses of these examples and what the log says of them."""
        ...
