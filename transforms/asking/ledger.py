"""Finished model calls, append-only: the one mechanism for resume, reuse and cost.

<root>/<kind>/<model>/part-<batch>.parquet    one file a finished batch, written under a temporary name, renamed
<root>/<kind>/<model>/started-<batch>.json    a batch that an engine was asked for; gone once its part is there
<root>/<kind>/<model>/interrupted.jsonl       batches that were started and had to be paid again

So a crash loses one batch, a rerun with nothing new calls no model, and any fsspec path can be shared.
"""

import json
import os
import time
import uuid
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, Literal

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.engines.protocol import LOCAL, ModelIdentity
from transforms.errors import OutputError
from transforms.tables.schema import COMPLETIONS, JUDGEMENTS, LOG_PROBS, SCORES, check

Kind = Literal["completions", "scores", "judgements", "log_probs"]
SCHEMAS: Final = {"completions": COMPLETIONS, "scores": SCORES, "judgements": JUDGEMENTS, "log_probs": LOG_PROBS}


class Ledger:
    """One kind of finished work of one model.

    Args:
        root: folder or fsspec URL, shared by runs.
        kind: completions, scores, judgements or log-probs.
        identity: the model; a folder of its own, so that a scan reads no other model's parts.
        writable: False to look only: nothing is made, and a ledger that is not there is an empty one.

    Raises:
        OutputError: no folder can be made there, or a part cannot be read.
    """

    def __init__(self, root: str, kind: Kind, identity: ModelIdentity, *, writable: bool = True) -> None:
        self.kind = kind
        facts = identity.facts()
        parts: list[object] = [facts[name] for name in ("fingerprint", "revision", "dtype", "engine")]
        # By name, and only where there is one: folders of models without them keep their names.
        parts += [[name, facts[name]] for name in ("quantization", "adapter") if name in facts]
        key = json.dumps(parts)
        model = f"{_slug(facts['name'] or LOCAL)}-{blake2b(key.encode(), digest_size=8).hexdigest()}"
        self._fs, path = fsspec.core.url_to_fs(root)
        self._folder = f"{path.rstrip('/')}/{kind}/{model}"
        if writable:  # before a model is paid for
            self._make_folder()
        self._known = self._read_ids()
        self.interrupted = 0

    def __len__(self) -> int:
        return len(self._known)

    def missing(self, request_ids: Sequence[str]) -> list[str]:
        """Those not finished yet, in order, each once."""
        return [key for key in dict.fromkeys(request_ids) if key not in self._known]

    def start(self, batch: Sequence[str]) -> None:
        """Note that an engine is about to be paid for `batch`."""
        marker = self._path("started", batch, "json")
        if self._fs.exists(marker):
            self.interrupted += 1
            self._remember_interruption(batch)
        note = {"requests": len(batch), "at": time.time(), "pid": os.getpid()}
        self._write(marker, json.dumps(note).encode())

    def give_up(self, batch: Sequence[str]) -> None:
        """Note that the engine failed `batch`: asking for it again is no interruption."""
        self._remove(self._path("started", batch, "json"))

    def append(self, batch: Sequence[str], rows: pa.Table) -> None:
        """Keep a finished batch: all of it or nothing."""
        check(rows, SCHEMAS[self.kind], where=f"ledger ({self.kind})")
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd")
        self._write(self._path("part", batch, "parquet"), sink.getvalue().to_pybytes())
        self._known.update(rows["request_id"].to_pylist())
        self._remove(self._path("started", batch, "json"))

    def fetch(self, request_ids: Sequence[str]) -> pl.DataFrame:
        """The finished rows of the given ids, one a unique id, sorted by id."""
        wanted = pa.array(sorted(set(request_ids)), pa.string())
        frame = pl.DataFrame(pl.from_arrow(self._read(filter=pc.field("request_id").isin(wanted))))
        # Two machines may have paid for the same id at the same time: the smallest answer wins everywhere.
        return frame.sort(frame.columns[:2]).unique("request_id", keep="first", maintain_order=True)

    def _read_ids(self) -> set[str]:
        return set(self._read(columns=["request_id"])["request_id"].to_pylist())

    def _make_folder(self) -> None:
        try:
            self._fs.makedirs(self._folder, exist_ok=True)
        except OSError as error:
            message = f"cannot make the ledger's folder {self._folder}: {error.strerror or error}. Set `ledger:`"
            raise OutputError(message) from error

    def _read(self, **scan: Any) -> pa.Table:
        if not self._fs.isdir(self._folder):
            return SCHEMAS[self.kind].empty_table().select(scan.get("columns") or SCHEMAS[self.kind].names)
        parts = sorted(f for f in self._fs.ls(self._folder, detail=False) if _name(f).startswith("part-"))
        try:
            import pyarrow.dataset as pads  # and with it pandas, 1.2 s

            parquet = pads.dataset(parts, schema=SCHEMAS[self.kind], filesystem=self._fs, format="parquet")
            return parquet.to_table(**scan)
        except (pa.ArrowException, OSError) as error:
            message = f"the ledger at {self._folder} cannot be read: {error}. Remove the file it names; its "
            raise OutputError(message + "requests will be paid again") from error

    def _path(self, what: str, batch: Sequence[str], ending: str) -> str:
        name = blake2b("\n".join(batch).encode(), digest_size=12).hexdigest()
        return f"{self._folder}/{what}-{name}.{ending}"

    def _write(self, path: str, data: bytes) -> None:
        temporary = f"{self._folder}/tmp-{uuid.uuid4().hex}"
        try:
            with self._fs.open(temporary, "wb") as sink:
                sink.write(data)
                if hasattr(sink, "fileno") and _is_local(self._fs):
                    sink.flush()
                    os.fsync(sink.fileno())
            self._fs.mv(temporary, path)
        except OSError as error:
            self._remove(temporary)
            message = f"cannot write to the ledger at {self._folder}: {error}. Free some space or set `ledger:`"
            raise OutputError(message) from error

    def _remove(self, path: str) -> None:
        if self._fs.exists(path):
            self._fs.rm(path)

    def _remember_interruption(self, batch: Sequence[str]) -> None:
        path = f"{self._folder}/interrupted.jsonl"
        before = self._fs.cat_file(path) if self._fs.exists(path) else b""
        line = json.dumps({"batch": _name(self._path("part", batch, "parquet")), "requests": len(batch)})
        self._write(path, before + line.encode() + b"\n")


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name).strip(".-")[:64] or "model"


def _is_local(fs: fsspec.AbstractFileSystem) -> bool:
    return "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))
