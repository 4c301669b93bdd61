"""What a difference prints, and the files that it leaves."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.diff.difference import Difference
from flows.versions.output_folder import disk_errors, write_bytes, write_text
from flows.versions.version import RESPONSES, Version
from transforms.preparation.dedupe import DUPLICATE
from transforms.records.difference import VersionDifference
from transforms.report.difference_page import Read, render_difference
from transforms.report.difference_words import (
    CHANGE_WORDS,
    REASON_WORDS,
    cost_in_words,
    headline,
    sentences,
    value_in_words,
)
from transforms.report.examples import Example
from transforms.text import one_line, visible_plain
from transforms.versions.causes import REASONS
from transforms.versions.matched_rows import NEW, OLD

PAGE: Final = "diff.html"
NUMBERS: Final = "diff.json"
CHANGES: Final = "changes.jsonl"
_READS: Final = 2  # pairs to read of each reason
_SETTINGS: Final = 20  # lines of settings in the terminal


def print_difference(console: Console, found: VersionDifference, folder: Path | None) -> None:
    """The answer in one line, then why, settings, numbers and where the page is. Equal versions are one line."""
    console.print(headline(found), style="bold green" if found.equal else "bold", highlight=False, markup=False)
    if not found.equal:
        for sentence in sentences(found):
            console.print(sentence, highlight=False, markup=False)
        if found.reasons:
            console.print(_reason_table(found))
        if found.settings:
            console.print(_setting_table(found))
        console.print(_source_table(found))
        console.print(_cost_table(found))
        for caveat in found.caveats:
            console.print(caveat, style="yellow", highlight=False, markup=False)
    if folder is not None:
        where = f"report       {folder / PAGE}   numbers {folder / NUMBERS}   pairs {folder / CHANGES}"
        console.print(where, highlight=False, markup=False)


def write_difference(found: Difference, old: Version, new: Version, folder: Path) -> None:
    """diff.html, diff.json, and every changed pair with both rows as a line of changes.jsonl."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    changed = found.pairs.filter(pl.col("change") != "same")
    write_text(folder / NUMBERS, found.record.model_dump_json(indent=2) + "\n")
    write_bytes(folder / CHANGES, changed.write_ndjson().encode())
    write_text(folder / PAGE, render_difference(found.record, found.pairs, _reads(changed, old, new)))


def _reads(changed: pl.DataFrame, old: Version, new: Version) -> list[Read]:
    """The first pairs of each reason by their ids, which are hashes, with their texts in both versions."""
    chosen = changed.filter(pl.col("first").is_not_null()).group_by("first", maintain_order=True).head(_READS)
    texts = [
        _texts(version, chosen[f"pair_id{side}"].drop_nulls().to_list()) for version, side in ((old, OLD), (new, NEW))
    ]
    rows = sorted(chosen.iter_rows(named=True), key=lambda row: REASONS.index(row["first"]))
    reads = [
        Read(row["first"], row["change"], texts[0].get(row[f"pair_id{OLD}"]), texts[1].get(row[f"pair_id{NEW}"]))
        for row in rows
    ]
    return [read for read in reads if read.old or read.new]


def _texts(version: Version, ids: Sequence[str]) -> dict[str, Example]:
    found = {}
    for row in _rows_of(version, ids):
        # A kept pair and its dropped duplicates share an id; the one that was judged is meant.
        if row["pair_id"] not in found or row["verdict"] == "keep":
            found[row["pair_id"]] = Example.of(row)
    return found


def _rows_of(version: Version, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    wanted = pa.array(ids, pa.string())
    for name in version.tables:
        for batch in version.batches(name) if name != RESPONSES else []:
            for row in batch.filter(pc.is_in(batch["pair_id"], wanted)).to_pylist():
                if row["reason"] != DUPLICATE:
                    yield row


def _reason_table(found: VersionDifference) -> Table:
    table = Table(title="why pairs changed, by their first reason", title_justify="left")
    table.add_column("reason")
    changes = [change for change in CHANGE_WORDS if change != "same" and found.pairs_of(change)]
    for name in ("pairs", "proven", *(CHANGE_WORDS[change] for change in changes)):
        table.add_column(name, justify="right")
    for one in found.reasons:
        cells = [f"{one.by_change.get(change, 0):,}" for change in changes]
        table.add_row(REASON_WORDS[one.reason], f"{one.first:,}", f"{one.proven:,}", *cells)
    return table


def _setting_table(found: VersionDifference) -> Table:
    more = f", the first {_SETTINGS} of {len(found.settings)}" if len(found.settings) > _SETTINGS else ""
    table = Table(title=f"settings that differ{more}", title_justify="left")
    for name in ("key", "before", "now"):
        table.add_column(name)
    for one in found.settings[:_SETTINGS]:
        table.add_row(*(_cell(text) for text in (one.key, value_in_words(one.old), value_in_words(one.new))))
    return table


def _source_table(found: VersionDifference) -> Table:
    table = Table(title="pairs by source", title_justify="left")
    table.add_column("source")
    for name in ("pairs before", "now", "kept before", "now"):
        table.add_column(name, justify="right")
    for one in found.sources:
        numbers = (one.old_pairs, one.new_pairs, one.old_kept, one.new_kept)
        table.add_row(_cell(one.source), *(f"{number:,}" for number in numbers))
    return table


def _cost_table(found: VersionDifference) -> Table:
    table = Table(title="cost", title_justify="left")
    table.add_column("what")
    for name in ("before", "now"):
        table.add_column(name, justify="right")
    for row in cost_in_words(found):
        table.add_row(*row)
    return table


def _cell(text: str) -> str:
    """Text of strangers: one line, unseen characters shown, no markup."""
    return escape(one_line(visible_plain(text), 60))
