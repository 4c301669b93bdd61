"""Numbers of a reproduction in words: as many digits as their unit bears, with their interval."""

import re
from typing import Final

from transforms.records.reproduction import SeriesPoint

PERCENT: Final = "%"
_UNIT: Final = re.compile(r"\s\(([^()]+)\)\s*$|,\s*([^,]+)$")  # ΔQ(k) has none


def unit(axis: str) -> str:
    """What an axis' name says behind its last comma or in brackets at its end; "" where it says none."""
    found = _UNIT.search(axis)
    return "" if found is None else (found[1] or found[2]).strip()


def number(value: float, of: str) -> str:
    """One decimal of a percentage; of other units fewer decimals the larger it is, with a real minus sign."""
    digits = 1
    if not of.startswith(PERCENT):
        size = abs(value)
        digits = next((digits for limit, digits in ((100, 0), (10, 1), (1, 2)) if size >= limit), 3)
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def with_interval(point: SeriesPoint, of: str) -> str:
    """61.2 [52.0, 69.5]; without its interval where it has none."""
    value = number(point.y, of)
    if point.low is None or point.high is None:
        return value
    return f"{value} [{number(point.low, of)}, {number(point.high, of)}]"


def x_in_words(x: float | str) -> str:
    """A name as it is, a number without needless digits."""
    return x if isinstance(x, str) else f"{x:.6g}".replace("-", "−")


def as_printed(value: float) -> str:
    """A paper's number, no digit more or less than the catalogue has."""
    return f"{value:.10g}".replace("-", "−")
