"""A row a line of JSON, such that `datasets.load_dataset("json", …)` gives each row as it was written.

Two traps. Some readers split lines at U+2028, U+2029 and U+0085, so these are escaped. And datasets 5.2 takes its
columns from the first 10 MB: rows of one shape become a struct, and a later row with another field in a message ends in
an error. Where the first 10 MB have messages with different fields, they become JSON, which takes any. So the first row
of each shape stands at the start of the file.
"""

import json
import re
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

_SPLITTING: Final = re.compile("[\x85\u2028\u2029]")


def json_line(row: dict[str, Any]) -> bytes:
    """The row as one line of UTF-8, whatever splits it.

    Raises:
        ValueError: it holds half a surrogate pair (UnicodeEncodeError), NaN or an infinity.
    """
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _SPLITTING.sub(lambda match: f"\\u{ord(match.group()):04x}", text).encode() + b"\n"


class LineWriter:
    """Rows of one file; left by an exception, it leaves no file."""

    def __init__(self, path: Path, *, structured: bool) -> None:
        """
        Args:
            path: of the file.
            structured: whether rows may differ in their fields; those that show new ones come first.
        """
        self.rows = 0
        self._path, self._structured = path, structured
        self._rest = path.with_name(f".{path.name}.rest")
        self._shapes: set[frozenset[str]] = set()
        self._first_file = path.open("wb")
        self._rest_file = self._rest.open("wb")

    def write(self, row: dict[str, Any]) -> None:
        """One more line.

        Raises:
            ValueError: as `json_line`; nothing of the row is written.
        """
        line = json_line(row)
        sink = self._rest_file
        if self._structured and (shape := frozenset(_shape(row))) not in self._shapes:
            self._shapes.add(shape)
            sink = self._first_file
        sink.write(line)
        self.rows += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._rest_file.close()
        if kind is None:
            with self._rest.open("rb") as rest:
                shutil.copyfileobj(rest, self._first_file)
        self._first_file.close()
        self._rest.unlink()
        # No reader takes a file without rows.
        if kind is not None or not self.rows:
            self._path.unlink()


def _shape(value: Any, at: str = "") -> set[str]:
    """Where in a row there is what: `.chosen[].tool_calls[].function.name str`."""
    if isinstance(value, dict):
        return {f"{at} dict"}.union(*(_shape(item, f"{at}.{key}") for key, item in value.items()))
    if isinstance(value, list):
        return {f"{at} list"}.union(*(_shape(item, f"{at}[]") for item in value))
    return {f"{at} {type(value).__name__}"}
