"""What a paper says of its numbers, held against those here: "A is higher than B" by 95 % intervals."""

import math
from collections.abc import Mapping, Sequence

from flows.reproduce.config import Claim, Place, Sized
from flows.reproduce.found import as_x
from flows.reproduce.numbers import decimals, number, unit, with_interval, x_in_words
from transforms.errors import ConfigError
from transforms.records.reproduction import ClaimFound, Outcome, Series, SeriesPoint


def judge(claim: Claim, series: Sequence[Series], axis: str) -> ClaimFound:
    """Whether it holds here.

    Against a number it is A's own interval that has to lie above. Of two points A's interval has to lie above B's. That
    is the stricter of two ways: intervals that lie apart are further apart than 1.96 standard errors of the difference,
    however A and B hang together, while intervals that overlap may be of a difference that is sure. Where the same
    prompts or seeds stand behind both, as in a comparison, read the paired difference (`minus_first`) and claim that it
    is higher than 0, or 0 higher than it: what prompts have in common is then in neither.

    Args:
        claim: of the catalogue.
        series: of this run; those without a unit of their own are in that of the axis.
        axis: what y is called here, with its unit.

    Returns:
        `not told` where intervals overlap or hold the number, where a point is missing or has no interval; `found` says
        which.

    Raises:
        ConfigError: its two points are in different units.
    """
    units = {place.series: _unit(place, series, axis) for place in claim.places}
    of = _one_unit(claim, units)
    points = [_point(place, series) for place in claim.places]
    missing = [
        f"there is no number of {_name(place)}{_why(place, series)}"
        for place, one in zip(claim.places, points, strict=True)
        if one is None
    ]
    there = [one for one in points if one is not None]
    if missing:
        return ClaimFound(says=claim.says, outcome="not told", found="; ".join(missing))
    if isinstance(claim.than, Place) and isinstance(claim.higher, Place):
        outcome, why = _of_two(*there)
        against = with_interval(there[1], of)
    else:
        limit = next(one for one in (claim.higher, claim.than) if isinstance(one, float))
        outcome, why = _of_number(there[0], limit, below=isinstance(claim.higher, float))
        against = number(limit, of, decimals(there[0], of)) if limit else "0"
    found = f"{with_interval(there[0], of)} against {against}{f' {of}' if of else ''}: {why}"
    return ClaimFound(says=claim.says, outcome=outcome, found=found)


def check_units(sized: Sized, axis: str) -> None:
    """Whether all that is drawn on the axis is in its unit, and both points of each claim in one.

    Args:
        sized: of the catalogue.
        axis: what y is called here, with its unit.

    Raises:
        ConfigError: they are not; the message names the series.
    """
    units = {one.label: _unit_of(one.own_unit, axis) for one in (*sized.series, *sized.also)}
    for one in sized.series:
        if units[one.label] != unit(axis):
            message = (
                f"series {one.label!r} is in {units[one.label] or 'no unit'} and the axis in {unit(axis) or 'none'}: "
                "put it under `also`, or say in `y_here` what the axis is"
            )
            raise ConfigError(message)
    for claim in sized.claims:
        _one_unit(claim, {place.series: units[place.series] for place in claim.places})


def _one_unit(claim: Claim, units: Mapping[str, str]) -> str:
    if len(set(units.values())) > 1:
        said = ", ".join(f"{label} in {of or 'no unit'}" for label, of in units.items())
        message = f"claim {claim.says!r} is of two units: {said}; hold like against like"
        raise ConfigError(message)
    return next(iter(units.values()))


def _unit(place: Place, series: Sequence[Series], axis: str) -> str:
    return _unit_of(next((one.unit for one in series if one.label == place.series), None), axis)


def _unit_of(own: str | None, axis: str) -> str:
    return unit(axis) if own is None else own


def _of_two(higher: SeriesPoint, than: SeriesPoint) -> tuple[Outcome, str]:
    if higher.low is None or higher.high is None or than.low is None or than.high is None:
        without = [one for one in (higher, than) if one.low is None or one.high is None]
        return "not told", "neither has an interval" if len(without) == 2 else "one of them has no interval"
    if higher.low > than.high:
        return "holds", "the intervals lie apart"
    if higher.high < than.low:
        return "does not hold", "the intervals lie apart, the other way round"
    return "not told", "the intervals overlap"


def _of_number(one: SeriesPoint, limit: float, *, below: bool) -> tuple[Outcome, str]:
    """Whether it lies above the number, or `below` it."""
    if one.low is None or one.high is None:
        return "not told", "it has no interval"
    if one.low > limit:
        return "does not hold" if below else "holds", "the interval lies above it"
    if one.high < limit:
        return "holds" if below else "does not hold", "the interval lies below it"
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
