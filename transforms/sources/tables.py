"""Arrow batches → raw rows, so that one broken row costs one row.

`RecordBatch.to_pylist` takes 28 µs for a row of two short conversations and fails as a whole on one string
that is not UTF-8 (Parquet and Arrow do not check on reading). Converting column by column takes 3 µs.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pyarrow as pa

from transforms.sources.adapter import BadRow, Row, row_hash


def rows_of(batch: pa.RecordBatch) -> Iterator[Row | BadRow]:
    """Yield each row of `batch` as a dict, or as a BadRow where a text is not UTF-8.

    Raises:
        pyarrow.ArrowInvalid: the batch is damaged beyond its texts.
    """
    try:
        # Arrow IPC is not checked on reading: bad list offsets would be read past the end of the buffer.
        batch.validate(full=True)
        rows = list(_dicts(batch))
    except pa.ArrowInvalid:
        yield from _row_by_row(batch)
    else:
        yield from rows


def _row_by_row(batch: pa.RecordBatch) -> Iterator[Row | BadRow]:
    # Not by slices: a slice of a list column is validated with all the texts of its neighbours.
    kinds = {field.name: field.type for field in batch.schema}
    plain = pa.RecordBatch.from_arrays(
        [column.cast(_without_text(column.type)) for column in batch.columns], names=list(kinds)
    )
    plain.validate(full=True)
    for row in _dicts(plain):
        try:
            yield {name: _with_text(value, kinds[name], "strict") for name, value in row.items()}
        except UnicodeDecodeError as error:
            problem = f"a text is not valid UTF-8: {error.reason} at byte {error.start}"
            shown = {name: _with_text(value, kinds[name], "backslashreplace") for name, value in row.items()}
            yield BadRow(problem, shown, row_hash(shown))


def _dicts(batch: pa.RecordBatch) -> Iterator[Row]:
    names = batch.schema.names
    for values in zip(*(_values(column) for column in batch.columns), strict=True):
        yield dict(zip(names, values, strict=True))


def _values(array: pa.Array) -> list[Any]:
    kind = array.type
    if pa.types.is_struct(kind) and kind.num_fields:
        names = [field.name for field in kind]
        columns = [_values(column) for column in array.flatten()]
        found: list[Any] = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = array.offsets.to_pylist()
        first = offsets[0]
        values = _values(array.values.slice(first, offsets[-1] - first))
        found = [values[a - first : b - first] for a, b in pairwise(offsets)]
    else:
        return list(array.to_pylist())
    if array.null_count:
        found = [value if valid else None for value, valid in zip(found, array.is_valid().to_pylist(), strict=True)]
    return found


def _without_text(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _without_text(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_without_text(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_without_text(kind.value_type))
    return kind


def _with_text(value: Any, kind: pa.DataType, errors: str) -> Any:
    if value is None:
        return None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return value.decode("utf-8", errors)
    if pa.types.is_struct(kind):
        return {field.name: _with_text(value[field.name], field.type, errors) for field in kind}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [_with_text(item, kind.value_type, errors) for item in value]
    return value
