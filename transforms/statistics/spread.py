"""How values are spread: five quantiles, and what they are called in a log."""

from typing import Final

import numpy as np
import numpy.typing as npt

# In names of figures: of a margin's p05, 5 % of the margins are below it.
LEVELS: Final = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def quantiles(values: npt.NDArray[np.float64]) -> dict[str, float]:
    """The quantiles of `LEVELS`, linear between neighbours (Hyndman and Fan's type 7).

    Args:
        values: at least one, in any order; NaN where one of them is.
    """
    found = np.quantile(values, list(LEVELS.values()))
    return {name: float(value) for name, value in zip(LEVELS, found, strict=True)}
