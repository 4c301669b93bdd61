"""The pairs of two versions side by side: which are the same, which were rewritten, which came and went."""

from typing import Final

import polars as pl

from transforms.tables.schema import PROMPT_DIGITS

OLD: Final = "_old"
NEW: Final = "_new"
_BY_ROW: Final = ("source", "source_id", "_prompt")
_ORDER: Final = {"verdict": 0, "rewritten": 1, "removed": 2, "added": 3, "same": 4}


def match_rows(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """One row a pair of either version: every column of ROWS as `*_old` and `*_new`, null where it is not there.

    Equal pairs are found by pair_id, a hash of prompt and both responses. Of the others, two are one pair that was
    rewritten where they have the same prompt and come from the same row of the source, or, where ids of rows are
    hashes of their content, where each is the only one of its prompt and source that is left. Rows that no pair could
    be made of have no pair_id; such a one is found by source and row.

    Args:
        old: version_rows.ROWS, no pair twice.
        new: likewise.

    Returns:
        `change` (difference.Change) and the columns of both sides, changed pairs first, in an order that depends on
        nothing but content.
    """
    left, right = old.select(pl.all().name.suffix(OLD)), new.select(pl.all().name.suffix(NEW))
    matched = [left.join(right, left_on=f"pair_id{OLD}", right_on=f"pair_id{NEW}", how="inner", coalesce=False)]
    left = left.join(right, left_on=f"pair_id{OLD}", right_on=f"pair_id{NEW}", how="anti")
    right = right.join(old, left_on=f"pair_id{NEW}", right_on="pair_id", how="anti")
    for keys, rows in ((_BY_ROW, "pairs"), (("source", "_prompt"), "pairs"), (("source", "source_id"), "any")):
        found = _alone_in_both(left, right, keys, paired=rows == "pairs")
        left = left.join(found, on=_row_key(OLD), how="anti", nulls_equal=True)
        right = right.join(found, on=_row_key(NEW), how="anti", nulls_equal=True)
        matched.append(found)
    both = pl.concat(matched, how="diagonal").with_columns(change=_change_of_both())
    frames = [both, left.with_columns(change=pl.lit("removed")), right.with_columns(change=pl.lit("added"))]
    rank = pl.col("change").replace_strict(_ORDER, return_dtype=pl.Int8)
    by = [pl.coalesce(f"{name}{NEW}", f"{name}{OLD}") for name in ("pair_id", "source", "source_id")]
    return pl.concat(frames, how="diagonal").sort(rank, *by, nulls_last=True)


def _alone_in_both(left: pl.DataFrame, right: pl.DataFrame, keys: tuple[str, ...], *, paired: bool) -> pl.DataFrame:
    """Rows of which each side has exactly one with these keys; `paired`: of those that have a pair_id."""
    sides = []
    for frame, side in ((left, OLD), (right, NEW)):
        prompt = pl.col(f"pair_id{side}").str.slice(0, PROMPT_DIGITS)
        rows = frame.filter(pl.col(f"pair_id{side}").is_not_null()) if paired else frame
        named = rows.with_columns(
            *(pl.col(f"{key}{side}").alias(key) for key in keys if key != "_prompt"), _prompt=prompt
        )
        sides.append(named.filter(pl.len().over(keys) == 1))
    found = sides[0].join(
        sides[1].drop("_prompt") if "_prompt" not in keys else sides[1], on=list(keys), validate="1:1"
    )
    if not paired:
        # With an id on both sides they are two pairs: of other prompts, or one of several.
        found = found.filter(pl.col(f"pair_id{OLD}").is_null() | pl.col(f"pair_id{NEW}").is_null())
    return found.select(*left.columns, *right.columns)


def _row_key(side: str) -> list[str]:
    return [f"pair_id{side}", f"source{side}", f"source_id{side}"]


def _change_of_both() -> pl.Expr:
    outcome = pl.col(f"outcome{OLD}") == pl.col(f"outcome{NEW}")
    rewritten = pl.col(f"pair_id{OLD}") != pl.col(f"pair_id{NEW}")
    return (
        pl.when(rewritten.fill_null(False))
        .then(pl.lit("rewritten"))
        .when(outcome)
        .then(pl.lit("same"))
        .otherwise(pl.lit("verdict"))
    )
