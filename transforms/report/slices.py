"""Rows of a run that is larger than memory should be, some at a time."""

from collections.abc import Iterator
from typing import Final

import polars as pl

SLICE_ROWS: Final = 1 << 16  # 10 MB of a run's scalar rows


def slices(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """All rows in their order, at most `SLICE_ROWS` at a time."""
    start = 0
    while (some := rows.slice(start, SLICE_ROWS).collect()).height:
        yield some
        start += some.height
