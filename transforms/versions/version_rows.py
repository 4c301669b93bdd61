"""The rows of a version, kept, dropped and quarantined, one scalar row a pair: what two versions are compared by."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from transforms.errors import SchemaError
from transforms.preparation.dedupe import DUPLICATE

DROPPED: Final = "dropped"
_READ: Final = pl.Schema(
    {
        "pair_id": pl.String,
        "source": pl.String,
        "source_id": pl.String,
        "chosen_score": pl.Float64,
        "rejected_score": pl.Float64,
        "chosen_keep": pl.Int32,
        "rejected_keep": pl.Int32,
        "chosen_cut": pl.Boolean,
        "rejected_cut": pl.Boolean,
        "reward_chosen": pl.Float64,
        "reward_rejected": pl.Float64,
        "consistency": pl.Float64,
        "consistency_by_reward": pl.Float64,
        "n": pl.Int32,
        "p_keep": pl.Float64,
        "expected": pl.Float64,
        "decided_by": pl.String,
        "verdict": pl.String,
        "reason": pl.String,
    }
)
_COUNTED: Final = {"prompt_ids": "prompt_tokens", "chosen_ids": "chosen_tokens", "rejected_ids": "rejected_tokens"}
COLUMNS: Final = (*_READ, *_COUNTED)  # what is read of a table
# schema.CURATED without texts and ids. `place` is the table's name (train, test, dropped) or quarantine; `outcome`
# keep, drop or quarantine; `reason` of a quarantined row is the stage that could not use it. A row that no pair could
# be made of has no pair_id.
ROWS: Final = pl.Schema(
    [
        *_READ.items(),
        *((name, pl.Int32()) for name in _COUNTED.values()),
        ("place", pl.String()),
        ("outcome", pl.String()),
    ]
)


class VersionRows(NamedTuple):
    """One row a pair, sorted by pair_id then source and source_id, and how many rows repeated one of them."""

    rows: pl.DataFrame  # ROWS
    copies: pl.DataFrame  # ROWS


def version_rows(tables: Mapping[str, Iterable[pa.Table]], quarantine: Path) -> VersionRows:
    """Gather what two versions are compared by.

    Args:
        tables: name (train, test, dropped) → its rows with COLUMNS, some at a time: token ids are counted and let go,
            and 150 bytes a pair stay.
        quarantine: quarantine.jsonl.

    Raises:
        SchemaError: a line that is no quarantined row.
    """
    frames = [_table_rows(batches, name) for name, batches in tables.items()]
    rows = pl.concat([ROWS.to_frame(), *frames, _quarantined_rows(quarantine)])
    # A pair that was judged stands for its duplicates, and for ties or leftovers of other sources with the same texts.
    rank = (
        pl.when(pl.col("outcome") == "keep")
        .then(0)
        .when(pl.col("decided_by").is_not_null())
        .then(1)
        .when(pl.col("outcome") == "quarantine")
        .then(2)
        .when(pl.col("reason") != DUPLICATE)
        .then(3)
        .otherwise(4)
    )
    key = pl.coalesce("pair_id", pl.concat_str(pl.lit("row "), "source", pl.lit(" "), "source_id"))
    ranked = rows.with_columns(_key=key, _rank=rank).sort("_key", "_rank", "reason", "source", "source_id")
    first = ranked["_key"].is_first_distinct()
    plain = ranked.drop("_key", "_rank")
    return VersionRows(plain.filter(first), plain.filter(~first))


def _table_rows(batches: Iterable[pa.Table], name: str) -> pl.DataFrame:
    found = pl.concat([ROWS.to_frame().drop("place", "outcome"), *map(_scalars, batches)])
    outcome = "drop" if name == DROPPED else "keep"
    return found.with_columns(place=pl.lit(name), outcome=pl.lit(outcome)).select(ROWS.names())


def _scalars(batch: pa.Table) -> pl.DataFrame:
    # A copy: columns of a batch share its memory, and these few would keep the ids alive (see curated.summary_rows).
    scalars = batch.select(list(_READ)).take(pa.array(np.arange(len(batch))))
    counted = {
        tokens: pl.Series(pc.list_value_length(batch[ids]).to_numpy(), dtype=pl.Int32)
        for ids, tokens in _COUNTED.items()
    }
    return pl.DataFrame(pl.from_arrow(scalars)).cast(_READ).with_columns(**counted)


def _quarantined_rows(path: Path) -> pl.DataFrame:
    found: dict[str, list[str | None]] = {name: [] for name in ("pair_id", "source", "source_id", "reason")}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                inner = row["row"]
                found["pair_id"].append(inner.get("pair_id") if isinstance(inner, dict) else None)
                for name, key in (("source", "source"), ("source_id", "source_id"), ("reason", "stage")):
                    found[name].append(str(row[key]))
            except (ValueError, KeyError, TypeError) as error:
                message = f"{path}, line {number} is no quarantined row of this project: {error!r}"
                raise SchemaError(message) from error
    frame = pl.DataFrame(found, schema=dict.fromkeys(found, pl.String))
    empty = [pl.lit(None, ROWS[name]).alias(name) for name in ROWS.names() if name not in found]
    filled = frame.with_columns(*empty).with_columns(place=pl.lit("quarantine"), outcome=pl.lit("quarantine"))
    return filled.select(ROWS.names())
