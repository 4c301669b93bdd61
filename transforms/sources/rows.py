"""A raw row that knows what was read of it, so that what was not is named and counted and never silently lost."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson

from transforms.errors import RowError

MOST_NAMES: Final = 200  # of columns that a source's record tells apart; hostile rows have a new one each
OTHERS: Final = "(other columns)"


class Fields:
    """One raw object. An adapter asks for its fields by name; those that nobody asked for are `left`.

    Not a dict: there is no way to a value but by its name (`raw` is for hashes and for the quarantine).

    Attributes:
        raw: the object as it came.
        left: fields that were not read so far.
    """

    __slots__ = ("_inside", "_met", "_missed", "_notes", "left", "raw")

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.left = dict(raw)
        self._inside: list[tuple[str, Fields]] | None = None
        self._met: dict[str, None] | None = None
        self._missed: Counter[str] | None = None
        self._notes: Counter[str] | None = None

    @classmethod
    def of_rows(cls, rows: Sequence["Fields"], **known: Any) -> "Fields":
        """One row of several that a layout spread one prompt over; their fields stay columns.

        Args:
            rows: what `rows()` gives back.
            known: what was found out of them when they were put together.
        """
        whole = cls({**known, "rows": [row.raw for row in rows]})
        whole.left = {}
        whole._inside = [("", row) for row in rows]
        return whole

    def get(self, name: str, default: Any = None) -> Any:
        """The value, which counts as read."""
        self.left.pop(name, None)
        return self.raw.get(name, default)

    def __getitem__(self, name: str) -> Any:
        self.left.pop(name, None)
        return self.raw[name]

    def __contains__(self, name: object) -> bool:
        return name in self.raw

    def peek(self, name: str) -> Any:
        """The value, which does not count as read: for telling what a column is."""
        return self.raw.get(name)

    def rows(self) -> list["Fields"]:
        """The raw rows that `of_rows` put together."""
        return [row for path, row in self._inside or () if not path]

    def objects(self, name: str) -> list["Fields"]:
        """The objects of a list or of its JSON text. Each knows what was read of it; those left are `name[].field`.

        Raises:
            RowError: no list, or something in it that is no object.
        """
        value = opened(self.get(name))
        if not isinstance(value, list):
            message = f"{name} is {kind_of(value)}, expected a list"
            raise RowError(message)
        found = []
        for at, one in enumerate(value):
            if not isinstance(one, dict):
                message = f"{name}[{at}] is {kind_of(one)}, expected an object"
                raise RowError(message)
            found.append(self._child(f"{name}[].", one))
        return found

    def object(self, name: str) -> "Fields | None":
        """An object inside this one; fields left in it are `name.field`. None, and not read, where it is none."""
        value = self.raw.get(name)
        if not isinstance(value, dict):
            return None
        self.left.pop(name, None)
        return self._child(f"{name}.", value)

    def _child(self, path: str, raw: dict[str, Any]) -> "Fields":
        child = Fields(raw)
        if self._inside is None:
            self._inside = []
        self._inside.append((path, child))
        return child

    def met(self, path: str) -> None:
        """Say that a field inside a column was read."""
        if self._met is None:
            self._met = {}
        self._met[path] = None

    def missed(self, path: str) -> None:
        """Say that a field inside a column holds something and is not read."""
        if self._missed is None:
            self._missed = Counter()
        self._missed[path] += 1

    def note(self, words: str) -> None:
        """Count something that an adapter had to decide, for the report."""
        if self._notes is None:
            self._notes = Counter()
        self._notes[words] += 1

    @property
    def is_plain(self) -> bool:
        """Whether all there is was read, and nothing of it was inside a column: the usual row, told in no time."""
        return not (self.left or self._inside or self._met or self._missed or self._notes)

    def read_names(self, path: str = "") -> Iterator[str]:
        """Names of what was read."""
        if path or not self.rows():
            yield from (path + name for name in self.raw if name not in self.left)
        yield from (path + name for name in self._met or ())
        for inner, child in self._inside or ():
            yield from child.read_names(path + inner)

    def unread_names(self, path: str = "") -> Iterator[str]:
        """Names of what was not read and is not null, once for each value."""
        yield from (path + name for name, value in self.left.items() if value is not None)
        if self._missed:
            yield from (path + name for name in self._missed.elements())
        for inner, child in self._inside or ():
            yield from child.unread_names(path + inner)

    def notes(self) -> Mapping[str, int]:
        """What was noted, here and inside."""
        found = Counter(self._notes or ())
        for _, child in self._inside or ():
            found.update(child.notes())
        return found


class Columns:
    """What was read of a source's rows and what was not.

    Attributes:
        read: names of fields that were read in some row, in the order in which they came.
        unread: name → values that are not null and were not read, in rows that became pairs.
        aside: likewise of rows that became none: nobody knows what would have been read of them.
        notes: what adapters had to decide → how often.
    """

    def __init__(self) -> None:
        self.read: dict[str, None] = {}
        self.unread: Counter[str] = Counter()
        self.aside: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self._plain: set[tuple[str, ...]] = set()

    def add(self, row: Fields) -> None:
        """Count a row that became pairs."""
        if row.is_plain:
            names = tuple(row.raw)
            if names not in self._plain and len(self._plain) < MOST_NAMES:
                self._plain.add(names)
                self._reads(names)
        else:
            self._reads(row.read_names())
            for name in row.unread_names():
                _count(self.unread, name, 1)
            self.notes.update(row.notes())

    def put_aside(self, row: Fields) -> None:
        """Count a row that became no pair."""
        for name in row.unread_names():
            _count(self.aside, name, 1)

    def update(self, other: "Columns") -> None:
        """Add what another count has."""
        self._reads(other.read)
        self.notes.update(other.notes)
        for mine, theirs in ((self.unread, other.unread), (self.aside, other.aside)):
            for name, count in theirs.items():
                _count(mine, name, count)

    def unread_values(self) -> dict[str, int]:
        """Name → values that are not null and were not read, the most first.

        A row that could not be used lies whole in the quarantine; its values count under names that other rows showed
        to be unread.
        """
        whole = {name: count + self.aside[name] for name, count in self.unread.items()}
        return dict(sorted(whole.items(), key=lambda item: (-item[1], item[0])))

    def _reads(self, names: "Iterator[str] | Sequence[str] | Mapping[str, None]") -> None:
        for name in names:
            if name not in self.read:
                self.read[name if len(self.read) < MOST_NAMES else OTHERS] = None


def _count(counts: Counter[str], name: str, values: int) -> None:
    counts[name if name in counts or len(counts) < MOST_NAMES else OTHERS] += values


def opened(value: Any) -> Any:
    """A list or an object instead of its JSON text, as tables without lists hold them."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(value)
    return value


def kind_of(value: object) -> str:
    """What a raw value is, for an error."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return f"{value!r}" if isinstance(value, int | float) else type(value).__name__
