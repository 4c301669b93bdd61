"""What a source kind is, and how a raw row is hashed and shown.

A kind's `adapt` reads a row through `rows.Fields`, its messages through `messages`, and makes its pairs with
`fields.pair`, which reads what any row may say beside its texts.
"""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

import orjson

from transforms.sources.about import About
from transforms.sources.canonical import Adapted
from transforms.sources.options import SourceOptions
from transforms.sources.rows import Fields

Row = dict[str, Any]
Options = TypeVar("Options", bound=SourceOptions)

SHOWN_TEXT_CHARS: Final = 20_000  # of one text in quarantine.jsonl
MAX_DEPTH: Final = 64  # JSON may nest 1,024 deep, which is more than Python's stack allows


class BadRow(NamedTuple):
    """A raw row that could not even be read.

    Attributes:
        error: what is wrong with it.
        row: as much of it as can be shown: escaped text, or a dict with bytes where text was broken.
        row_hash: of its whole raw content.
    """

    error: str
    row: Any
    row_hash: str


def as_they_come(rows: Iterable[Fields | BadRow], options: SourceOptions) -> Iterator[Fields | BadRow]:
    """Pass rows on: nearly every layout holds a whole pair in each."""
    yield from rows


@dataclass(frozen=True, slots=True)
class SourceKind(Generic[Options]):
    """One dataset family.

    Attributes:
        options: its keys in a recipe.
        required: columns without which no row can be adapted; of `a or b` either will do.
        looks_like: whether a raw row is laid out this way; for naming the right kind in an error.
        adapt: one row to its pairs. Raises RowError. What it does not ask the row for is reported as unread. No
            pairs is for gathered rows that are good and have none together: a note must count each of them.
        about: where its public sets are, and under which terms.
        gather: puts rows together (`Fields.of_rows`) where a layout spreads one prompt over several.
    """

    options: type[Options]
    required: frozenset[str]
    looks_like: Callable[[Row], bool]
    adapt: Callable[[Fields, Options], Adapted]
    about: About
    gather: Callable[[Iterable[Fields | BadRow], Options], Iterator[Fields | BadRow]] = as_they_come

    def missing(self, columns: Container[str]) -> list[str]:
        """Required columns that are not among these."""
        return sorted(one for one in self.required if not any(name in columns for name in one.split(" or ")))


def row_hash(row: Row) -> str:
    """Return 16 hex digits over the row's content, whatever order its keys are in."""
    try:
        content = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # bytes, lone surrogates, numbers over 64 bits, deep nesting: rare, and far slower
        content = json.dumps(json_safe(row, max_chars=sys.maxsize), sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def json_safe(value: Any, *, max_chars: int = SHOWN_TEXT_CHARS, depth: int = 0) -> Any:
    """Return `value` as strict JSON can hold it: broken text escaped, long text shortened, NaN as text."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        if len(value) > max_chars:
            value = f"{value[:max_chars]}… [{len(value) - max_chars:,} more characters]"
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict | list | tuple) and depth >= MAX_DEPTH:
        return "… nested deeper"
    if isinstance(value, dict):
        return {
            json_safe(str(key)): json_safe(item, max_chars=max_chars, depth=depth + 1) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [json_safe(item, max_chars=max_chars, depth=depth + 1) for item in value]
    return json_safe(repr(value), max_chars=max_chars)
