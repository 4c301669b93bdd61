"""Which pairs are completed next, and how often: rounds until the posterior is sure or the budget ends."""

from typing import Final, NamedTuple

import numpy as np

from transforms.consistency.beliefs import Beliefs
from transforms.consistency.evidence import Evidence
from transforms.statistics.intervals import Floats, Ints

_DIGITS: Final = 12  # of a value: beyond them, pairs of equal worth would be ranked by the machine's last bit


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

    Where it has not room for all, a pair that has completions is worth what more of them may change (`worth`), a
    completion. Pairs without completions come before them and in random order instead, so that those which were
    sampled when the budget ended are a random sample.

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
    if not len(rows) or costs.sum() <= room:
        return Round(rows, more)
    if costs.min() > room:
        return Round(rows[:0], more[:0])
    again = evidence.n[rows] > 0
    value = np.zeros(len(rows))
    value[again] = worth(evidence, rows[again], step=step, threshold=threshold) / evidence.sides_cut[rows[again]]
    ranked = np.lexsort((order[rows], -value, again))
    fits = ranked[np.cumsum(costs[ranked]) <= room]
    chosen = np.sort(fits)
    return Round(rows[chosen], more[chosen])


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
        value = value_of_sampling(now.of(some), step=ahead, threshold=threshold) / ahead
        best[some] = np.maximum(best[some], value)
        ahead *= 2


def value_of_sampling(beliefs: Beliefs, *, step: int, threshold: float) -> Floats:
    """How much `step` more comparisons are expected to lower a pair's chance of a wrong verdict, (pairs,).

    The chance is min(P(c ≥ τ), P(c < τ)) under the posterior; its expectation is over the predictive distribution of
    the comparisons to come. It is never below zero: by Jensen's inequality the minimum of two probabilities falls on
    average.
    """
    from scipy import special

    now, later = 1 - beliefs.certainty(threshold), np.zeros(len(beliefs.share))
    n = np.full(len(later), step)
    for agree in range(step + 1):
        wins = np.full(len(later), float(agree))
        chance = special.comb(step, agree) * np.exp(beliefs.log_likelihood(wins, n))
        later += chance * (1 - beliefs.after(wins, n).certainty(threshold))
    value: Floats = np.maximum(np.round(now - later, _DIGITS), 0.0)
    return value
