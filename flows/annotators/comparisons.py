"""Which responses are compared, and what comparisons in both orders say of each response."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from flows.annotators.protocol import Comparison
from transforms.pairing.wins import win_scores

ALONE = "there is no other response to compare it with"
_ONE_ORDER = "it was not asked in the other order"


def ordered_pairs(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Each two places whose texts differ, in both orders, one right after the other. Equal texts have no better one."""
    for i, first in enumerate(texts):
        for j in range(i + 1, len(texts)):
            if first != texts[j]:
                yield i, j
                yield j, i


def scores_of_comparisons(comparisons: Iterable[Comparison], responses: int) -> list[float | str]:
    """The mean over opponents of whom both orders could be read, as `win_scores` has it.

    Args:
        comparisons: with margins in [−1, 1], each two responses in both orders.
        responses: how many there are.

    Returns:
        One score in [−1, 1] a response; a string says why there is none: what made the first of its comparisons
        unreadable.
    """
    margins = {(c.first, c.second): c.margin for c in comparisons}
    pairs = sorted({(min(pair), max(pair)) for pair in margins})
    why: dict[int, str] = {}
    for i, j in pairs:
        for order in ((i, j), (j, i)):
            margin = margins.setdefault(order, _ONE_ORDER)
            if isinstance(margin, str):
                why.setdefault(i, margin)
                why.setdefault(j, margin)
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    forward, backward = (
        np.array([np.nan if isinstance(margin := margins[order], str) else margin for order in orders], np.float64)
        for orders in (pairs, [(j, i) for i, j in pairs])
    )
    wins = win_scores(first, second, forward, backward, responses)
    return [
        float(score) if opponents else why.get(place, ALONE)
        for place, (score, opponents) in enumerate(zip(wins.score, wins.opponents, strict=True))
    ]
