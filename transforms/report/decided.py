"""What decided each pair, and what sampling asked round by round, as stacked bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from transforms.records.manifest import DecisionRecord, RoundRecord
from transforms.report.codes_in_words import DECIDED_BY
from transforms.report.scales import Scale
from transforms.text import count, percent


class Piece(NamedTuple):
    """One colour of a stacked bar, in percent of the axis."""

    kind: Literal["kept", "lost", "open", "spent"]
    left: float
    width: float


class Stack(NamedTuple):
    """A labelled bar of several pieces."""

    name: str
    pieces: list[Piece]
    value: str
    share: str


@dataclass(frozen=True, slots=True)
class Decisions:
    """The waterfall of decisions with its sums."""

    rows: list[Stack]
    pairs: int
    keep: int
    drop: int
    completions: int
    undecided: DecisionRecord | None  # None where the budget sufficed


@dataclass(frozen=True, slots=True)
class Rounds:
    """Two bars a round on axes of their own: the pairs asked, and the completions they took."""

    pairs: list[Stack]
    completions: list[Stack]


def decisions(records: Sequence[DecisionRecord]) -> Decisions | None:
    """Each bar starts where the one above leaves off, so together they are all judged pairs; None without any."""
    drawn = [record for record in records if record.keep + record.drop]
    if not drawn:
        return None
    keep, drop = sum(record.keep for record in records), sum(record.drop for record in records)
    scale = Scale(0, keep + drop)
    rows, start = [], 0
    for record in drawn:
        pairs = record.keep + record.drop
        pieces = _pieces(scale, start, kept=record.keep, lost=record.drop)
        rows.append(Stack(DECIDED_BY[record.by][0], pieces, count(pairs), percent(pairs / (keep + drop))))
        start += pairs
    return Decisions(
        rows=rows,
        pairs=keep + drop,
        keep=keep,
        drop=drop,
        completions=sum(record.completions for record in records),
        undecided=next((record for record in drawn if record.by == "undecided"), None),
    )


def rounds(records: Sequence[RoundRecord]) -> Rounds | None:
    """Bars of every round, in the order in which they were asked; None where there was none."""
    if not records:
        return None
    pairs = Scale(0, max(1, *(max(one.pairs, one.keep + one.drop + one.open) for one in records)))
    completions = Scale(0, max(1, *(one.completions for one in records)))
    return Rounds(
        pairs=[
            Stack(_name(one), _pieces(pairs, 0, kept=one.keep, lost=one.drop, open=one.open), count(one.pairs), "")
            for one in records
        ],
        completions=[
            Stack(_name(one), _pieces(completions, 0, spent=one.completions), count(one.completions), "")
            for one in records
        ],
    )


def _name(record: RoundRecord) -> str:
    return f"{record.stage} {record.number}"


def _pieces(scale: Scale, start: int, **parts: int) -> list[Piece]:
    """Pieces one after the other; parts of no length are left out."""
    pieces = []
    for kind, length in parts.items():
        if length:
            left = scale.at(start)
            pieces.append(Piece(kind, left, round(scale.at(start + length) - left, 2)))  # type: ignore[arg-type]
            start += length
    return pieces
