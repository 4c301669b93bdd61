"""What a chat benchmark's judge said, on the page of an evaluation: a figure and a table a benchmark."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from transforms.evaluation.mt_bench import SCALE
from transforms.records.annotations import AnnotationRecord, AnnotationScore
from transforms.report.funnel import Forest, ForestRow
from transforms.report.scales import Scale
from transforms.text import count, interval, percent

EVEN: Final = 0.5  # of a win rate


class Tile(NamedTuple):
    """A number at the head of the page."""

    name: str
    value: str
    model: str
    judged: int


class Line(NamedTuple):
    """A row of the table."""

    record: AnnotationRecord
    score: AnnotationScore
    value: str


class Annotated(NamedTuple):
    """One benchmark.

    Attributes:
        title: of it.
        tiles: the first number of each model.
        forest: every number with an interval or without; None where nothing was judged.
        rates: its numbers are win rates, and left of the line is worse than the baseline.
        lines: of the table.
    """

    title: str
    tiles: list[Tile]
    forest: Forest | None
    rates: bool
    lines: list[Line]


def annotated(found: Sequence[AnnotationRecord]) -> list[Annotated]:
    """A part a benchmark and unit, in the order of the files."""
    parts: dict[tuple[str, str], list[Line]] = {}
    for record in found:
        for score in record.scores:
            parts.setdefault((record.benchmark, score.unit), []).append(Line(record, score, _in_words(score)))
    return [_part(title, unit == "win_rate", lines) for (title, unit), lines in parts.items()]


def _part(title: str, rates: bool, lines: list[Line]) -> Annotated:
    judged = [line for line in lines if line.score.value is not None]
    first = {id(line.record): line for line in reversed(judged)}
    tiles = [
        Tile(f"{title}, {line.score.of}", _value(line.score), line.record.model, line.score.counts.judged)
        for line in judged
        if first[id(line.record)] is line
    ]
    if not judged:
        return Annotated(title, tiles, None, rates, lines)
    ends = [end for line in judged for end in (line.score.value, line.score.low, line.score.high) if end is not None]
    scale = Scale(0.0, 1.0) if rates else Scale(min(SCALE[0], *ends), max(SCALE[1], *ends))
    rows = [
        _row(line, scale, first=at == 0 or judged[at - 1].record is not line.record) for at, line in enumerate(judged)
    ]
    ticks = scale.ticks(5, percent=True) if rates else scale.ticks(9)
    return Annotated(title, tiles, Forest(rows, ticks, scale.at(EVEN) if rates else 0.0), rates, lines)


def _row(line: Line, scale: Scale, *, first: bool) -> ForestRow:
    score = line.score
    value = score.value or 0.0  # lines with one only
    return ForestRow(
        group=f"{line.record.model}, judged by {line.record.judge}",
        first=first,
        name=score.of + (f", over {score.baseline}" if score.baseline else ""),
        kind="label",
        at=scale.at(value),
        low=scale.at(value if score.low is None else score.low),
        high=scale.at(value if score.high is None else score.high),
        text=line.value,
        note=count(score.counts.judged),
    )


def _value(score: AnnotationScore) -> str:
    value = score.value or 0.0
    return percent(value) if score.unit == "win_rate" else f"{value:.2f}"


def _in_words(score: AnnotationScore) -> str:
    """The value and its interval; a dash for none."""
    if score.value is None:
        return "–"
    if score.low is None or score.high is None:
        return _value(score)
    if score.unit == "win_rate":
        return interval(score.value, score.low, score.high)
    return f"{score.value:.2f} [{score.low:.2f}, {score.high:.2f}]"
