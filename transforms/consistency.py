"""Does a truncated pair still carry its preference? Estimates, intervals and decisions (methods §3).

POET (arXiv 2506.09457, Table 1): the longer response is cut, completed n times and each completion compared
with the shorter one. Where both sides are cut, all n × n combinations are compared (Mann–Whitney).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
LEVEL: Final = 0.95


class Judgement(NamedTuple):
    """Interval of the Beta posterior and verdict, each of shape (pairs,)."""

    low: Floats
    high: Floats
    keep: Bools


class Rate(NamedTuple):
    """A share with its Wilson interval."""

    value: float
    low: float
    high: float


def win_share(chosen: Sequence[float], rejected: Sequence[float]) -> float:
    """Share of all combinations in which the chosen side scores higher; ties count one half.

    Mann–Whitney's U over its maximum. A side that was not cut is one score.
    """
    higher = np.asarray(chosen, dtype=float)[:, None] - np.asarray(rejected, dtype=float)[None, :]
    return float(np.heaviside(higher, 0.5).mean())


def judge(shares: Floats, n: Ints, *, prior: tuple[float, float], threshold: float, delta: float) -> Judgement:
    """Interval and verdict per pair from the share of comparisons that agree with the reference.

    With both sides cut, the n² combinations are not independent; they count as the n matched pairs that
    they hold, so the interval is never too narrow.

    Args:
        shares: shape (pairs,), in [0, 1].
        n: shape (pairs,), independent comparisons behind each share. 0: neither side was cut, consistent by
            definition, interval [1, 1].
        prior: of the Beta posterior; (0.5, 0.5) is Jeffreys.
        threshold: τ.
        delta: δ. keep where P(consistency ≥ τ) ≥ 1 − δ, drop where ≤ δ, else the posterior mean decides.
    """
    wins, losses = prior[0] + shares * n, prior[1] + (1 - shares) * n
    tail = (1 - LEVEL) / 2
    certain = n == 0
    above = 1 - special.betainc(wins, losses, threshold)
    by_mean = wins / (wins + losses) >= threshold
    keep = np.where(above >= 1 - delta, True, np.where(above <= delta, False, by_mean))
    return Judgement(
        low=np.where(certain, 1.0, special.betaincinv(wins, losses, tail)),
        high=np.where(certain, 1.0, special.betaincinv(wins, losses, 1 - tail)),
        keep=certain | keep,
    )


def wilson(successes: float, n: int, level: float = LEVEL) -> Rate:
    """Share with its Wilson score interval; (0, 0, 1) for n = 0, where nothing is known.

    `successes` may be fractional (ties, pair estimates between 0 and 1): a mean of values in [0, 1] varies
    no more than a share of zeros and ones does, so the interval stays on the safe side.
    """
    if n == 0:
        return Rate(0.0, 0.0, 1.0)
    z = float(stats.norm.ppf(0.5 + level / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return Rate(share, max(0.0, centre - half), min(1.0, centre + half))
