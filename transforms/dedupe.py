"""Rules over pairs of one prompt: duplicates, and the cap on pairs per prompt. Content decides, never order."""

from collections.abc import Mapping
from typing import Final

import polars as pl
import pyarrow as pa

from transforms.schema import PAIRS, PROMPT_DIGITS

DUPLICATE: Final = "duplicate"
PAIRS_PER_PROMPT: Final = "pairs_per_prompt"


def mark_repeats(pairs: pa.Table, *, order: Mapping[str, int], caps: Mapping[str, int]) -> pa.Table:
    """Fill `reason` where a pair is there already or its prompt has enough pairs.

    Args:
        pairs: schema.PAIRS; all pairs of any prompt that occurs.
        order: rank of each source in the recipe: of equal pairs the one of the first source stays.
        caps: most pairs per prompt of a source that has a cap. Which ones stay is decided by pair id, a
            hash, so it is a random choice that no shuffle changes.

    Returns:
        The same rows sorted by pair id, with reasons added.
    """
    frame = pl.from_arrow(pairs, rechunk=False)
    rank = pl.col("source").replace_strict(order, return_dtype=pl.Int64, default=len(order))
    marked = (
        pl.DataFrame(frame)
        .with_columns(_rank=rank, _blocked=pl.col("reason").is_not_null())
        # A tie or a pair left out by weight must not push its equal from another source out.
        .sort("pair_id", "_blocked", "_rank", "source_id")
        .with_columns(
            reason=pl.when(pl.col("reason").is_null() & (pl.int_range(pl.len()).over("pair_id") > 0))
            .then(pl.lit(DUPLICATE))
            .otherwise("reason"),
            _prompt=pl.col("pair_id").str.slice(0, PROMPT_DIGITS),
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
    return marked.to_arrow().cast(PAIRS)
