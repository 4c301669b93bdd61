"""Rules over pairs of one prompt: contradictions, duplicates, the cap on pairs a prompt. Content decides, never order.

Two rows contradict each other where one prefers what the other rejects: A > B and B > A of the same prompt. Both cannot
be learned, and which of them is right no text says, so they are always counted; a recipe may drop both, or keep the
order that more rows vote for.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson
import polars as pl
import pyarrow as pa

from transforms.choices import Contradictions
from transforms.tables.schema import PAIRS, PROMPT_DIGITS

DUPLICATE: Final = "duplicate"
PAIRS_PER_PROMPT: Final = "pairs_per_prompt"
CONTRADICTION: Final = "contradiction"

_SIDES: Final = ("chosen", "rejected")


class Marked(NamedTuple):
    """Pairs with their reasons, and what was found on the way.

    Attributes:
        pairs: schema.PAIRS, sorted by pair id.
        disputes: twos of responses to one prompt of which each is preferred to the other by some row.
        disputed: rows of them.
    """

    pairs: pa.Table
    disputes: int
    disputed: int


def mark_repeats(
    pairs: pa.Table,
    *,
    order: Mapping[str, int],
    caps: Mapping[str, int],
    contradictions: Contradictions = "keep",
) -> Marked:
    """Fill `reason` where a pair contradicts another, is there already, or its prompt has enough pairs.

    Args:
        pairs: schema.PAIRS; all pairs of any prompt that occurs.
        order: rank of each source in the recipe: of equal pairs the one of the first source stays.
        caps: most pairs per prompt of a source that has a cap, of its own pairs alone. Which ones stay is decided by
            pair id, a hash, so it is a random choice that no shuffle changes.
        contradictions: what becomes of rows that contradict each other. `majority` keeps the order of more rows,
            duplicates included, and drops both orders of a draw.

    Returns:
        The same rows sorted by pair id, with reasons added. Rows that had a reason already (a tie, the weight) neither
        vote nor push others out.
    """
    frame = pl.DataFrame(pl.from_arrow(pairs, rechunk=False))
    frame = frame.with_columns(_prompt=pl.col("pair_id").str.slice(0, PROMPT_DIGITS))
    disputes = _disputes(frame)
    if len(disputes) and contradictions != "keep":
        lost = disputes if contradictions == "drop_both" else disputes.filter(pl.col("votes") <= pl.col("against"))
        frame = frame.with_columns(
            reason=pl.when(pl.col("reason").is_null() & pl.col("pair_id").is_in(lost["pair_id"].to_list()))
            .then(pl.lit(CONTRADICTION))
            .otherwise("reason")
        )
    rank = pl.col("source").replace_strict(order, return_dtype=pl.Int64, default=len(order))
    marked = (
        frame.with_columns(_rank=rank, _blocked=pl.col("reason").is_not_null())
        # A tie or a pair left out by weight must not push its equal from another source out.
        .sort("pair_id", "_blocked", "_rank", "source_id")
        .with_columns(
            reason=pl.when(pl.col("reason").is_null() & (pl.int_range(pl.len()).over("pair_id") > 0))
            .then(pl.lit(DUPLICATE))
            .otherwise("reason"),
        )
        .with_columns(
            _place=pl.col("reason").is_null().cum_sum().over("source", "_prompt"),
            _cap=pl.col("source").replace_strict(caps, return_dtype=pl.Int64, default=None),
        )
        .with_columns(
            reason=pl.when(pl.col("reason").is_null() & (pl.col("_place") > pl.col("_cap")))
            .then(pl.lit(PAIRS_PER_PROMPT))
            .otherwise("reason")
        )
        .select(PAIRS.names)
    )
    return Marked(marked.to_arrow().cast(PAIRS), len(disputes) // 2, int(disputes["votes"].sum()))


def _disputes(frame: pl.DataFrame) -> pl.DataFrame:
    """Pairs of which the reverse is there too: `pair_id`, the rows that say so (`votes`), those of the reverse.

    Only prompts with two different pairs can have any, which few sets have many of; responses are compared whole, a
    call or reasoning included.
    """
    live = frame.lazy().filter(pl.col("reason").is_null())
    several = live.filter(pl.col("pair_id").n_unique().over("_prompt") > 1).select(
        "_prompt", "pair_id", "structure", *_SIDES
    )
    counted = (
        several.group_by("pair_id").agg(pl.len().alias("votes"), pl.first("_prompt", "structure", *_SIDES)).collect()
    )
    if counted["structure"].null_count() < len(counted):
        further = pl.DataFrame(
            [_further(text) for text in counted["structure"].to_list()],
            schema=dict.fromkeys(_SIDES, pl.String),
            orient="row",
        )
        # No text holds a NUL, so no two responses are joined to the same.
        counted = counted.with_columns(*(counted[side] + "\0" + further[side] for side in _SIDES))
    reverse = counted.select("_prompt", pl.col("votes").alias("against"), rejected="chosen", chosen="rejected")
    return counted.join(reverse, on=["_prompt", *_SIDES]).select("pair_id", "votes", "against")


def _further(structure: str | None) -> tuple[str, str]:
    """What each response is beside its text, as text."""
    found = orjson.loads(structure) if structure else {}
    chosen, rejected = (orjson.dumps(found[side]).decode() if side in found else "" for side in _SIDES)
    return chosen, rejected
