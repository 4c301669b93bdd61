"""What readers stand on: the points that they give, records of a step's folder, names chosen among those there."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from transforms.errors import ConfigError, OutputError
from transforms.records.reproduction import SeriesPoint

# Name in a record → where it stands on the axis, or what it is called there; empty: all, by their own names.
Names = dict[str, float | str]
Record = TypeVar("Record", bound=BaseModel)


class Options(BaseModel):
    """Of a reader; an unknown one is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Found(NamedTuple):
    """Points in the order in which they are drawn, and why others are not there."""

    points: list[SeriesPoint]
    missing: tuple[str, ...] = ()


class Estimate(Protocol):
    """A number with its 95 % interval, as most records have it."""

    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def nothing(why: str) -> Found:
    """No point, and the reason."""
    return Found([], (why,))


def point(x: float | str, value: float, interval: Estimate | None, *, times: float = 1.0) -> SeriesPoint:
    """A point of a record's number.

    Args:
        x: where it stands.
        value: in the record's unit.
        interval: whose `low` and `high` are the value's; None where it has none.
        times: 100 for a share, which is drawn in percent.
    """
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    if low is None or high is None:
        return SeriesPoint(x=x, y=times * value)
    return SeriesPoint(x=x, y=times * value, low=times * low, high=times * high)


def gathered(asked: Iterable[tuple[str, float | str]], read: Callable[[str, float | str], SeriesPoint | str]) -> Found:
    """A point of each name, or why it has none.

    Args:
        asked: names and where they stand, as `chosen` gives them.
        read: the point of a name at its x, or the reason.
    """
    points, missing = [], []
    for name, x in asked:
        one = read(name, x)
        if isinstance(one, str):
            missing.append(f"{name}: {one}")
        else:
            points.append(one)
    return Found(points, tuple(missing))


def finite(found: Found) -> Found:
    """Without points that are no numbers, and without intervals that are none."""
    points, missing = [], [*found.missing]
    for one in found.points:
        if not math.isfinite(one.y) or (isinstance(one.x, float) and not math.isfinite(one.x)):
            missing.append(f"{one.x} has no finite number")
        elif not all(end is not None and math.isfinite(end) for end in (one.low, one.high)):
            points.append(one.model_copy(update={"low": None, "high": None}))
        else:
            points.append(one)
    return Found(points, tuple(missing))


def as_x(text: float | str) -> float | str:
    """The number that a text is, else the text."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def read_record(folder: Path, name: str, kind: type[Record]) -> Record:
    """A step's record.

    Raises:
        OutputError: it is not there, or of another kind or version.
    """
    path = folder / name
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        message = f"{path} is missing: the step has not finished, or it is one of another command"
        raise OutputError(message) from error
    except ValidationError as error:
        message = (
            f"{path} is no {kind.__name__} of this version ({error.error_count()} problems); remove {folder} and run "
            "the same command again"
        )
        raise OutputError(message) from error


def chosen(names: Names, there: Iterable[str], what: str) -> list[tuple[str, float | str]]:
    """What to read, in the order of `names`, and its x; everything that is there without names.

    Raises:
        ConfigError: a name that is not there; the message says which are.
    """
    known = list(dict.fromkeys(there))
    if unknown := [name for name in names if name not in known]:
        message = (
            f"there is no {what} {', '.join(map(repr, unknown))}; there are {', '.join(map(repr, known)) or 'none'}"
        )
        raise ConfigError(message)
    return list(names.items()) if names else [(name, name) for name in known]


def once(names: Sequence[str], how: str) -> None:
    """Refuse names that stand for two numbers.

    Raises:
        ConfigError: one does.
    """
    if twice := sorted({name for name in names if names.count(name) > 1}):
        message = f"{', '.join(map(repr, twice))} stands there more than once; {how}"
        raise ConfigError(message)
