"""What can be said of consistencies however they are believed in: by wins or by gaps."""

import numpy as np

from transforms.statistics.intervals import LEVEL, Bools, Floats


class Posterior:
    """What is believed of some pairs' consistencies. A subclass says how likely each is above a threshold."""

    def above(self, threshold: float) -> Floats:
        """P(consistency ≥ τ), (pairs,)."""
        raise NotImplementedError

    def _quantile(self, level: float) -> Floats:
        raise NotImplementedError

    def certainty(self, threshold: float) -> Floats:
        """How sure the likelier verdict is: max(P(c ≥ τ), P(c < τ)), (pairs,)."""
        above = self.above(threshold)
        return np.maximum(above, 1 - above)

    def wrong(self, keeps: Bools, threshold: float) -> Floats:
        """How likely the verdicts `keeps` are wrong, (pairs,)."""
        above = self.above(threshold)
        return np.where(keeps, 1 - above, above)

    def histogram(self, bins: int) -> Floats:
        """P(the consistency lies in each of so many equal parts of [0, 1]), (pairs, bins)."""
        above = np.stack([self.above(edge) for edge in np.linspace(0, 1, bins + 1)[:-1]], axis=1)
        found: Floats = np.maximum(-np.diff(above, axis=1, append=0.0), 0.0)
        return found

    def interval(self) -> tuple[Floats, Floats]:
        """Central 95 %, (pairs,) each."""
        tail = (1 - LEVEL) / 2
        return self._quantile(tail), self._quantile(1 - tail)
