"""Arrow batches → raw rows, so that one broken row costs one row.

`RecordBatch.to_pylist` takes 28 µs for a row of two short conversations and fails as a whole on one string
that is not UTF-8 (Parquet and Arrow do not check on reading). Converting column by column takes 3 µs.

Two things that tables do to rows are undone here:

- datasets ≥ 5 stores a column whose rows have not all the same fields as JSON text (feature `Json`, Arrow type
  `arrow.json`): one message with one more key, and every message of the file is a text. It is read as what it stands
  for, by the Arrow type, by the features in the schema's metadata, or, where a tool lost both, by what the texts are.
- A struct column gives every row the fields of all others. Within functions and calls a field that is null there is one
  that is not there: a template would print it.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

import orjson
import pyarrow as pa

from transforms.errors import SourceError
from transforms.sources.adapter import BadRow, Row, row_hash

# Columns, and fields of messages, that hold functions and calls.
_AS_THEY_WERE: Final = frozenset(("tools", "functions", "tool_calls", "function_call", "chat_template_kwargs"))
# So many values of nothing but texts in quotation marks are a `Json` column; fewer may be people quoting.
_QUOTED_VALUES: Final = 8


class _Undecodable(NamedTuple):
    """A text in a `Json` column that is no JSON."""

    text: str
    error: str


class JsonColumns:
    """Which columns of a table are JSON text. Made once for a file, for it may take a batch or two to tell.

    Args:
        schema: of the table, with its metadata.

    Raises:
        SourceError: two columns have one name.
    """

    def __init__(self, schema: pa.Schema) -> None:
        twice = [name for name, count in Counter(schema.names).items() if count > 1]
        if twice:
            message = (
                f"two columns are called {' and '.join(map(repr, twice))}, so which is meant cannot be told; rename one"
            )
            raise SourceError(message)
        self._features, self._texts = _features(schema)
        self._by_shape: dict[str, bool] = {}

    def feature(self, name: str) -> Any:
        """What the metadata says of a column; None where it says nothing."""
        return self._features.get(name)

    def by_shape(self, name: str, texts: list[Any]) -> bool:
        """Whether a column of texts is JSON by what it holds; decided by the first batch that has any."""
        if name not in self._by_shape:
            found = _is_json(texts, stated=name in self._texts)
            if found is None:
                return False
            self._by_shape[name] = found
        return self._by_shape[name]


def rows_of(batch: pa.RecordBatch, columns: JsonColumns | None = None) -> Iterator[Row | BadRow]:
    """Yield each row of `batch` as a dict, or as a BadRow where a text is not UTF-8 or a `Json` value no JSON.

    Args:
        batch: of a table.
        columns: what is known of the table; made for this batch alone by default.

    Raises:
        pyarrow.ArrowInvalid: the batch is damaged beyond its texts.
    """
    columns = columns or JsonColumns(batch.schema)
    try:
        # Arrow IPC is not checked on reading: bad list offsets would be read past the end of the buffer.
        batch.validate(full=True)
        rows = list(_dicts(batch, columns))
    except pa.ArrowInvalid:
        yield from _row_by_row(batch, columns)
    else:
        yield from rows


def _row_by_row(batch: pa.RecordBatch, columns: JsonColumns) -> Iterator[Row | BadRow]:
    # Not by slices: a slice of a list column is validated with all the texts of its neighbours.
    kinds = {field.name: field.type for field in batch.schema}
    plain = pa.RecordBatch.from_arrays(
        [column.cast(_without_text(column.type)) for column in batch.columns], names=list(kinds)
    )
    plain.validate(full=True)
    for row in _dicts(plain, JsonColumns(plain.schema)):
        if isinstance(row, BadRow):  # never: there is no text left that could be JSON
            yield row
            continue
        try:
            texts = {name: _with_text(value, kinds[name], "strict") for name, value in row.items()}
        except UnicodeDecodeError as error:
            problem = f"a text is not valid UTF-8: {error.reason} at byte {error.start}"
            shown = {name: _with_text(value, kinds[name], "backslashreplace") for name, value in row.items()}
            yield BadRow(problem, shown, row_hash(shown))
        else:
            one = pa.RecordBatch.from_arrays(
                [pa.array([value], _as_text(kinds[name])) for name, value in texts.items()], names=list(kinds)
            )
            features = {name: _json_parts(kinds[name]) or columns.feature(name) for name in kinds}
            yield from _dicts(one, columns, features)


def _dicts(
    batch: pa.RecordBatch, columns: JsonColumns, features: Mapping[str, Any] | None = None
) -> Iterator[Row | BadRow]:
    names = batch.schema.names
    failed: list[_Undecodable] = []
    found = []
    for name, column in zip(names, batch.columns, strict=True):
        feature = features[name] if features else columns.feature(name)
        values = _values(column, feature, failed, as_it_was=name in _AS_THEY_WERE)
        if _is_text(column.type) and feature is None and columns.by_shape(name, values):
            values = [_loaded(value, []) if value is not None else None for value in values]
            values = [value.text if isinstance(value, _Undecodable) else value for value in values]
        found.append(values)
    for one in zip(*found, strict=True):
        row = dict(zip(names, one, strict=True))
        problem = _undecodable(row) if failed else None
        if problem is None:
            yield row
        else:
            shown = {name: _shown(value) for name, value in row.items()}
            yield BadRow(f"a value of a Json column is no JSON: {problem.error}", shown, row_hash(shown))


def _values(array: pa.Array, feature: Any, failed: list[_Undecodable], *, as_it_was: bool) -> list[Any]:
    kind = array.type
    if isinstance(kind, pa.JsonType):
        array, feature = array.storage, _JSON
    if feature == _JSON and _is_text(array.type):
        return [None if text is None else _loaded(text, failed) for text in array.to_pylist()]
    if pa.types.is_struct(kind) and kind.num_fields:
        names = [field.name for field in kind]
        inside = feature if isinstance(feature, Mapping) else {}
        columns = [
            _values(column, inside.get(name), failed, as_it_was=as_it_was or name in _AS_THEY_WERE)
            for name, column in zip(names, array.flatten(), strict=True)
        ]
        found: list[Any] = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        if as_it_was:
            found = [{name: value for name, value in one.items() if value is not None} for one in found]
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = array.offsets.to_pylist()
        first = offsets[0]
        inner = array.values.slice(first, offsets[-1] - first)
        values = _values(inner, _items(feature), failed, as_it_was=as_it_was)
        found = [values[a - first : b - first] for a, b in pairwise(offsets)]
    else:
        return list(array.to_pylist())
    if array.null_count:
        found = [value if valid else None for value, valid in zip(found, array.is_valid().to_pylist(), strict=True)]
    return found


_JSON: Final = "Json"


def _features(schema: pa.Schema) -> tuple[dict[str, Any], set[str]]:
    """Column → where JSON text is in it, by the features that datasets wrote into the metadata; others left out.

    And the columns that are texts by them.
    """
    try:
        described = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        found = {str(name): _json_places(feature) for name, feature in described.items()}
        texts = {str(name) for name, feature in described.items() if dict(feature).get("_type") == "Value"}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}, set()
    return {name: place for name, place in found.items() if place is not None}, texts


def _json_places(feature: Any) -> Any:
    """`Json` where a value is JSON text; of a list [place of the items], of a struct {field: place}; None: nowhere."""
    if isinstance(feature, list):
        inside = _json_places(feature[0]) if len(feature) == 1 else None
        return None if inside is None else [inside]
    if not isinstance(feature, dict):
        return None
    kind = feature.get("_type")
    if kind == _JSON:
        return _JSON
    if isinstance(kind, str):
        inside = _json_places(feature.get("feature"))
        return None if inside is None else [inside]
    places = {name: place for name, one in feature.items() if (place := _json_places(one)) is not None}
    return places or None


def _json_parts(kind: pa.DataType) -> Any:
    """The same by Arrow types."""
    if isinstance(kind, pa.JsonType):
        return _JSON
    if pa.types.is_struct(kind):
        places = {field.name: place for field in kind if (place := _json_parts(field.type)) is not None}
        return places or None
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inside = _json_parts(kind.value_type)
        return None if inside is None else [inside]
    return None


def _items(feature: Any) -> Any:
    return feature[0] if isinstance(feature, list) else None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _loaded(text: str, failed: list[_Undecodable]) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        failed.append(_Undecodable(text, str(error)))
        return failed[-1]


def _undecodable(value: Any) -> _Undecodable | None:
    if isinstance(value, _Undecodable):
        return value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for one in inside if (found := _undecodable(one)) is not None), None)


def _shown(value: Any) -> Any:
    if isinstance(value, _Undecodable):
        return value.text
    if isinstance(value, dict):
        return {name: _shown(one) for name, one in value.items()}
    return [_shown(one) for one in value] if isinstance(value, list) else value


def _is_json(texts: list[Any], *, stated: bool = False) -> bool | None:
    """Whether texts are a `Json` column that lost its type: each is messages or a text in quotation marks.

    An answer may be JSON, and people quote. So every value has to be one of the two, and either some are messages or
    there are `_QUOTED_VALUES` of them and the table's features do not say that they are texts (`stated`). None where
    there is no value to tell by.
    """
    present = [text for text in texts if text is not None]
    if not present:
        return None
    messages = 0
    for text in present:
        start = text[:1]
        if start not in ('"', "[", "{"):
            return False
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            return False
        if isinstance(value, str):
            continue
        turns = value if isinstance(value, list) else [value]
        if not turns or not all(isinstance(turn, dict) and ("role" in turn or "from" in turn) for turn in turns):
            return False
        messages += 1
    return messages > 0 or (not stated and len(present) >= _QUOTED_VALUES)


def _without_text(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string(kind) or isinstance(kind, pa.JsonType):
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


def _as_text(kind: pa.DataType) -> pa.DataType:
    """The type with JSON as what it is stored as."""
    if isinstance(kind, pa.JsonType):
        return kind.storage_type
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _as_text(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_as_text(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_as_text(kind.value_type))
    return kind


def _with_text(value: Any, kind: pa.DataType, errors: str) -> Any:
    if value is None:
        return None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or isinstance(kind, pa.JsonType):
        return value.decode("utf-8", errors)
    if pa.types.is_struct(kind):
        return {field.name: _with_text(value.get(field.name), field.type, errors) for field in kind}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [_with_text(item, kind.value_type, errors) for item in value]
    return value
