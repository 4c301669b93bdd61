"""Token ids of many texts, end to end in one array."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]


class Ragged(NamedTuple):
    """Token ids of many texts: text i is values[offsets[i]:offsets[i + 1]]."""

    values: Ids
    offsets: Offsets

    @property
    def lengths(self) -> Offsets:
        return np.diff(self.offsets)

    def row(self, index: int) -> Ids:
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def part(self, start: int, stop: int) -> "Ragged":
        """The rows from `start` to before `stop`; their tokens are not copied."""
        offsets = self.offsets[start : stop + 1]
        return Ragged(self.values[offsets[0] : offsets[-1]], offsets - offsets[0])

    def take(self, rows: npt.NDArray[np.int64]) -> "Ragged":
        """The given rows, in that order, repeats allowed."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        source = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Ragged(self.values[source], offsets)

    def with_end(self, token: int, where: npt.NDArray[np.bool_]) -> "Ragged":
        """`token` appended to the rows that `where` marks."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths + where)])
        values = np.empty(offsets[-1], dtype=np.int32)
        shift = np.repeat(offsets[:-1] - self.offsets[:-1], self.lengths)
        values[np.arange(len(self.values)) + shift] = self.values
        values[offsets[1:][where] - 1] = token
        return Ragged(values, offsets)

    def without_first(self, counts: Offsets) -> "Ragged":
        """The rows without so many of their first tokens each."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths - counts)])
        shift = np.repeat(self.offsets[:-1] + counts - offsets[:-1], np.diff(offsets))
        return Ragged(self.values[np.arange(offsets[-1]) + shift], offsets)

    def to_arrow(self) -> pa.ListArray:
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), pa.array(self.values))

    @staticmethod
    def of(rows: Sequence[Ids]) -> "Ragged":
        """Rows that are apart."""
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return Ragged(np.concatenate([np.zeros(0, np.int32), *rows]).astype(np.int32), offsets)

    @staticmethod
    def from_arrow(column: pa.ListArray | pa.ChunkedArray) -> "Ragged":
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        offsets = np.asarray(array.offsets, dtype=np.int64)
        values = np.asarray(array.values, dtype=np.int32)
        return Ragged(values[offsets[0] : offsets[-1]], offsets - offsets[0])
