"""Shares and means with their intervals: Wilson's for a share, and how both are written down."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
LEVEL: Final = 0.95


class Rate(NamedTuple):
    """A share with its Wilson interval."""

    value: float
    low: float
    high: float


class MeanRecord(BaseModel):
    """A mean over pairs with its 95 % interval, over prompts; no interval where all pairs have one prompt."""

    model_config = ConfigDict(extra="forbid")

    value: float
    low: float | None
    high: float | None


def wilson(successes: float, n: float, level: float = LEVEL) -> Rate:
    """Share with its Wilson score interval; (0, 0, 1) for n = 0, where nothing is known.

    `successes` may be fractional (ties, pair estimates between 0 and 1): a mean of values in [0, 1] varies
    no more than a share of zeros and ones does, so the interval stays on the safe side.
    """
    from scipy import stats

    if n == 0:
        return Rate(0.0, 0.0, 1.0)
    z = float(stats.norm.ppf(0.5 + level / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return Rate(share, max(0.0, centre - half), min(1.0, centre + half))
