"""Which of several responses to one prompt meet, and which of two is the better one."""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from transforms.errors import RowError
from transforms.sources.canonical import check_text, content_hash

Pairing = Literal["best_vs_random", "best_vs_worst", "all_pairs"]


class Candidate(NamedTuple):
    """A response that may become a side.

    Attributes:
        score: higher is better.
        order: breaks ties by content, whatever order the responses are in.
        text: of the response.
        ended: whether it ended by itself, None where the source does not say.
    """

    score: float
    order: str
    text: str
    ended: bool | None


def pairings(candidates: Sequence[Candidate], pairing: Pairing) -> list[tuple[Candidate, Candidate]]:
    """The better and the worse of each pair.

    Args:
        candidates: at least two.
        pairing: the best against one of the others that is picked by content, against the worst, or every two.
    """
    ranked = sorted(candidates, key=lambda one: (-one.score, one.order))
    if pairing == "all_pairs":
        return list(combinations(ranked, 2))
    if pairing == "best_vs_worst":
        return [(ranked[0], ranked[-1])]
    # Not `order` itself: it has just decided which of two equally good ones is the best.
    return [(ranked[0], min(ranked[1:], key=lambda one: content_hash("random", one.order)))]


def is_usable(text: object) -> bool:
    """Whether a response has a text that can be a side."""
    try:
        check_text(text, "response")
    except RowError:
        return False
    return True
