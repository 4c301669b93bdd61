"""Does a truncated pair still carry its preference? Estimates, intervals and decisions (methods §3).

POET (arXiv 2506.09457, Table 1): the longer response is cut, completed n times and each completion compared
with the shorter one. Where both sides are cut, all n × n combinations are compared (Mann–Whitney).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Decisions = npt.NDArray[np.int8]
KEEP: Final = 1
DROP: Final = -1
OPEN: Final = 0
LEVEL: Final = 0.95


class Rate(NamedTuple):
    """A share with its Wilson interval."""

    value: float
    low: float
    high: float


def win_share(chosen: Sequence[float], rejected: Sequence[float]) -> float:
    """Share of all combinations in which the chosen side scores higher; ties count one half.

    Mann–Whitney's U over its maximum. A side that was not cut is one score.
    """
    return float(win_shares(np.asarray(chosen, float)[None], np.asarray(rejected, float)[None])[0])


def win_shares(chosen: npt.NDArray[np.floating], rejected: npt.NDArray[np.floating]) -> Floats:
    """`win_share` of many pairs at once: (pairs, completions) and (pairs, completions) → (pairs,)."""
    higher = chosen.astype(np.float64)[:, :, None] - rejected.astype(np.float64)[:, None, :]
    shares: Floats = np.heaviside(higher, 0.5).mean(axis=(1, 2))
    return shares


def decide(above: Floats, *, delta: float) -> Decisions:
    """The sequential decision (methods §3).

    Args:
        above: P(consistency ≥ τ) of each pair, given its comparisons.
        delta: δ.

    Returns:
        KEEP where P(consistency ≥ τ) ≥ 1 − δ, DROP where ≤ δ, else OPEN.
    """
    return np.where(above >= 1 - delta, KEEP, np.where(above <= delta, DROP, OPEN)).astype(np.int8)


def decide_by_mean(mean: Floats, *, threshold: float) -> Decisions:
    """What is left of OPEN at n_max: the posterior mean decides."""
    return np.where(mean >= threshold, KEEP, DROP).astype(np.int8)


def wilson(successes: float, n: float, level: float = LEVEL) -> Rate:
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
