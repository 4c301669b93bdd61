"""The table of pairs: which ones, in what order, and as JSON that cannot end the script it stands in."""

import json
import math
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import polars as pl
from markupsafe import Markup

from transforms.dataset.redaction import public_path
from transforms.records.manifest import Manifest
from transforms.report.codes_in_words import DECIDED_BY, reason_in_words
from transforms.report.environment import FOLDER
from transforms.report.slices import slices
from transforms.text import count, one_line, visible_plain

MOST: Final = 2_000  # rows in the page; about 500 kB
PAGE: Final = 50  # rows drawn at once
NONE: Final = "–"
# Pair ids are hex digits. Whatever else came here gets no command: it would be pasted into a shell.
PLAIN_ID: Final = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]*")
Row = dict[str, Any]


class Column(NamedTuple):
    """One column: how a row's cell reads, and the number it sorts by (None: by its text)."""

    label: str
    cell: Callable[[Row], str]
    number: Callable[[Row], float | None] | None = None


@dataclass(frozen=True, slots=True)
class PairTable:
    """What the page shows. `texts` has shape (rows, columns), first the pair id."""

    total: int
    columns: list[Column]
    texts: list[list[str]]
    command: str  # in front of a pair id: how to look at that pair; "" where there is none
    json: Markup  # the same and the numbers to sort by, for the script

    @property
    def measured(self) -> bool:
        """Whether anything is known of how sure a pair's order is."""
        return any(column in self.columns for column in (COLUMNS_BY_NAME["p_keep"], COLUMNS_BY_NAME["expected"]))

    @property
    def first(self) -> list[tuple[str | None, list[str]]]:
        """The rows that stand in the page without the script: the command that explains each, and its cells."""
        return [
            (self.command + row[0] if self.command and PLAIN_ID.fullmatch(row[0]) else None, row)
            for row in self.texts[:PAGE]
        ]


def pair_table(manifest: Manifest, rows: pl.DataFrame | pl.LazyFrame) -> PairTable | None:
    """The pairs most worth a look, at most `MOST`; None for a run without pairs."""
    rows = rows.lazy()
    shown, total = rows.limit(0).collect(), 0
    for some in slices(rows):
        shown, total = doubtful_first(pl.concat([shown, some])).head(MOST), total + some.height
    if not total:
        return None
    columns = [column for name, column in COLUMNS_BY_NAME.items() if shown[name].null_count() < shown.height]
    folder = str((manifest.config.get("output") or {}).get("dir", "RUN"))
    folder = "RUN" if folder != public_path(folder) else folder  # a published page tells nothing of a machine
    command = f"python -m flows.explain {shlex.quote(visible_plain(folder))} "
    return filled_table(shown, columns, total=total, command=command)


def filled_table(shown: pl.DataFrame, columns: list[Column], *, total: int, command: str = "") -> PairTable:
    """The cells of the rows that are shown, of `total` in all."""
    records = shown.to_dicts()
    texts = [[column.cell(row) for column in columns] for row in records]
    data = {
        "command": command,
        "page": PAGE,
        "columns": [column.label for column in columns],
        "rows": texts,
        "numbers": [[column.number(row) for row in records] if column.number else None for column in columns],
    }
    return PairTable(total, columns, texts, command, script_json(data))


def doubtful_first(rows: pl.DataFrame) -> pl.DataFrame:
    """Dropped pairs, then undecided, then kept ones, each from the least sure of its order to the surest.

    Pairs of which nothing was measured come last of their kind. The order does not depend on that of `rows`.
    """
    sure = pl.coalesce(pl.col("p_keep").cast(pl.Float64), pl.col("expected").cast(pl.Float64))
    kind = (
        pl.when(pl.col("verdict") != "keep")
        .then(0)
        .when(pl.col("decided_by").cast(pl.String) == "undecided")
        .then(1)
        .otherwise(2)
    )
    return rows.sort(kind, sure.fill_nan(None), "pair_id", "reason", "source", nulls_last=True)


def script_json(data: Any) -> Markup:
    r"""JSON of `data` in plain ASCII without `<`, `>` and `&`: it can neither end a script element nor start one.

    Every other character that a browser or an editor might act on (U+2028, controls, bidirectional marks,
    lone surrogates) is a \u escape, and a JSON parser gives the text back as it was.
    """
    plain = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        plain = plain.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(plain)


def pairs_script() -> str:
    """The script that sorts, searches and pages the table."""
    return (FOLDER / "pairs.js").read_text(encoding="utf-8")


def _words(name: str) -> Callable[[Row], str]:
    return lambda row: one_line(visible_plain(row[name]), 80) if row[name] is not None else NONE


def _reason(row: Row) -> str:
    return one_line(visible_plain(reason_in_words(row["reason"])), 80) if row["reason"] is not None else NONE


def _decided(row: Row) -> str:
    by = row["decided_by"]
    if by is None:
        return NONE
    return DECIDED_BY.get(by, (visible_plain(by),))[0] + (", audit" if row["audit"] else "")


def _tokens(side: str) -> Column:
    keep, tokens = f"{side}_keep", f"{side}_tokens"
    return Column(
        f"{side} kept / full",
        lambda row: f"{count(row[keep])} / {count(row[tokens])}",
        lambda row: row[keep] / max(row[tokens], 1),
    )


def _number(label: str, name: str, digits: int) -> Column:
    def cell(row: Row) -> str:
        value = _finite(row[name])
        return NONE if value is None else f"{value:.{digits}f}".replace("-", "−")

    return Column(label, cell, lambda row: _finite(row[name]))


def _finite(value: float | None) -> float | None:
    """NaN and infinity have no place in JSON, and none in an order."""
    return round(value, 6) if value is not None and math.isfinite(value) else None


def _consistency(row: Row) -> str:
    low, high = row["consistency_low"], row["consistency_high"]
    if _finite(row["consistency"]) is None:
        return NONE
    bounds = f" [{100 * low:.0f}, {100 * high:.0f}]" if low is not None and high is not None else ""
    return f"{100 * row['consistency']:.0f} %{bounds}"


# By the column of the rows that must hold something for the column to be drawn.
COLUMNS_BY_NAME: Final[dict[str, Column]] = {
    "pair_id": Column("pair", _words("pair_id")),
    # The dataset's own words: a search for "kept" would also find "order not kept by the cut".
    "verdict": Column("verdict", lambda row: "keep" if row["verdict"] == "keep" else "drop"),
    "reason": Column("reason", _reason),
    "decided_by": Column("decided by", _decided),
    "p_keep": _number("P(keeps order)", "p_keep", 3),
    "consistency": Column("consistency [95 %]", _consistency, lambda row: _finite(row["consistency"])),
    "n": _number("n", "n", 0),
    "expected": _number("foretold", "expected", 3),
    "chosen_keep": _tokens("chosen"),
    "rejected_keep": _tokens("rejected"),
    "reward_chosen": _number("reward chosen", "reward_chosen", 2),
    "reward_rejected": _number("reward rejected", "reward_rejected", 2),
    "source": Column("source", _words("source")),
}
