"""Which part of a ledger holds which request: twenty bytes an answer, and no file is read to know it.

An id is its 128 bits, kept as two numbers. 32 hexadecimal digits, as all ids of `requests` have, are their own bits;
any other text counts by its hash.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint64]

_DIGITS: Final = 32
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]*")  # as hexdigest writes it: of two spellings one would be lost


class Found(NamedTuple):
    """Answers of ids that were asked for; an id that two parts hold is in it twice."""

    asked: npt.NDArray[np.intp]  # place in the list that was asked
    parts: npt.NDArray[np.uint32]


class _Run(NamedTuple):
    """Answers in the order of the first 64 bits."""

    high: Bits
    low: Bits
    parts: npt.NDArray[np.uint32]

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "_Run":
        return _Run(self.high[rows], self.low[rows], self.parts[rows])

    def sorted(self) -> "_Run":
        return self.take(np.argsort(self.high, kind="stable"))

    def joined(self, other: "_Run") -> "_Run":
        return _Run(
            np.concatenate([self.high, other.high]),
            np.concatenate([self.low, other.low]),
            np.concatenate([self.parts, other.parts]),
        ).sorted()

    def find(self, high: Bits, low: Bits) -> Found:
        first = np.searchsorted(self.high, high, "left")
        counts = np.searchsorted(self.high, high, "right") - first
        asked = np.repeat(np.arange(len(high)), counts)
        before = np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.repeat(first, counts) + np.arange(len(asked)) - before
        same = self.low[rows] == low[asked]
        return Found(asked[same], self.parts[rows[same]])


class LedgerIndex:
    """Ids and the parts that hold them, by the parts' numbers.

    Runs of equal order are merged when the last is more than half as long as the one before it, so adding n answers one
    batch after the other sorts each of them log n times, and looking up asks log n runs.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def __len__(self) -> int:
        """Answers; one that two parts hold counts twice."""
        return sum(len(run.high) for run in self._runs)

    def add(self, bits: tuple[Bits, Bits], part: int) -> None:
        """Note that a part holds the ids of these bits, as `bits_of` gives them."""
        runs = [*self._runs, _Run(*bits, np.full(len(bits[0]), part, np.uint32)).sorted()]
        while len(runs) > 1 and 2 * len(runs[-1].high) > len(runs[-2].high):
            last, before = runs.pop(), runs.pop()
            runs.append(before.joined(last))
        self._runs = runs  # at once: other threads look up meanwhile

    def find(self, request_ids: Sequence[str]) -> Found:
        """Where these are."""
        high, low = bits_of(request_ids)
        found = [run.find(high, low) for run in self._runs]
        if not found:
            return Found(np.empty(0, np.intp), np.empty(0, np.uint32))
        return Found(np.concatenate([one.asked for one in found]), np.concatenate([one.parts for one in found]))

    def forget(self, parts: Sequence[int]) -> None:
        """Leave out the answers of parts that are gone."""
        gone = np.array(parts, np.uint32)
        self._runs = [run.take(~np.isin(run.parts, gone)) for run in self._runs]


def bits_of(request_ids: Sequence[str]) -> tuple[Bits, Bits]:
    """The first and the last 64 bits of ids, (ids,) each."""
    text = "".join(request_ids)
    plain = len(text) == _DIGITS * len(request_ids) and _HEXADECIMAL.fullmatch(text)
    if plain and set(map(len, request_ids)) <= {_DIGITS}:
        data = bytes.fromhex(text)
    else:
        data = b"".join(_bits(one) for one in request_ids)
    numbers = np.frombuffer(data, ">u8").reshape(-1, 2)
    return numbers[:, 0].astype(np.uint64), numbers[:, 1].astype(np.uint64)


def _bits(request_id: str) -> bytes:
    if len(request_id) == _DIGITS and _HEXADECIMAL.fullmatch(request_id):
        return bytes.fromhex(request_id)
    return blake2b(request_id.encode(), digest_size=16).digest()
