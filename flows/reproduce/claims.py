"""What a paper says of its numbers, held against those here: "A is higher than B" by 95 % intervals."""

import math
from collections.abc import Sequence

from flows.reproduce.config import Claim, Place
from flows.reproduce.found import as_x
from flows.reproduce.numbers import number, unit, with_interval, x_in_words
from transforms.records.reproduction import ClaimFound, Outcome, Series, SeriesPoint


def judge(claim: Claim, series: Sequence[Series], axis: str) -> ClaimFound:
    """Whether it holds here.

    Against a number it is A's own interval that has to lie above. Of two points A's interval has to lie above B's. That
    is the stricter of two ways: intervals that lie apart are further apart than 1.96 standard errors of the difference,
    however A and B hang together, while intervals that overlap may be of a difference that is sure. Where the same
    prompts or seeds stand behind both, as in a comparison, read the paired difference (`minus_first`) and claim that it
    is higher than 0: what prompts have in common is then in neither.

    Args:
        claim: of the catalogue.
        series: of this run.
        axis: what y is called, with its unit.

    Returns:
        `not told` where intervals overlap or hold the number, where a point is missing or has no interval; `found` says
        which.
    """
    of = unit(axis)
    higher = _point(claim.higher, series)
    than = _point(claim.than, series) if isinstance(claim.than, Place) else claim.than
    missing = [
        f"there is no number of {_name(place)}{_why(place, series)}"
        for place, one in ((claim.higher, higher), (claim.than, than))
        if one is None and isinstance(place, Place)
    ]
    if higher is None or than is None:
        return ClaimFound(says=claim.says, outcome="not told", found="; ".join(missing))
    outcome, why = _of_two(higher, than) if isinstance(than, SeriesPoint) else _of_number(higher, than)
    against = with_interval(than, of) if isinstance(than, SeriesPoint) else number(than, of) if than else "0"
    found = f"{with_interval(higher, of)} against {against}{f' {of}' if of else ''}: {why}"
    return ClaimFound(says=claim.says, outcome=outcome, found=found)


def _of_two(higher: SeriesPoint, than: SeriesPoint) -> tuple[Outcome, str]:
    if higher.low is None or higher.high is None or than.low is None or than.high is None:
        without = [one for one in (higher, than) if one.low is None or one.high is None]
        return "not told", "neither has an interval" if len(without) == 2 else "one of them has no interval"
    if higher.low > than.high:
        return "holds", "the intervals lie apart"
    if higher.high < than.low:
        return "does not hold", "the intervals lie apart, the other way round"
    return "not told", "the intervals overlap"


def _of_number(higher: SeriesPoint, than: float) -> tuple[Outcome, str]:
    if higher.low is None or higher.high is None:
        return "not told", "it has no interval"
    if higher.low > than:
        return "holds", "the interval lies above it"
    if higher.high < than:
        return "does not hold", "the interval lies below it"
    return "not told", "the interval holds it"


def _point(place: Place, series: Sequence[Series]) -> SeriesPoint | None:
    points = [point for one in series if one.label == place.series for point in one.points]
    return next((point for point in points if _same(point.x, place.x)), None)


def _same(one: float | str, other: float | str) -> bool:
    """Whether both are the same name, or the same number however it is written."""
    one, other = as_x(one), as_x(other)
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return one == other


def _name(place: Place) -> str:
    return f"{place.series}, {x_in_words(place.x)}"


def _why(place: Place, series: Sequence[Series]) -> str:
    """Reasons that its series gives, as far as they are of this point, or of all points."""
    said = [why for one in series if one.label == place.series for why in one.missing]
    own = [why for why in said if why.startswith(f"{x_in_words(place.x)}: ")]
    reasons = own or ([] if any(one.points for one in series if one.label == place.series) else said)
    return f" ({'; '.join(reasons)})" if reasons else ""
