"""Makers for tests of sources: one raw row through a kind's adapter."""

from typing import Any

from pydantic import TypeAdapter

from transforms.sources.canonical import Adapted, Message, Pair
from transforms.sources.kinds import SOURCES, Source
from transforms.sources.pages import parsed_rows
from transforms.sources.rows import Fields

QUESTION = "Name three rivers."
ASKED = (Message("user", QUESTION),)


def adapt(kind: str, row: Any, **options: Any) -> Adapted:
    parsed = TypeAdapter(Source).validate_python({"kind": kind, "path": "./rows.jsonl", **options})
    return SOURCES[kind].adapt(row if isinstance(row, Fields) else Fields(row), parsed)


def only_pair(kind: str, row: Any, **options: Any) -> Pair:
    (pair,) = adapt(kind, row, **options).pairs
    return pair


def chat(*turns: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": text} for at, text in enumerate(turns)]


def sides(adapted: Adapted) -> list[tuple[Any, ...]]:
    return [(pair.chosen, pair.rejected, pair.chosen_score, pair.rejected_score) for pair in adapted.pairs]


def likely(row: dict[str, Any]) -> list[str]:
    """The kinds that a raw row looks like, in their order."""
    return [name for name, kind in SOURCES.items() if kind.looks_like(row)]


def taken_from_others(kind: str) -> dict[str, int]:
    """Raw rows of other kinds' docstrings that `kind` takes for its own, by kind."""
    taken = {
        name: sum(SOURCES[kind].looks_like(row) for row in parsed_rows(other))
        for name, other in SOURCES.items()
        if name != kind
    }
    return {name: count for name, count in taken.items() if count}


def gathered(kind: str, rows: list[dict[str, Any]], **options: Any) -> list[Any]:
    """Rows of a file as `adapt` gets them."""
    parsed = TypeAdapter(Source).validate_python({"kind": kind, "path": "./rows.jsonl", **options})
    return list(SOURCES[kind].gather([Fields(row) for row in rows], parsed))
