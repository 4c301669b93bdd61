"""Several responses to one prompt → which two of them meet in a pair. Content decides, never order."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from transforms.errors import RowError
from transforms.sources.canonical import Pair, Prompt, check_text, content_hash
from transforms.sources.fields import pair
from transforms.sources.messages import answers
from transforms.sources.options import SourceOptions
from transforms.sources.rows import Fields

Pairing = Literal["best_vs_random", "best_vs_worst", "all_pairs"]
Kept = TypeVar("Kept")


class Candidate(NamedTuple, Generic[Kept]):
    """A response that may be a side of a pair.

    Attributes:
        score: what it is worth; the higher, the better.
        order: a hash of its content. It breaks ties, whatever order the responses are in.
        response: what the kind knows of it.
    """

    score: float
    order: str
    response: Kept


class Completion(NamedTuple):
    """A response as most kinds have it: `ended` is None where the source does not say whether it ended by itself."""

    text: str
    ended: bool | None


def pairings(candidates: Sequence[Candidate[Kept]], pairing: Pairing) -> list[tuple[Candidate[Kept], Candidate[Kept]]]:
    """The better and the worse response of each pair, of at least two candidates."""
    ranked = sorted(candidates, key=lambda one: (-one.score, one.order))
    if pairing == "all_pairs":
        return list(combinations(ranked, 2))
    if pairing == "best_vs_worst":
        return [(ranked[0], ranked[-1])]
    # Not `order` itself: it has just decided which of two equally good ones is the best.
    return [(ranked[0], min(ranked[1:], key=lambda one: content_hash("random", one.order)))]


def paired(
    row: Fields,
    options: SourceOptions,
    prompt: Prompt,
    candidates: Sequence[Candidate[Completion]],
    pairing: Pairing,
    **of_row: Any,
) -> list[Pair]:
    """The pairs of at least two candidates, with their scores and how they ended.

    Args:
        row: the raw row.
        options: of the source.
        prompt: of all candidates.
        candidates: responses as text.
        pairing: which of them meet.
        of_row: what `fields.pair` is told beside, the same for each pair: `reason`, `source_id`, `subset`.
    """
    return [
        pair(
            row,
            options,
            answers(prompt, better.response.text, worse.response.text),
            scores=(better.score, worse.score),
            finished=(better.response.ended, worse.response.ended),
            **of_row,
        )
        for better, worse in pairings(candidates, pairing)
    ]


def is_usable(text: object) -> bool:
    """Whether a raw response is a text that says something."""
    try:
        check_text(text, "response")
    except RowError:
        return False
    return True
