"""Does a truncated pair still carry its preference? Win shares and decisions (methods §3).

POET (arXiv 2506.09457, Table 1): the longer response is cut, completed n times and each completion compared
with the shorter one. Where both sides are cut, all n × n combinations are compared (Mann–Whitney).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from transforms.statistics.intervals import Floats

Decisions = npt.NDArray[np.int8]
KEEP: Final = 1
DROP: Final = -1
OPEN: Final = 0


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
