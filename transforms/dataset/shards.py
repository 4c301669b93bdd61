"""Arrow shards that `datasets.load_from_disk` opens, written once, and the version that their content gives.

The on-disk format is that of `DatasetDict.save_to_disk`: data-*-of-*.arrow streams, dataset_info.json and
state.json per split, dataset_dict.json above. It is written here because datasets would hold all rows, and
because its fingerprints are random: equal runs must give equal bytes.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from transforms.records.manifest import FileRecord
from transforms.tables.schema import PROMPT_DIGITS, check

BATCH_ROWS: Final = 1024
_BLOCK: Final = 1 << 20


class ContentHash:
    """A hash over a table that does not depend on how its rows are cut into batches."""

    def __init__(self, schema: pa.Schema) -> None:
        self._kinds = {field.name: str(field.type) for field in schema}
        self._digests: dict[str, Any] = defaultdict(sha256)

    def update(self, table: pa.Table) -> None:
        for name in self._kinds:
            for chunk in table[name].chunks:
                for leaf, data in _leaves(name, chunk):
                    self._digests[leaf].update(data)

    def hexdigest(self) -> str:
        leaves = {leaf: digest.hexdigest() for leaf, digest in self._digests.items()}
        return sha256(json.dumps([self._kinds, leaves], sort_keys=True).encode()).hexdigest()


def _leaves(name: str, array: pa.Array) -> Iterator[tuple[str, bytes | memoryview]]:
    """(leaf, bytes) of an array: validity, list and string lengths, values, each a leaf of its own."""
    yield f"{name}.null", np.asarray(array.is_null().to_numpy(zero_copy_only=False), np.uint8).tobytes()
    if pa.types.is_list(array.type):
        offsets = np.asarray(array.offsets, dtype=np.int64)
        yield f"{name}.length", np.diff(offsets).tobytes()
        yield from _leaves(f"{name}.item", array.values.slice(offsets[0], offsets[-1] - offsets[0]))
    elif pa.types.is_struct(array.type):
        for field, child in zip(array.type, array.flatten(), strict=True):
            yield from _leaves(f"{name}.{field.name}", child)
    elif pa.types.is_string(array.type):
        _, starts, data = array.buffers()
        bounds = np.frombuffer(starts, np.int32)[array.offset : array.offset + len(array) + 1]
        yield f"{name}.length", np.diff(bounds).astype(np.int64).tobytes()
        if data is not None:
            yield name, memoryview(data)[bounds[0] : bounds[-1]]
    else:
        filled = array.fill_null(False if pa.types.is_boolean(array.type) else 0)
        yield name, np.ascontiguousarray(filled.to_numpy(zero_copy_only=False)).tobytes()


class SplitWriter:
    """One split (or any table) as a folder of Arrow shards.

    Args:
        folder: made here; must not exist.
        schema: of every table.
        shard_rows: rows of each shard; the last may have fewer.
        split: its name for datasets, None for a table that is no split.
    """

    def __init__(self, folder: Path, schema: pa.Schema, *, shard_rows: int, split: str | None) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.rows = 0
        self.content = ContentHash(schema)
        self._check = schema
        self._features = _features(schema)
        # Nullability stays out of the file: datasets knows none and would refuse to concatenate.
        fields = [field.with_nullable(True) for field in schema]
        metadata = {"huggingface": json.dumps({"info": {"features": self._features}})}
        self._schema = pa.schema(fields, metadata=metadata)
        self._shard_rows = shard_rows
        self._split = split
        self._sizes: list[int] = []
        self._writer: pa.RecordBatchStreamWriter | None = None
        self._waiting = self._schema.empty_table()

    def write(self, table: pa.Table) -> None:
        """Add rows in order."""
        check(table, self._check, where=f"write {self.folder.name}")
        aligned = pa.Table.from_arrays([table[name] for name in self._schema.names], schema=self._schema)
        self.content.update(aligned)
        self.rows += len(aligned)
        self._waiting = pa.concat_tables([self._waiting, aligned])
        while len(self._waiting) >= self._next_batch():
            self._write_batch(self._next_batch())

    def close(self) -> list[FileRecord]:
        """Finish the folder; the files with rows and hashes, paths relative to the folder's parent."""
        if len(self._waiting):
            self._write_batch(len(self._waiting))
        (self._writer or self._next_shard()).close()
        names = []
        for number in range(len(self._sizes)):
            names.append(f"data-{number:05d}-of-{len(self._sizes):05d}.arrow")
            self._temporary(number).rename(self.folder / names[-1])
        state: dict[str, Any] = {
            "_data_files": [{"filename": name} for name in names],
            "_fingerprint": self.content.hexdigest()[:16],
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": self._split,
        }
        info = {"citation": "", "description": "", "features": self._features, "homepage": "", "license": ""}
        _write_json(self.folder / "state.json", state)
        _write_json(self.folder / "dataset_info.json", info)
        return [
            FileRecord(path=f"{self.folder.name}/{name}", rows=rows, sha256=file_sha256(self.folder / name))
            for name, rows in zip(names, self._sizes, strict=True)
        ]

    def _next_batch(self) -> int:
        """Rows of the next record batch: fixed, so that equal rows give equal bytes however they came."""
        filled = self._sizes[-1] % self._shard_rows if self._sizes else 0
        return min(BATCH_ROWS, self._shard_rows - filled)

    def _write_batch(self, rows: int) -> None:
        if self._writer is None or self._sizes[-1] == self._shard_rows:
            self._writer = self._next_shard()
        # A copy: a slice would take its neighbours' bytes and bits into the file, and with them its history.
        batch = self._waiting.take(pa.array(np.arange(rows))).combine_chunks()
        self._writer.write_table(batch)
        self._waiting = self._waiting.slice(rows)
        self._sizes[-1] += rows

    def _next_shard(self) -> pa.RecordBatchStreamWriter:
        if self._writer is not None:
            self._writer.close()
        self._sizes.append(0)
        return pa.ipc.new_stream(str(self._temporary(len(self._sizes) - 1)), self._schema)

    def _temporary(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}.tmp"


def write_splits(folder: Path, splits: list[str]) -> None:
    """What makes a folder of splits a DatasetDict."""
    _write_json(folder / "dataset_dict.json", {"splits": splits})


def version_of(splits: dict[str, ContentHash]) -> str:
    """The version of a dataset: 16 hex digits of its content, so equal data gives an equal version."""
    parts = {name: content.hexdigest() for name, content in sorted(splits.items())}
    return sha256(json.dumps(parts).encode()).hexdigest()[:16]


def in_test_split(pair_id: str, test_size: float) -> bool:
    """Whether a pair belongs to `test`. Its prompt's hash decides, so no prompt is on both sides."""
    return int(pair_id[:PROMPT_DIGITS], 16) < test_size * 2**64


def file_sha256(path: Path) -> str:
    """Hash of a file, read in blocks."""
    with path.open("rb") as source:
        digest = sha256()
        while block := source.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _features(schema: pa.Schema) -> dict[str, Any]:
    return {field.name: _feature(field.type) for field in schema}


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """The datasets feature of an Arrow type, as dataset_info.json spells it."""
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind)), "_type": "Value"}


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
