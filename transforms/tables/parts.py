"""Work tables between two stages: Arrow files of a fixed number of rows, read and written one at a time.

Rows are sorted without ever being held together: a pair id starts with its prompt's hash, so rows go to one of 64
buckets by its first six bits, and each bucket is sorted alone; one of more than BUCKET_BYTES goes to 64 smaller ones
first, by the next six bits. Pairs of one prompt meet in one bucket, which is where duplicates and the cap on pairs per
prompt are decided.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PART_ROWS: Final = 4096
BUCKETS: Final = 64
# Of a bucket's file, what is sorted at once: four times that is held then. 64 buckets were one for 1/64 of the pairs
# whatever their number: 340 MiB at ten million. At 16 MiB memory still grew up to half a million pairs.
BUCKET_BYTES: Final = 4 << 20
_BITS: Final = 6  # log2 of BUCKETS
_LEVELS: Final = 4  # 16.8 million buckets: what is larger then is one prompt, which nothing divides


class Buckets:
    """Tables in, in any order; tables out sorted.

    Args:
        folder: an empty folder, removed by its owner.
        schema: of every table.
        sort: the columns to sort by; the first holds hex digits of a hash and decides the bucket.
        level: how many times rows were dealt out already.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        *,
        sort: Sequence[str] = ("pair_id", "source", "source_id"),
        level: int = 0,
    ) -> None:
        self._folder = folder
        self._schema = schema
        self._keys = sort
        self._sort = [(key, "ascending") for key in sort]
        self._level = level
        folder.mkdir(parents=True, exist_ok=True)
        self._writers: dict[int, pa.RecordBatchFileWriter] = {}

    def add(self, table: pa.Table) -> None:
        """Put each row into its bucket."""
        bits = _BITS * (self._level + 1)
        digits = -(-bits // 4)
        prefix = pc.utf8_slice_codeunits(table[self._keys[0]], 0, digits).to_pylist()
        whole = np.fromiter((int(one, 16) for one in prefix), np.int64, len(prefix))
        bucket = whole >> (4 * digits - bits) & (BUCKETS - 1)
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
            if path.stat().st_size > BUCKET_BYTES and self._level + 1 < _LEVELS:
                yield from self._dealt_out(path).drain()
                continue
            table = _read(path)
            path.unlink()
            yield table.sort_by(self._sort)

    def _dealt_out(self, path: Path) -> "Buckets":
        """A bucket as 64 smaller ones; its file is removed."""
        smaller = Buckets(path.with_suffix(""), self._schema, sort=self._keys, level=self._level + 1)
        with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as reader:
            # Many batches at a time, so that each of the smaller buckets gets some rows of them and not one.
            for table in rechunk(
                (pa.Table.from_batches([reader.get_batch(at)]) for at in range(reader.num_record_batches)),
                BUCKETS * BUCKETS,
            ):
                smaller.add(table)
        path.unlink()
        return smaller

    def _path(self, number: int) -> Path:
        return self._folder / f"bucket-{number:03d}.arrow"


class Parts:
    """A stage's output on disk: tables of PART_ROWS rows, in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return len(self.paths())

    def paths(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.arrow"))

    def path(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.arrow"

    def write(self, number: int, table: pa.Table) -> None:
        """Write a part, whole or not at all; one that is there is replaced."""

        def save(path: Path) -> None:
            with pa.ipc.new_file(str(path), table.schema) as writer:
                writer.write_table(table)

        replace_file(self.path(number), save)

    def read(self, number: int) -> pa.Table:
        return _read(self.path(number))

    def rows(self, number: int) -> int:
        """Rows of a part, by its metadata alone."""
        with pa.memory_map(str(self.path(number))) as source, pa.ipc.open_file(source) as reader:
            return sum(reader.get_batch(at).num_rows for at in range(reader.num_record_batches))

    def remove(self, number: int) -> None:
        self.path(number).unlink()

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


def gather(tables: Iterable[pa.Table], rows: int = PART_ROWS) -> Iterator[pa.Table]:
    """The same tables joined to such of `rows` rows or more, none of them divided; the last may be shorter."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= rows:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def replace_file(path: Path, save: Callable[[Path], object]) -> None:
    """Put a file in its place when it is complete; whoever writes the same one at the same time is no harm.

    Args:
        path: where it goes.
        save: writes it under a name that nobody else has.
    """
    temporary = path.with_name(f"tmp-{uuid.uuid4().hex}")
    try:
        save(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> pa.Table:
    # Not memory-mapped: mapped pages count as resident memory, and a part is read once.
    with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as reader:
        return reader.read_all()
