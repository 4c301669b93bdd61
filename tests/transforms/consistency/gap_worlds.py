"""Made worlds of gaps whose consistencies are known, two of which break what is assumed of them."""

import numpy as np

from transforms.consistency.reward_gaps import Gaps

MODEL, SKEWED, TWO_MODES = "model", "skewed", "two modes"


def world(kind: str, pairs: int, *, seed: int = 0, most: int = 16) -> tuple[Gaps, np.typing.NDArray[np.float64]]:
    """Gaps of pairs, one side of each completed `most` times, and the pairs' consistencies.

    The margin foretells the place, the less the more is cut; spreads differ by a third. With two modes a quarter of the
    completions are far better than the others, so the mean gap says little of how many win.
    """
    rng = np.random.default_rng(seed)
    margin, cut = 3 * rng.normal(0.5, 1, pairs), rng.uniform(0.1, 0.9, pairs)
    place = margin * (0.32 + 0.48 * (1 - cut)) + rng.normal(size=pairs)
    spread, side = 1.5 * np.exp(0.3 * rng.normal(size=pairs)), rng.choice([1, -1], pairs)
    shape = (pairs, 4000)
    noise = {
        MODEL: lambda: rng.standard_t(6, shape),
        SKEWED: lambda: (rng.gamma(2, 1, shape) - 2) / np.sqrt(2),
        TWO_MODES: lambda: np.where(rng.random(shape) < 0.25, 2.2, -0.73) + 0.4 * rng.normal(size=shape),
    }[kind]()
    values = place[:, None] + (spread * side)[:, None] * noise
    return Gaps(margin, cut, values[:, :most].copy(), side), np.heaviside(values, 0.5).mean(axis=1)


def first(gaps: Gaps, number: int, *, of_which: slice = slice(None)) -> Gaps:
    """With the first so many completions, of some pairs, and one of the others."""
    values = np.full_like(gaps.values, np.nan)
    values[:, :1] = gaps.values[:, :1]
    values[of_which, :number] = gaps.values[of_which, :number]
    return gaps._replace(values=values)
