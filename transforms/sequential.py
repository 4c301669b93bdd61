"""Which pairs are completed next, and how often: rounds until the posterior is sure or the budget ends."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from transforms.consistency import Floats, Ints, probability_above
from transforms.evidence import Evidence


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
) -> Round:
    """The open pairs among `candidates`, as many as the budget has room for.

    Where it has not room for all, a pair that has completions is worth what they may change: the fall of its
    chance of a wrong verdict that `step` more are expected to bring, a completion. Pairs without completions
    come in random order instead, so that those which were sampled when the budget ended are a random sample.

    Args:
        evidence: of the run.
        candidates: pairs that may be sampled.
        first: samples a side in a pair's first round.
        step: in each later one.
        threshold: τ.
        room: completions that the budget still allows.
        order: (pairs,), a random rank, the same in every run.
    """
    opened = evidence.open_pairs() & (evidence.n < evidence.n_max)
    rows = candidates[opened[candidates]]
    more = np.minimum(np.where(evidence.n[rows] == 0, first, step), evidence.n_max - evidence.n[rows])
    costs = more * evidence.sides_cut[rows]
    if costs.sum() <= room:
        return Round(rows, more)
    fresh = evidence.n[rows] == 0
    value = value_of_sampling(*evidence.posterior(rows), step=step, threshold=threshold) / evidence.sides_cut[rows]
    ranked = np.lexsort((order[rows], np.where(fresh, 0.0, -value), ~fresh))
    fits = ranked[np.cumsum(costs[ranked]) <= room]
    chosen = np.sort(fits)
    return Round(rows[chosen], more[chosen])


def value_of_sampling(wins: Floats, losses: Floats, *, step: int, threshold: float) -> Floats:
    """How much `step` more comparisons are expected to lower a pair's chance of a wrong verdict, (pairs,).

    The chance is min(P(c ≥ τ), P(c < τ)) under the posterior; its expectation is over the Beta-binomial
    predictive distribution of the comparisons to come. It is never below zero: by Jensen's inequality the
    minimum of two probabilities falls on average.
    """
    now = _wrong(wins, losses, threshold)
    later = np.zeros_like(now)
    for agree in range(step + 1):
        chance = stats.betabinom.pmf(agree, step, wins, losses)
        later += chance * _wrong(wins + agree, losses + step - agree, threshold)
    return np.maximum(now - later, 0.0)


def _wrong(wins: Floats, losses: Floats, threshold: float) -> Floats:
    above = probability_above(wins, losses, threshold)
    return np.minimum(above, 1 - above)
