"""Labelled pairs for an evaluation: read from their sources, and in the tokens of the model that is to read them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from flows.runtime.progress import Progress
from flows.versions.output_folder import write_text
from flows.versions.run_record import quarantine_line
from flows.versions.source_account import SourceAccount
from transforms.chat.tokens import ChatTokens
from transforms.errors import SourceError
from transforms.evaluation.accuracies import Groups
from transforms.preparation.prepare import prepare, quarantine
from transforms.preparation.truncation import Truncation
from transforms.records.evaluation import Counts
from transforms.records.manifest import SourceRecord
from transforms.sources.load import Quarantined, load_batches
from transforms.sources.options import SourceOptions
from transforms.statistics.intervals import Ints
from transforms.tables.ragged import Ragged
from transforms.tables.schema import PAIRS, PROMPT_DIGITS, SIDES

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """Pairs with an order that a model can get right or wrong."""

    pairs: pa.Table  # schema.PAIRS, whole responses
    subsets: tuple[str | None, ...]

    def groups(self) -> Groups:
        """What each pair belongs to."""
        prompts = [key[:PROMPT_DIGITS] for key in self.pairs["pair_id"].to_pylist()]
        return Groups(self.pairs["source"].to_pylist(), self.subsets, prompts)


class Loaded(NamedTuple):
    """What the sources held."""

    labelled: LabelledPairs
    counts: Counts
    quarantined: list[Quarantined]


class Tokenised(NamedTuple):
    """Pairs in a model's own tokens."""

    pairs: pa.Table  # schema.TRUNCATED, nothing cut
    rows: Ints  # of each in the labelled pairs
    quarantined: list[Quarantined]


class Evaluated(NamedTuple, Generic[Result]):
    """What a model made of the pairs, and those that had to be left out of it."""

    result: Result
    quarantined: list[Quarantined]


def load_pairs(sources: Sequence[SourceOptions], records: Sequence[SourceRecord], progress: Progress) -> Loaded:
    """Read every source whole; records get their counts.

    Raises:
        SourceError: a source that cannot be read, or no pair that has an order.
    """
    tables: list[pa.Table] = []
    subsets: list[str | None] = []
    quarantined: list[Quarantined] = []
    left_out: Counter[str] = Counter()
    for source, record in zip(sources, records, strict=True):
        account = SourceAccount(record)
        with progress.bar(f"load {record.label}", unit="rows") as advance:
            for batch in load_batches(account.pinned(source)):
                reasons = batch.pairs["reason"].to_pylist()
                usable = [reason is None for reason in reasons]
                tables.append(batch.pairs.filter(pa.array(usable, pa.bool_())))
                subsets += [subset for subset, use in zip(batch.subsets, usable, strict=True) if use]
                left_out.update(reason for reason in reasons if reason is not None)
                quarantined += batch.quarantined
                account.add(batch)
                advance(batch.raw_rows)
        account.close()
    pairs = pa.concat_tables([PAIRS.empty_table(), *tables]).combine_chunks()
    counts = Counts(
        raw_rows=sum(record.raw_rows for record in records),
        read=sum(record.pairs for record in records),
        loaded=len(pairs),
        left_out=dict(left_out.most_common()),
        quarantined=len(quarantined),
    )
    if not len(pairs):
        why = "; ".join(row.error for row in quarantined[:3]) or ", ".join(left_out)
        message = f"no pair to evaluate among {counts.read:,} read: {why}"
        raise SourceError(message)
    return Loaded(LabelledPairs(pairs, tuple(subsets)), counts, quarantined)


def no_pairs() -> Loaded:
    """Of an evaluation without sources."""
    counts = Counts(raw_rows=0, read=0, loaded=0, left_out={}, quarantined=0)
    return Loaded(LabelledPairs(PAIRS.empty_table(), ()), counts, [])


def tokenise(labelled: LabelledPairs, chat: ChatTokens, context: int | None) -> Tokenised:
    """Whole responses as token ids; a pair that does not fit into the context is quarantined, never cut.

    Args:
        labelled: pairs of text.
        chat: tokenizer and chat template of the model that will read them.
        context: tokens that it reads; None for no limit.
    """
    prepared = prepare(labelled.pairs, chat, Truncation(method="none"), max_length=None)
    table, bad = prepared.pairs, list(prepared.quarantined)
    lengths = {part: Ragged.from_arrow(table[f"{part}_ids"]).lengths for part in ("prompt", *SIDES)}
    total = lengths["prompt"] + np.maximum(lengths["chosen"], lengths["rejected"])
    fits = np.ones(len(table), bool) if context is None else total <= context
    for row in np.flatnonzero(~fits).tolist():
        why = (
            f"prompt and longer response have {total[row]} tokens and the model reads {context}: leave the pair out, "
            "or use a model with a longer context"
        )
        bad.append(quarantine(table, row, why))
    return Tokenised(table.filter(pa.array(fits)).combine_chunks(), prepared.rows[fits], bad)


def write_quarantine(path: Path, rows: Iterable[Quarantined]) -> None:
    """quarantine.jsonl, one row a line."""
    write_text(path, "".join(map(quarantine_line, rows)))
