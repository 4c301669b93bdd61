"""Work tables between two stages: Arrow files of a fixed number of rows, read and written one at a time.

Rows are sorted without ever being held together: a pair id starts with its prompt's hash, so rows go to one
of 64 buckets by its first bits, and each bucket is sorted alone. Pairs of one prompt meet in one bucket,
which is where duplicates and the cap on pairs per prompt are decided.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PART_ROWS: Final = 4096
BUCKETS: Final = 64


class Buckets:
    """Tables in, in any order; tables out sorted.

    Args:
        folder: an empty folder, removed by its owner.
        schema: of every table.
        sort: the columns to sort by; the first holds hex digits of a hash and decides the bucket.
    """

    def __init__(
        self, folder: Path, schema: pa.Schema, *, sort: Sequence[str] = ("pair_id", "source", "source_id")
    ) -> None:
        self._folder = folder
        self._schema = schema
        self._sort = [(key, "ascending") for key in sort]
        folder.mkdir(parents=True, exist_ok=True)
        self._writers: dict[int, pa.RecordBatchFileWriter] = {}

    def add(self, table: pa.Table) -> None:
        """Put each row into its bucket."""
        prefix = pc.utf8_slice_codeunits(table[self._sort[0][0]], 0, 2).to_pylist()
        bucket = np.fromiter((int(digits, 16) for digits in prefix), np.int64, len(prefix)) * BUCKETS // 256
        order = np.argsort(bucket, kind="stable")
        ordered = table.take(pa.array(order))
        edges = np.searchsorted(bucket[order], np.arange(BUCKETS + 1))
        for number in np.flatnonzero(np.diff(edges)).tolist():
            if number not in self._writers:
                path = self._path(number)
                self._writers[number] = pa.ipc.new_file(str(path), self._schema)
            self._writers[number].write_table(
                ordered.slice(edges[number], edges[number + 1] - edges[number]).combine_chunks()
            )

    def drain(self) -> Iterator[pa.Table]:
        """Each bucket in order, sorted; its file is removed."""
        for writer in self._writers.values():
            writer.close()
        for number in sorted(self._writers):
            path = self._path(number)
            table = _read(path)
            path.unlink()
            yield table.sort_by(self._sort)

    def _path(self, number: int) -> Path:
        return self._folder / f"bucket-{number:03d}.arrow"


class Parts:
    """A stage's output on disk: tables of PART_ROWS rows, in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return len(self.paths())

    def paths(self) -> list[Path]:
        return sorted(self._folder.glob("part-*.arrow"))

    def write(self, number: int, table: pa.Table) -> None:
        path = self._folder / f"part-{number:05d}.arrow"
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)

    def read(self, number: int) -> pa.Table:
        return _read(self._folder / f"part-{number:05d}.arrow")

    def __iter__(self) -> Iterator[pa.Table]:
        return (self.read(number) for number in range(len(self)))


def rechunk(tables: Iterable[pa.Table], rows: int = PART_ROWS) -> Iterator[pa.Table]:
    """The same rows in tables of exactly `rows` rows; the last may be shorter."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += len(table)
        while count >= rows:
            merged = pa.concat_tables(waiting)
            yield merged.slice(0, rows).combine_chunks()
            rest = merged.slice(rows)
            waiting, count = [rest], len(rest)
    if count:
        yield pa.concat_tables(waiting).combine_chunks()


def _read(path: Path) -> pa.Table:
    # Not memory-mapped: mapped pages count as resident memory, and a part is read once.
    with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as reader:
        return reader.read_all()
