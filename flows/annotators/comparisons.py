"""Which responses are compared, and what comparisons in both orders say of each response."""

from collections.abc import Iterable, Iterator, Sequence

from flows.annotators.protocol import Comparison

ALONE = "there is no other response to compare it with"


def ordered_pairs(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Each two places whose texts differ, in both orders, one right after the other. Equal texts have no better one."""
    for i, first in enumerate(texts):
        for j in range(i + 1, len(texts)):
            if first != texts[j]:
                yield i, j
                yield j, i


def scores_of_comparisons(comparisons: Iterable[Comparison], responses: int) -> list[float | str]:
    """score_i = mean over opponents j, of whom both orders could be read, of (m_ij − m_ji) / 2.

    What a judge gives to whoever stands first is in m_ij and in m_ji alike, and cancels out.

    Args:
        comparisons: with margins in [−1, 1], each two responses in both orders.
        responses: how many there are.

    Returns:
        One score in [−1, 1] a response; a string says why there is none.
    """
    margins = {(c.first, c.second): c.margin for c in comparisons}
    gains: list[list[float]] = [[] for _ in range(responses)]
    why = [ALONE] * responses
    for (i, j), forward in margins.items():
        backward = margins.get((j, i), "it was not asked in the other order")
        if isinstance(forward, str) or isinstance(backward, str):
            why[i] = next(margin for margin in (forward, backward) if isinstance(margin, str))
        else:
            gains[i].append((forward - backward) / 2)
    return [sum(gain) / len(gain) if gain else reason for gain, reason in zip(gains, why, strict=True)]
