"""Makers of evidence for tests: pairs with rewards that were drawn or written down by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from transforms.consistency.beliefs import Beliefs
from transforms.consistency.evidence import Evidence
from transforms.consistency.proxy import Proxy


def evidence(
    count: int, *, cut: str | Sequence[str] = "chosen", n_max: int = 4, share_cut: float = 0.5, **options: Any
) -> Evidence:
    """Pairs of which nothing was sampled yet; every full response scores 0.

    Args:
        count: pairs.
        cut: chosen, rejected, both or none, for all pairs or one each.
        n_max: completions a side at most.
        share_cut: of every pair.
        options: as for Evidence.
    """
    kinds = np.full(count, cut) if isinstance(cut, str) else np.asarray(cut)
    sampled = {side: (kinds == side) | (kinds == "both") for side in ("chosen", "rejected")}
    ids = [f"{row:016x}{0:016x}" for row in range(count)]
    found = Evidence(ids, sampled, np.full(count, share_cut), n_max, **options)
    for side in found.full:
        found.full[side][:] = 0.0
    return found


def draw(found: Evidence, row: int, chosen: Sequence[float] = (), rejected: Sequence[float] = ()) -> None:
    """Append completions' rewards to a pair."""
    start, more = int(found.n[row]), max(len(chosen), len(rejected))
    for side, rewards in (("chosen", chosen), ("rejected", rejected)):
        if len(rewards):
            found.completions[side][row, start : start + more] = rewards
    found.n[row] = start + more


def believe(found: Evidence, row: int, wins: float, losses: float) -> None:
    """Give a pair a prior of its own."""
    found.beliefs = found.beliefs.replaced(np.array([row]), Beliefs.alike(1, wins, losses))


def teach(found: Evidence, rows: np.typing.NDArray[np.int64], proxy: Proxy, *, threshold: float) -> None:
    """Have the evidence believe a proxy, and skip where that is sure enough, as a run does."""
    found.believe(rows, proxy)
    found.may_skip(rows, proxy.beliefs.certainty(threshold) >= proxy.sure)
