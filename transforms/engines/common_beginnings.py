"""Which conversations begin alike, so that what they share is read once: completions of one prefix, both responses."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

_WORTH: Final = 0.8  # a group is read together where that leaves at most so much of its tokens to read
_LEAST: Final = 16  # common tokens that are worth a second forward pass


class Group(NamedTuple):
    """Rows that share their first `common` tokens, the shortest first; each has at least one more."""

    rows: tuple[int, ...]
    common: int


class Nest(NamedTuple):
    """A row, and others that are beginnings of it, so that who reads it reads them."""

    host: int
    inner: tuple[int, ...]


class _Rows:
    """Rows in the order of their tokens, each as bytes: four a token, the highest first, so that they sort alike."""

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self._keys = [np.asarray(row, ">u4").tobytes() for row in rows]
        self.order = sorted(range(len(rows)), key=self._keys.__getitem__)

    def tokens(self, row: int) -> npt.NDArray[np.uint32]:
        found: npt.NDArray[np.uint32] = np.frombuffer(self._keys[row], ">u4")
        return found

    def begins(self, row: int, other: int) -> bool:
        """Whether `row` is the beginning of another one, or equal to it."""
        return self._keys[other].startswith(self._keys[row])

    def common(self, one: int, other: int) -> int:
        """Tokens that two rows begin with alike."""
        a, b = self.tokens(one), self.tokens(other)
        length = min(len(a), len(b))
        apart = np.flatnonzero(a[:length] != b[:length])
        return int(apart[0]) if len(apart) else length


def nests_of(rows: Sequence[Sequence[int]]) -> tuple[list[Nest], list[int]]:
    """Rows with others that are their beginnings, and the rows that are in no nest, in order."""
    known = _Rows(rows)
    host: dict[int, int] = {}
    # What begins with a row comes right behind it: where the next one does not, none does.
    for before, after in zip(known.order[-2::-1], known.order[:0:-1], strict=True):
        into = host.get(after, after)
        if len(rows[before]) < len(rows[into]) and known.begins(before, after):
            host[before] = into
    inner: dict[int, list[int]] = {}
    for row, into in host.items():
        inner.setdefault(into, []).append(row)
    nests = [Nest(into, tuple(sorted(inner[into]))) for into in sorted(inner)]
    return nests, [row for row in range(len(rows)) if row not in host and row not in inner]


def groups_of(rows: Sequence[Sequence[int]]) -> tuple[list[Group], list[int]]:
    """What is read together, and the rows that are read alone, in order.

    Rows are sorted by their tokens, so those that begin alike lie side by side, and a group takes the next row as long
    as it saves more with it than without.
    """
    known = _Rows(rows)
    order = known.order
    groups: list[Group] = []
    alone: list[int] = []
    start = 0
    while start < len(order):
        end, common = start + 1, len(rows[order[start]]) - 1
        while end < len(order):
            shared = min(common, known.common(order[start], order[end]), len(rows[order[end]]) - 1)
            if shared < _LEAST or (end - start) * shared < (end - start - 1) * common:
                break
            end, common = end + 1, shared
        mine = order[start:end]
        whole = sum(len(rows[row]) for row in mine)
        if len(mine) > 1 and whole - (len(mine) - 1) * common <= _WORTH * whole:
            groups.append(Group(tuple(sorted(mine, key=lambda row: (len(rows[row]), row))), common))
        else:
            alone += mine
        start = end
    return groups, sorted(alone)


def alike_together(rows: Sequence[Sequence[int]]) -> list[int]:
    """An order in which rows that begin alike follow one another, in groups that rise in length with lone rows.

    Batches cut from it share what they can and pad little. Within a group lengths rise too: a long system prompt makes
    one group of a whole dataset, which is then in the order of its lengths.
    """
    groups, alone = groups_of(rows)
    units = [group.rows for group in groups] + [(row,) for row in alone]
    units.sort(key=lambda unit: (len(rows[unit[-1]]), unit[0]))
    return [row for unit in units for row in unit]
