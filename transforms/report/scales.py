"""Axes and histogram shapes, as percentages of a drawing area.

Plots are shapes in an SVG that stretches with the page and text in HTML that does not, so that labels
stay readable on a phone. Everything is therefore in percent of the plot's width and height.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
_STEPS: Final = (1, 2, 2.5, 5, 10)


class Tick(NamedTuple):
    """A label at `at` percent of the axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear axis from `low` to `high`."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Where `value` lies, in percent, two decimals; values outside lie on the nearer end."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def ticks(self, wanted: int = 5, *, percent: bool = False, whole: bool = False) -> list[Tick]:
        """About `wanted` round numbers inside the axis; only whole ones for counts."""
        step = nice_step((self.high - self.low) / wanted)
        step = max(1.0, np.ceil(step)) if whole else step
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [Tick(self.at(step * i), _tick_text(step * i, step, percent)) for i in range(first, last + 1)]


def around(*values: float, least: float = 1e-9, margin: float = 0.06) -> Scale:
    """An axis that holds all finite `values` with a little room on both sides, and is at least `least` long."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    room = max(margin * (high - low), (least - (high - low)) / 2)
    return Scale(low - room, high + room)


def nice_step(raw: float) -> float:
    """The smallest of 1, 2, 2.5, 5 and 10 times a power of ten that is not below `raw`."""
    if raw <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    return float(next(step * power for step in _STEPS if step * power >= raw * (1 - 1e-9)))


def _tick_text(value: float, step: float, percent: bool) -> str:
    if percent:
        value, step = 100 * value, 100 * step
    # As many digits as tell two ticks apart: rewards of DPO with β 0.01 are thousandths.
    digits = next((digits for digits in range(9) if math.isclose(round(step, digits), step)), 9)
    text = f"{value:,.{digits}f}".replace("-", "−")
    return text + ("\u00a0%" if percent else "")


def edges(low: float, high: float, bins: int) -> Numbers:
    """`bins` equal bins over [low, high]."""
    return np.linspace(low, high, bins + 1, dtype=np.float64)


def counts(values: Numbers, bins: Numbers) -> Numbers:
    """How many values fall into each bin; values beyond the ends count in the first and the last."""
    clipped = np.clip(values, bins[0], bins[-1])
    return np.histogram(clipped, bins)[0].astype(np.float64)


def bin_count(values: int, most: int) -> int:
    """Fewer bins for fewer values: 10 for 60, `most` from about most² of them."""
    return int(min(max(10, 1.3 * math.sqrt(values)), most))


def token_bins(*groups: Numbers) -> Numbers:
    """Bins for token counts: from 0 to the 99th percentile of all values, at whole numbers."""
    values = np.concatenate(groups) if groups else np.zeros(0)
    top = float(np.quantile(values, 0.99)) if len(values) else 1.0
    width = max(1, math.ceil(nice_step(top / bin_count(len(values), 32))))
    return np.arange(math.ceil(max(top, 1.0) / width) + 1, dtype=np.float64) * width


def bars(heights: Numbers, top: float, base: Numbers | None = None) -> str:
    """An SVG path of bars with gaps between them, in a 100 x 100 box with y downwards, standing on `base`."""
    floor = np.zeros_like(heights) if base is None else base
    width = 100 / max(len(heights), 1)
    inset = 0.12 * width
    path = ""
    for i, (low, height) in enumerate(zip(floor, heights, strict=True)):
        if height > 0:
            x, y, h = i * width + inset, 100 - 100 * (low + height) / top, 100 * height / top
            path += f"M{x:.2f} {y:.2f}h{width - 2 * inset:.2f}v{h:.2f}h{2 * inset - width:.2f}z"
    return path


def outline(heights: Numbers, top: float) -> str:
    """An SVG path along the upper edge of bars that touch; closed by the axis, so it can be filled."""
    width = 100 / max(len(heights), 1)
    path = "M0 100"
    for i, height in enumerate(heights):
        path += f"V{100 - 100 * height / top:.2f}H{(i + 1) * width:.2f}"
    return path + "V100"


def dots(xs: Numbers, ys: Numbers) -> str:
    """An SVG path of points: lines of no length, whose round ends stay round however the box is stretched."""
    return "".join(f"M{x:.2f} {y:.2f}h0" for x, y in zip(xs, ys, strict=True))


def polyline(xs: Numbers, ys: Numbers) -> str:
    """An SVG path through points; a single one is a dot."""
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in zip(xs, ys, strict=True)) + ("h0" if len(xs) == 1 else "")


def band(xs: Numbers, lows: Numbers, highs: Numbers) -> str:
    """An SVG path around the area between two lines; where there is one point, a bar from low to high."""
    if len(xs) == 1:
        return f"M{xs[0] - 0.6:.2f} {lows[0]:.2f}h1.2V{highs[0]:.2f}h-1.2z"
    there, back = polyline(xs, highs), polyline(xs[::-1], lows[::-1])
    return there + "L" + back[1:] + "z"


def whiskers(xs: Numbers, lows: Numbers, highs: Numbers) -> str:
    """An SVG path of vertical lines."""
    return "".join(f"M{x:.2f} {low:.2f}V{high:.2f}" for x, low, high in zip(xs, lows, highs, strict=True))
