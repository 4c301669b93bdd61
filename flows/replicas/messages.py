"""What driver and workers say to each other, as bytes: Arrow tables and JSON, and nothing that runs when it is read."""

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from flows.models.crew import Paid
from transforms import errors
from transforms.errors import CurationError

_IDS: Final = pa.list_(pa.int32())
_TYPES: Final = {
    "request_id": pa.string(),
    "token_ids": _IDS,
    "prompt": _IDS,
    "response": _IDS,
    "seed": pa.int64(),
    "sample_index": pa.int32(),
    "max_tokens": pa.int32(),
}
_ARRAYS: Final = ("prompt", "response")  # numpy in the request
_ABOUT: Final = b"about"


def requests_to_bytes(requests: Sequence[Any]) -> bytes:
    """Requests of one kind, a row each.

    Args:
        requests: at least one.
    """
    names = _names(type(requests[0]))
    columns = {name: pa.array([getattr(one, name) for one in requests], _TYPES[name]) for name in names}
    return _to_bytes(pa.table(columns))


def requests_from_bytes(data: bytes, kind: type[Any]) -> list[Any]:
    """The requests of a kind, in their order."""
    rows = _from_bytes(data).to_pylist()
    for row in rows:
        row.update({name: np.array(row[name], np.int32) for name in _ARRAYS if name in row})
    return [kind(**row) for row in rows]


def answer_to_bytes(paid: Paid) -> bytes:
    """Rows for the ledger with the account of them."""
    about = {name: value for name, value in paid._asdict().items() if name != "rows"}
    return _to_bytes(paid.rows.replace_schema_metadata({_ABOUT: json.dumps(about).encode()}))


def answer_from_bytes(data: bytes) -> Paid:
    """As `answer_to_bytes` wrote it."""
    table = _from_bytes(data)
    about = json.loads(table.schema.metadata[_ABOUT])
    return Paid(table.replace_schema_metadata(None), **about)


def error_to_json(error: Exception) -> str:
    """One of this project's by its class and message; any other as the failure of the engine that it is."""
    if isinstance(error, CurationError):
        return json.dumps({"kind": type(error).__name__, "message": str(error)})
    return json.dumps({"kind": "EngineError", "message": errors.first_line(error)})


def error_from_json(text: str | bytes, *, where: str) -> CurationError:
    """The error, with the replica that said it."""
    content = json.loads(text)
    kind = getattr(errors, content["kind"], errors.EngineError)
    found: CurationError = kind(f"{where}: {content['message']}")
    return found


def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else kind._fields


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _from_bytes(data: bytes) -> pa.Table:
    return pa.ipc.open_stream(data).read_all()
