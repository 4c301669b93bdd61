"""Finished model calls, append-only: the one mechanism for resume, reuse and cost.

<root>/<kind>/<model>/part-<batch>.parquet    one file a finished batch, written under a temporary name, renamed
<root>/<kind>/<model>/started-<batch>.json    a batch that an engine is asked for; gone once its part is there
<root>/<kind>/<model>/interrupted.jsonl       batches that were started and had to be paid again

So a crash loses one batch, a rerun with nothing new calls no model, and any fsspec path can be shared. Runs that share
one at the same time do not pay for the same batch: see transforms/asking/leases.py.
"""

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.asking.leases import Leases, is_local
from transforms.asking.ledger_index import LedgerIndex, bits_of
from transforms.engines.protocol import LOCAL, ModelIdentity
from transforms.errors import OutputError
from transforms.tables.schema import COMPLETIONS, JUDGEMENTS, LOG_PROBS, SCORES, check

if TYPE_CHECKING:
    import pyarrow.dataset as pads

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
        self._leases = Leases(self._fs, self._folder)
        self._index = LedgerIndex()
        self._parts: list[str] = []  # by number; one that is gone keeps its number
        self._numbers: dict[str, int] = {}
        self.refresh()
        self.interrupted = 0

    def __len__(self) -> int:
        return len(self._index)

    def missing(self, request_ids: Sequence[str]) -> list[str]:
        """Those not finished yet, in order, each once."""
        asked = list(dict.fromkeys(request_ids))
        there = set(self._index.find(asked).asked.tolist())
        return [key for place, key in enumerate(asked) if place not in there]

    def start(self, batch: Sequence[str]) -> bool:
        """Note that an engine is about to be paid for `batch`.

        Returns:
            False where another run is paying for it now, or has by now: look for what is missing again.
        """
        name = _name_of(batch)
        taken = self._leases.take(name, len(batch))
        if taken == "held":
            return False
        if self._fs.exists(self._part(batch)):  # it may have been finished since the parts were read
            self.refresh()
            if not self.missing(batch):
                self._leases.give_back(name)
                return False
        if taken == "left":
            self.interrupted += 1
            self._remember_interruption(batch)
        return True

    def give_up(self, batch: Sequence[str]) -> None:
        """Note that the engine failed `batch`: asking for it again is no interruption."""
        self._leases.give_back(_name_of(batch))

    def let_go(self, batch: Sequence[str]) -> None:
        """Stop paying for `batch` in the middle: asking for it again is an interruption."""
        self._leases.let_go(_name_of(batch))

    def append(self, batch: Sequence[str], rows: pa.Table) -> None:
        """Keep a finished batch: all of it or nothing."""
        check(rows, SCHEMAS[self.kind], where=f"ledger ({self.kind})")
        path = self._part(batch)
        if not self._fs.exists(path) or self._lacks(path, rows):  # of two runs that both paid, the first one's counts
            sink = pa.BufferOutputStream()
            pq.write_table(rows, sink, compression="zstd")
            self._write(path, sink.getvalue().to_pybytes())
        self._index.add(bits_of(rows["request_id"].to_pylist()), self._number(path))
        self._leases.give_back(_name_of(batch))

    def refresh(self) -> None:
        """Learn what other runs have finished since, and which parts are gone."""
        listed = self._list_parts()
        gone = self._numbers.keys() - set(listed)
        if gone:
            self._index.forget([self._numbers.pop(path) for path in gone])
        self._learn([path for path in listed if path not in self._numbers])

    def fetch(self, request_ids: Sequence[str]) -> pl.DataFrame:
        """The finished rows of the given ids, one a unique id, sorted by id."""
        self.refresh()
        wanted = sorted(set(request_ids))
        parts = sorted(self._parts[number] for number in set(self._index.find(wanted).parts.tolist()))
        rows = self._read(parts, filter=pc.field("request_id").isin(pa.array(wanted, pa.string())))
        frame = pl.DataFrame(pl.from_arrow(rows))
        # Two machines may have paid for the same id at the same time: the smallest answer wins everywhere.
        return frame.sort(frame.columns[:2]).unique("request_id", keep="first", maintain_order=True)

    def _make_folder(self) -> None:
        try:
            self._fs.makedirs(self._folder, exist_ok=True)
        except OSError as error:
            message = f"cannot make the ledger's folder {self._folder}: {error.strerror or error}. Set `ledger:`"
            raise OutputError(message) from error

    def _list_parts(self) -> list[str]:
        if not self._fs.isdir(self._folder):
            return []
        self._fs.invalidate_cache(self._folder)  # some file systems remember what others have added to since
        return sorted(f for f in self._fs.ls(self._folder, detail=False) if _name(f).startswith("part-"))

    def _number(self, path: str) -> int:
        if path not in self._numbers:
            self._numbers[path] = len(self._parts)
            self._parts.append(path)
        return self._numbers[path]

    def _learn(self, parts: Sequence[str]) -> None:
        """Put the ids of parts into the index."""
        if not parts:
            return
        with self._readable():  # all of them or none: a part that has a number is not read again
            found = [(path, bits_of(ids)) for path, ids in self._ids(parts)]
        for path in parts:
            self._number(path)
        for path, bits in found:
            self._index.add(bits, self._number(path))

    def _lacks(self, path: str, rows: pa.Table) -> bool:
        there = self._read([path], columns=["request_id"])["request_id"].to_pylist()
        return not set(rows["request_id"].to_pylist()) <= set(there)

    def _read(self, parts: Sequence[str], **scan: Any) -> pa.Table:
        if not parts:
            return SCHEMAS[self.kind].empty_table()
        with self._readable():
            return self._dataset(parts).to_table(**scan)

    def _ids(self, parts: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """(part, some of its ids)."""
        for batch, fragment in self._dataset(parts).scanner(columns=["request_id"]).scan_batches():
            yield fragment.path, batch["request_id"].to_pylist()

    def _dataset(self, parts: Sequence[str]) -> "pads.Dataset":
        import pyarrow.dataset as pads  # and with it pandas, 1.2 s

        return pads.dataset(list(parts), schema=SCHEMAS[self.kind], filesystem=self._fs, format="parquet")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            message = f"the ledger at {self._folder} cannot be read: {error}. Remove the file it names; its "
            raise OutputError(message + "requests will be paid again") from error

    def _part(self, batch: Sequence[str]) -> str:
        return f"{self._folder}/part-{_name_of(batch)}.parquet"

    def _write(self, path: str, data: bytes) -> None:
        temporary = f"{self._folder}/tmp-{uuid.uuid4().hex}"
        try:
            with self._fs.open(temporary, "wb") as sink:
                sink.write(data)
                if hasattr(sink, "fileno") and is_local(self._fs):
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
        line = json.dumps({"batch": _name(self._part(batch)), "requests": len(batch)})
        self._write(path, before + line.encode() + b"\n")


def _name_of(batch: Sequence[str]) -> str:
    return blake2b("\n".join(batch).encode(), digest_size=12).hexdigest()


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name).strip(".-")[:64] or "model"
