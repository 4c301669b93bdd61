"""What an annotator is: it reads a prompt with all its responses, and says how good each of them is."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from flows.models.engine_calls import Pay
from flows.runtime.progress import Advance
from transforms.chat.conversation import Asked, Turn
from transforms.engines.protocol import ModelIdentity
from transforms.records.manifest import SpendRecord


class Group(NamedTuple):
    """A prompt with its responses, as annotators are shown them."""

    prompt_id: str  # 16 hex digits
    asked: Asked
    answers: Sequence[Turn]  # at least one; of equal content and fields one is one question


class Comparison(NamedTuple):
    """One answer of a pairwise annotator. Each two responses are compared in both orders."""

    first: int  # place in Group.answers of the response that was shown first
    second: int
    margin: float | str  # of the first over the second, 0 a tie; a string says why there is none


class Marks(NamedTuple):
    """What an annotator says of one group."""

    scores: list[float | str]  # one a response, higher is better; a string says why there is none
    objectives: list[list[float] | None] | None = None  # per response, as the annotator's `objectives` name them
    comparisons: Sequence[Comparison] = ()  # of a pairwise annotator, in the order in which they were asked


class Annotator(Protocol):
    """Judges responses through the ledger. What it needs is loaded at the first question that is not answered yet."""

    @property
    def label(self) -> str:
        """What the recipe calls it; a column's name comes of it."""
        ...

    @property
    def identity(self) -> ModelIdentity:
        """What fixes its answers."""
        ...

    @property
    def inputs_key(self) -> tuple[str | None, ...]:
        """Hashes of what decides its inputs and is no part of the identity; empty for most."""
        ...

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of what it scores beside the score; empty for most."""
        ...

    @property
    def spend(self) -> SpendRecord:
        """Its account."""
        ...

    def questions(self, groups: Sequence[Group]) -> int:
        """How many questions `pay` will pass through for these groups, for the progress bar."""
        ...

    def pay(self, groups: Sequence[Group], name: str, *, pay: Pay, advance: Advance, repeat: int = 0) -> None:
        """Ask what the ledger lacks, in fixed batches.

        Args:
            groups: prompts with their responses.
            name: of this work, for messages; batches are numbered after it.
            pay: calls a batch of expensive work by a name, and again if its engine fails.
            advance: told of each question that is answered, with its tokens.
            repeat: 1, 2, … asks again what was answered already, under ids of its own: does it say the same?

        Raises:
            EngineError: the engine failed, whatever was tried.
        """
        ...

    def marks(self, groups: Sequence[Group], *, repeat: int = 0) -> list[Marks]:
        """The answers, group by group, once `pay` is through."""
        ...

    def close(self) -> None:
        """Unload what was loaded."""
        ...
