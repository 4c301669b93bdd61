"""Pairs to read: which ones, and what the page needs of each."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any, Literal, NamedTuple, Self

import polars as pl

from transforms.report.slices import slices
from transforms.text import Segment, clip, cut_tail


@dataclass(frozen=True, slots=True)
class Example:
    """One pair with its texts. Field names are the columns of dataset/ and dropped/.

    Attributes:
        chosen: what the kept tokens decode to; `chosen_full` is the original.
        chosen_cut: whether the kept tokens lack the end-of-turn.
        chosen_tokens: of the whole response, end-of-turn included; `chosen_keep` of them are used.
        consistency: None where nothing was measured.
    """

    pair_id: str
    source: str
    verdict: str
    reason: str | None
    prompt: Sequence[Mapping[str, str]] = field(repr=False)
    chosen_full: str = field(repr=False)
    rejected_full: str = field(repr=False)
    chosen: str = field(repr=False)
    rejected: str = field(repr=False)
    chosen_cut: bool
    rejected_cut: bool
    chosen_tokens: int
    rejected_tokens: int
    chosen_keep: int
    rejected_keep: int
    reward_chosen: float | None = None
    reward_rejected: float | None = None
    consistency: float | None = None
    consistency_low: float | None = None
    consistency_high: float | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From one row of dataset/ or dropped/ (schema.CURATED) as a dict."""
        names = [name for name in cls.__dataclass_fields__ if not name.endswith("_tokens")]
        fields = {name: row[name] for name in names}
        return cls(**fields, chosen_tokens=len(row["chosen_ids"]), rejected_tokens=len(row["rejected_ids"]))


class Side(NamedTuple):
    """One response as the page draws it: the kept text, the mark, the tail that was cut."""

    name: str
    kept: Segment
    tail: Segment
    mark: str
    cut: bool
    reward: float | None


def choose_examples(rows: pl.DataFrame | pl.LazyFrame, count: int = 20, seed: int = 0) -> list[str]:
    """Pair ids worth reading: kept and dropped, high and low consistency, cut and whole, in turn.

    The same rows in any order and the same seed give the same ids. Within a kind of pair the choice is by
    hash, so nothing is picked for being pretty. Duplicates share the id of the pair they repeat and are
    left out.

    Args:
        rows: one scalar row a pair. A LazyFrame comes sorted by pair id, as a run writes it, and is never held whole.
        count: most ids.
        seed: of the choice.
    """
    kinds: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for some in _once_each(rows.sort("pair_id").lazy() if isinstance(rows, pl.DataFrame) else rows):
        for pair_id, verdict, reason, consistency, chosen_cut, rejected_cut in some.iter_rows():
            drawn = hashlib.sha256(f"{seed}:{pair_id}".encode()).hexdigest()
            kind = f"{_band(consistency, reason)} {'cut' if chosen_cut or rejected_cut else 'whole'}"
            kinds[verdict, kind].append((drawn, pair_id))
        for key, found in kinds.items():
            kinds[key] = nsmallest(count, found)
    queues = {
        verdict: _in_turn([kinds[key] for key in sorted(kinds) if key[0] == verdict])
        for verdict in sorted({key[0] for key in kinds}, reverse=True)  # keep before drop
    }
    return [pair_id for _, pair_id in _in_turn(list(queues.values()))][:count]


def _once_each(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """The row of each pair id that counts, of rows sorted by it, some at a time."""
    held: list[pl.DataFrame] = []  # the last one, of whose id the next slice may have more
    for some in slices(rows.select("pair_id", "verdict", "reason", "consistency", "chosen_cut", "rejected_cut")):
        ranked = pl.concat([*held, some]).sort("pair_id", pl.col("verdict") != "keep", "reason")
        first = ranked.unique("pair_id", keep="first", maintain_order=True)
        held = [first.tail(1)]
        yield first.head(-1)
    yield from held


def _band(consistency: float | None, reason: str | None) -> str:
    if consistency is None:
        return reason or "unmeasured"
    return "low" if consistency < 0.5 else "high" if consistency >= 0.75 else "middle"


def _in_turn(queues: Sequence[Sequence[tuple[str, str]]]) -> list[tuple[str, str]]:
    """The first of each queue, then the second of each, until all are empty."""
    longest = max(map(len, queues), default=0)
    return [queue[at] for at in range(longest) for queue in queues if at < len(queue)]


def sides(example: Example) -> list[Side]:
    """Chosen and rejected, ready to draw."""
    return [_side(example, "chosen"), _side(example, "rejected")]


def _side(example: Example, name: Literal["chosen", "rejected"]) -> Side:
    full, kept = getattr(example, f"{name}_full"), getattr(example, name)
    keep, tokens = getattr(example, f"{name}_keep"), getattr(example, f"{name}_tokens")
    cut = getattr(example, f"{name}_cut")
    tail = cut_tail(full, kept) if keep < tokens else ""
    if not cut:
        mark = f"whole: {tokens:,} tokens, end-of-turn kept"
    elif keep >= tokens:
        mark = f"all {tokens:,} tokens, but it never ended: no end-of-turn"
    elif not tail:
        mark = f"✂ {keep:,} tokens kept of {tokens:,}: only the end-of-turn is gone"
    else:
        mark = f"✂ {keep:,} tokens kept of {tokens:,}, no end-of-turn"
    return Side(
        name=name,
        kept=clip(kept, head=2400, tail=1200),
        tail=clip(tail, head=1800, tail=300),
        mark=mark,
        cut=cut,
        reward=getattr(example, f"reward_{name}"),
    )
