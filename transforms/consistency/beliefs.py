"""What is believed of pairs' consistencies: for each a mixture of Beta distributions.

Comparisons turn a mixture into another: every component gets wins and losses, and the components that foretold them
gain share. That is what keeps an informative prior honest: a pair that contradicts what was foretold of its kind is
taken for one of another kind (robust priors: Schmidli et al. 2014, Biometrics 70(4), 1023–1032).
"""

from typing import Final, NamedTuple

import numpy as np

from transforms.consistency.posteriors import Posterior
from transforms.statistics.intervals import Bools, Floats, Ints

_DIGITS: Final = 12  # of a value: beyond them, pairs of equal worth would be ranked by the machine's last bit
_HALVINGS: Final = 60  # of an interval in [0, 1]: beyond a float's last digit


class _Components(NamedTuple):
    share: Floats  # of the components; rows add up to 1
    wins: Floats  # first parameters
    losses: Floats  # second parameters


class Beliefs(_Components, Posterior):
    """Of some pairs, each (pairs, components)."""

    @classmethod
    def alike(cls, pairs: int, wins: float, losses: float) -> "Beliefs":
        """One Beta distribution for every pair."""
        return cls(np.ones((pairs, 1)), np.full((pairs, 1), float(wins)), np.full((pairs, 1), float(losses)))

    def of(self, rows: Ints | Bools) -> "Beliefs":
        """Of some of the pairs."""
        return Beliefs(self.share[rows], self.wins[rows], self.losses[rows])

    def replaced(self, rows: Ints, other: "Beliefs") -> "Beliefs":
        """With those of `rows` taken from `other`, (rows, components)."""
        width = max(self.share.shape[1], other.share.shape[1])
        mine, theirs = _widened(self, width), _widened(other, width)
        for own, new in zip(mine, theirs, strict=True):
            own[rows] = new
        return mine

    def mirrored(self, mask: Bools) -> "Beliefs":
        """Of the opposite order where `mask` (pairs,) says so."""
        swap = mask[:, None]
        return Beliefs(self.share, np.where(swap, self.losses, self.wins), np.where(swap, self.wins, self.losses))

    def after(self, wins: Floats, n: Ints) -> "Beliefs":
        """Posterior after `n` comparisons, `wins` of them consistent, each (pairs,); halves are allowed."""
        won, lost = self.wins + wins[:, None], self.losses + (n - wins)[:, None]
        with np.errstate(divide="ignore"):
            weight = np.log(self.share) + _log_evidence(self.wins, self.losses, wins[:, None], n[:, None])
        share = np.exp(weight - weight.max(axis=1, keepdims=True))
        return Beliefs(share / share.sum(axis=1, keepdims=True), won, lost)

    def log_likelihood(self, wins: Floats, n: Ints) -> Floats:
        """Of each pair's comparisons, without the binomial coefficient, (pairs,)."""
        from scipy import special

        with np.errstate(divide="ignore"):
            each = np.log(self.share) + _log_evidence(self.wins, self.losses, wins[:, None], n[:, None])
        found: Floats = special.logsumexp(each, axis=1)
        return found

    def above(self, threshold: float) -> Floats:
        """P(consistency ≥ τ), (pairs,)."""
        from scipy import special

        found: Floats = (self.share * special.betaincc(self.wins, self.losses, threshold)).sum(axis=1)
        # The shares add up to 1 but for rounding, and P(c ≥ 0) is 1.
        return np.minimum(found, 1.0)

    def mean(self) -> Floats:
        """P(a comparison is consistent), (pairs,)."""
        found: Floats = (self.share * self.wins / (self.wins + self.losses)).sum(axis=1)
        return found

    def value_of_sampling(self, *, step: int, threshold: float) -> Floats:
        """How much `step` more comparisons are expected to lower a pair's chance of a wrong verdict, (pairs,).

        The chance is min(P(c ≥ τ), P(c < τ)) under the posterior; its expectation is over the predictive distribution
        of the comparisons to come. It is never below zero: by Jensen's inequality the minimum of two probabilities
        falls on average.
        """
        from scipy import special

        now, later = 1 - self.certainty(threshold), np.zeros(len(self.share))
        n = np.full(len(later), step)
        for agree in range(step + 1):
            wins = np.full(len(later), float(agree))
            chance = special.comb(step, agree) * np.exp(self.log_likelihood(wins, n))
            later += chance * (1 - self.after(wins, n).certainty(threshold))
        value: Floats = np.maximum(np.round(now - later, _DIGITS), 0.0)
        return value

    def _quantile(self, level: float) -> Floats:
        from scipy import special

        each = np.asarray(special.betaincinv(self.wins, self.losses, level), np.float64)
        if each.shape[1] == 1:
            return each[:, 0]
        low, high = each.min(axis=1), each.max(axis=1)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = (self.share * special.betainc(self.wins, self.losses, middle[:, None])).sum(axis=1) < level
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        found: Floats = (low + high) / 2
        return found


def _log_evidence(a: Floats, b: Floats, wins: Floats, n: Floats | Ints) -> Floats:
    """log P(a given order of the comparisons | Beta(a, b)), elementwise."""
    from scipy import special

    found: Floats = special.betaln(a + wins, b + n - wins) - special.betaln(a, b)
    return found


def _widened(beliefs: Beliefs, width: int) -> Beliefs:
    """A copy with empty components up to `width`."""
    more = ((0, 0), (0, width - beliefs.share.shape[1]))
    return Beliefs(
        np.pad(beliefs.share, more),
        np.pad(beliefs.wins, more, constant_values=1.0),
        np.pad(beliefs.losses, more, constant_values=1.0),
    )
