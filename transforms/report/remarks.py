"""What a run has to say of its rows beside what became of them, in words.

Columns that nobody read, marks of chat templates, contradicting labels, filters that had nothing to measure. Names and
examples are strangers' and are made visible here.
"""

from collections.abc import Sequence
from typing import NamedTuple

from transforms.records.manifest import Manifest, SourceRecord
from transforms.report.codes_in_words import APPENDED_ENDS
from transforms.text import count, one_line, visible_plain

SHOWN_CHARS = 70  # of an example on one line
SHOWN_NAME = 60  # of a column's or a source's name


class UnreadRow(NamedTuple):
    """A column that was not read, or a field inside one."""

    source: str
    column: str
    values: int  # that are not null


class LeakRow(NamedTuple):
    """Marks of one family in one part of a source's pairs."""

    source: str
    family: str
    side: str
    pairs: int
    marks: str
    examples: list[str]


class Remark(NamedTuple):
    """One line: a word for what it is about, and what there is to say."""

    about: str
    words: str


def unread_rows(sources: Sequence[SourceRecord]) -> list[UnreadRow]:
    """Every column that was not read, source by source, the fullest first."""
    return [
        UnreadRow(_name(one.label), _name(column), values)
        for one in sources
        for column, values in one.columns_unread.items()
    ]


def leak_rows(sources: Sequence[SourceRecord]) -> list[LeakRow]:
    """Every family of chat templates whose marks were found, source by source."""
    return [
        LeakRow(
            _name(one.label),
            leak.family,
            leak.side,
            leak.pairs,
            ", ".join(f"{_mark(mark)} {count(pairs)}" for mark, pairs in leak.marks.items()),
            [one_line(visible_plain(example.text), SHOWN_CHARS) for example in leak.examples],
        )
        for one in sources
        for leak in one.leaks
    ]


def decisions_in_words(manifest: Manifest) -> list[str]:
    """What appended ends teach, what the rules on contradictions and scores did, what adapters noted, as sentences."""
    counts = manifest.counts
    ends = ends_in_words(manifest)
    found = [ends] if ends else []
    found += [_contradictions(manifest)] if counts.contradictions else []
    found += [
        f"filters.{name} let {count(pairs)} pairs pass that have no scores."
        for name, pairs in counts.unmeasured.items()
    ]
    return found + [
        f"{_name(one.label)}: {count(times)} {words}." for one in manifest.sources for words, times in one.notes.items()
    ]


def ends_in_words(manifest: Manifest) -> str:
    """What an end-of-turn behind every response teaches; empty where the recipe appends none."""
    return APPENDED_ENDS if (manifest.config.get("truncate") or {}).get("eot") == "always" else ""


def remarks(manifest: Manifest) -> list[Remark]:
    """All of it, a line each, for terminals."""
    found = []
    for one in manifest.sources:
        if mine := unread_rows([one]):
            columns = ", ".join(f"{row.column} {count(row.values)}" for row in mine)
            found.append(Remark("not read", f"{mine[0].source}: {columns}"))
    for leak in leak_rows(manifest.sources):
        words = f"{leak.source}: {leak.family} in {count(leak.pairs)} {_parts(leak.side, leak.pairs)} ({leak.marks})"
        found.append(Remark("marks", f"{words}, as in “{leak.examples[0]}”" if leak.examples else words))
    return found + [Remark("note", words) for words in decisions_in_words(manifest)]


def _contradictions(manifest: Manifest) -> str:
    counts, filters = manifest.counts, manifest.config.get("filters") or {}
    rule = {
        "drop_both": "all of them were dropped",
        "majority": "the order that more rows have was kept, of a draw none",
    }.get(filters.get("contradictions", "keep"), "both orders were kept (filters.contradictions)")
    which = "One pair of responses is" if counts.contradictions == 1 else f"{count(counts.contradictions)} pairs are"
    rows = f"{count(counts.contradicting)} rows in all"
    return f"{which} ordered one way by some rows and the other way by others, {rows}: {rule}."


def _parts(side: str, pairs: int) -> str:
    word = "prompt" if side == "prompt" else f"{side} response"
    return word if pairs == 1 else f"{word}s"


def _mark(mark: str) -> str:
    return visible_plain(mark)


def _name(name: str) -> str:
    return one_line(visible_plain(name), SHOWN_NAME)
