"""Which pairs are completed next, and how often: rounds until the posterior is sure or the budget ends."""

from typing import Final, Literal, NamedTuple

import numpy as np

from transforms.consistency.evidence import Evidence
from transforms.statistics.intervals import Floats, Ints

Purpose = Literal["both", "verdicts", "rates"]
_FLOOR: Final = 0.5  # of the mean weight
_HALVINGS: Final = 60


class Round(NamedTuple):
    """Pairs to complete and how many further samples a cut side each."""

    rows: Ints
    more: Ints

    def completions(self, evidence: Evidence) -> int:
        """Completions that the round asks for."""
        return int((self.more * evidence.sides_cut[self.rows]).sum())


def next_round(
    evidence: Evidence,
    candidates: Ints,
    *,
    first: int,
    step: int,
    threshold: float,
    room: float,
    order: Ints,
    by_tokens: bool = False,
    purpose: Purpose = "both",
) -> Round:
    """The open pairs among `candidates`, as many as the budget has room for.

    Where it has not room for all, a pair that has completions is worth what more of them may change (`worth`), a
    completion. Pairs without completions come before them and in random order instead, so that those which were
    sampled when the budget ended are a random sample; for verdicts alone they come by their worth as all others do.

    Args:
        evidence: of the run.
        candidates: pairs that may be sampled.
        first: samples a side in a pair's first round.
        step: in each later one.
        threshold: τ.
        room: completions that the budget still allows.
        order: (pairs,), a random rank, the same in every run.
        by_tokens: whether the budget is of tokens, so that long completions cost more.
        purpose: of the budget.
    """
    opened = evidence.open_pairs() & (evidence.n < evidence.n_max)
    rows = candidates[opened[candidates]]
    more = np.minimum(np.where(evidence.n[rows] == 0, first, step), evidence.n_max - evidence.n[rows])
    costs = more * evidence.sides_cut[rows]
    if not len(rows) or costs.sum() <= room:
        return Round(rows, more)
    if costs.min() > room:
        return Round(rows[:0], more[:0])
    again = evidence.n[rows] > 0 if purpose != "verdicts" else np.ones(len(rows), bool)
    value = np.zeros(len(rows))
    each = evidence.costs(rows[again]) if by_tokens else evidence.sides_cut[rows[again]]
    value[again] = worth(evidence, rows[again], step=step, threshold=threshold) / each
    ranked = np.lexsort((order[rows], -value, again))
    fits = ranked[np.cumsum(costs[ranked]) <= room]
    chosen = np.sort(fits)
    return Round(rows[chosen], more[chosen])


def drawn_for_rates(evidence: Evidence, everyone: Ints, *, first: int, room: float, order: Ints) -> Round | None:
    """Pairs whose first completions say most of the rate, where the budget does not pay for those of all.

    The estimate's variance is that of what the proxy foretells against what is seen, over the chance of being seen; at
    a given cost it is least where that chance goes as √(m (1 − m)), m the proxy's prediction (Neyman 1934), which is
    held out, so it does not look at the pair's own completions. Everybody has half of the mean chance at least, for a
    proxy may be sure and wrong. The chances are noted in the evidence (`Evidence.chance`), the audit's share in them;
    pairs are drawn at equal steps through the sum of the chances in random order, so their number is what the budget
    pays (Madow 1949).

    Args:
        evidence: of the run, its audit sampled.
        everyone: the cut pairs that can be judged.
        first: completions a side.
        room: completions that the budget still allows.
        order: (pairs,), a random rank.

    Returns:
        None where there is room for all.
    """
    fresh = everyone[evidence.n[everyone] == 0]
    costs = first * evidence.sides_cut
    if costs[fresh].sum() <= room:
        return None
    expected = evidence.expected[everyone]
    known = np.clip(np.where(np.isnan(expected), 0.5, expected), 0.0, 1.0)
    weight = np.sqrt(known * (1 - known)) / np.sqrt(evidence.sides_cut[everyone])
    weight = weight / weight.mean() if weight.mean() > 0 else np.ones(len(weight))
    weight = np.maximum(weight, _FLOOR)
    place = {row: at for at, row in enumerate(everyone.tolist())}
    mine = np.array([place[row] for row in fresh.tolist()], np.int64)
    # Drawn costs differ from the chances' sum by a pair or two.
    scale = _scale(weight[mine], costs[fresh], max(0.0, room - 2 * float(costs[fresh].max())))
    chance = np.minimum(1.0, scale * weight)
    ranked = mine[np.argsort(order[fresh], kind="stable")]
    up_to = np.cumsum(chance[ranked])
    taken = ranked[np.floor(up_to + 0.5) > np.floor(np.concatenate([[0.0], up_to[:-1]]) + 0.5)]
    taken = taken[np.cumsum(costs[everyone[taken]]) <= room]
    rows = everyone[np.sort(taken)]
    audited = (len(everyone) - len(fresh)) / len(everyone)
    evidence.chance = np.ones(len(evidence))
    evidence.chance[everyone] = audited + (1 - audited) * chance
    return Round(rows, np.full(len(rows), first, np.int64))


def _scale(weight: Floats, costs: Ints, room: float) -> float:
    """What weights are multiplied by so that chances of at most 1 cost no more than there is room for."""
    low, high = 0.0, float(1 / weight.min())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if (np.minimum(1, middle * weight) * costs).sum() <= room else (low, middle)
    return low


def worth(evidence: Evidence, rows: Ints, *, step: int, threshold: float) -> Floats:
    """The most that `step`, 2 · `step`, 4 · `step` … more comparisons are worth, each, (rows,).

    One alone is worth nothing wherever it cannot turn the verdict, that is for every pair after its first
    completion. Looking further ahead ranks them (Frazier and Powell 2010, "Paradoxes in learning and the marginal
    value of information").
    """
    now = evidence.posterior(rows)
    left = evidence.n_max - evidence.n[rows]
    best, ahead = np.zeros(len(rows)), step
    while True:
        some = np.flatnonzero(left >= ahead) if ahead > step else np.arange(len(rows))
        if not len(some):
            return best
        value = now.of(some).value_of_sampling(step=ahead, threshold=threshold) / ahead
        best[some] = np.maximum(best[some], value)
        ahead *= 2
