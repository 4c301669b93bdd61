"""Numbers of a reproduction in words: as many digits as their unit bears, with their interval."""

import math
import re
from typing import Final

from flows.reproduce.config import POINTS
from transforms.records.reproduction import SeriesPoint

PERCENT: Final = "%"
_MOST: Final = 9  # decimals
_WITHOUT: Final = 6  # of a number without an interval: a training's log has 1e-7 where nothing has changed yet
_UNIT: Final = re.compile(r"\s\(([^()]+)\)\s*$|,\s*([^,]+)$")  # ΔQ(k) has none


def unit(axis: str) -> str:
    """What an axis' name says behind its last comma or in brackets at its end; "" where it says none."""
    found = _UNIT.search(axis)
    return "" if found is None else (found[1] or found[2]).strip()


def decimals(point: SeriesPoint, of: str) -> int:
    """How many its number and the ends of its interval are shown with.

    One of a percentage or of points. Of other units two digits of half the interval, and so many more that
    an end that is not 0 does not look like it: beside 0 it is what a claim hangs on. Without an interval three
    digits of the number, and six decimals at most.
    """
    if of.startswith((PERCENT, POINTS)):
        return 1
    ends = [] if point.low is None or point.high is None else [point.low, point.high]
    half = (ends[1] - ends[0]) / 2 if ends else 0.0
    if half <= 0:
        return min(_decimals(point.y, 3), _WITHOUT)
    own = _decimals(half, 2)
    nearest = max((_decimals(end, 1) for end in ends if end), default=own)
    return max(own, nearest)


def number(value: float, of: str, digits: int | None = None) -> str:
    """As many decimals as it is told, or as the number alone bears, with a real minus sign."""
    shown = decimals(SeriesPoint(x="", y=value), of) if digits is None else digits
    return f"{round(value, shown) + 0.0:.{shown}f}".replace("-", "−")


def with_interval(point: SeriesPoint, of: str) -> str:
    """61.2 [52.0, 69.5]; without its interval where it has none."""
    digits = decimals(point, of)
    value = number(point.y, of, digits)
    if point.low is None or point.high is None:
        return value
    return f"{value} [{number(point.low, of, digits)}, {number(point.high, of, digits)}]"


def _decimals(value: float, digits: int) -> int:
    """Decimals that show so many significant digits; of 0 as many as of 1."""
    power = math.floor(math.log10(abs(value))) if value else 0
    return min(max(0, digits - 1 - power), _MOST)


def x_in_words(x: float | str) -> str:
    """A name as it is, a number without needless digits."""
    return x if isinstance(x, str) else f"{x:.6g}".replace("-", "−")


def as_printed(value: float) -> str:
    """A paper's number, no digit more or less than the catalogue has."""
    return f"{value:.10g}".replace("-", "−")
