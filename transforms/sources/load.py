"""A source's options → tables of canonical pairs, a few thousand at a time, with nothing lost on the way.

Every raw row ends as a pair, a pair with a `reason`, or an entry for quarantine.jsonl.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, Final, NamedTuple

import pyarrow as pa

from transforms.choices import ForeignTemplate
from transforms.errors import RowError, SourceError
from transforms.sources.adapter import BadRow, Row, SourceKind, json_safe, row_hash
from transforms.sources.canonical import (
    Adapted,
    Pair,
    Prompt,
    check_prompt,
    check_text,
    content_hash,
    validate,
)
from transforms.sources.fields import TIE
from transforms.sources.kinds import EVALUATED, KINDS, SOURCES
from transforms.sources.marks import Found, Leaks, find_marks
from transforms.sources.options import SourceOptions
from transforms.sources.read import read_rows
from transforms.sources.rows import Columns, Fields
from transforms.tables.schema import MESSAGE, PAIRS, RESPONSES

STAGE: Final = "load"
PEEKED_ROWS: Final = 32
MARKED_PAIRS: Final = 512  # that are looked through for marks together, and whose raw rows are held until then
FOREIGN_TEMPLATE: Final = "foreign_template"
# Words of the report: `ratings: 12 pairs whose scores …`.
OTHER_WAY: Final = "pairs whose scores say the other way (the rejected side's is higher): the label counts"
BATCH_CHARS: Final = 64 << 20  # a batch of very long rows is cut here, so that memory stays bounded


class Quarantined(NamedTuple):
    """A row that cannot be used, as a line of quarantine.jsonl: `row` is safe for JSON."""

    stage: str
    source: str
    source_id: str
    error: str
    row: Any


class SourceBatch(NamedTuple):
    """Some pairs of one source.

    Attributes:
        pairs: columns of schema.PAIRS.
        responses: columns of schema.RESPONSES; None where the kind has no more than the pairs.
        quarantined: rows, or single pairs of a row, that cannot be used.
        raw_rows: rows read since the batch before.
        subsets: the part of the source that each pair belongs to; for evaluations, in no table.
        columns: what was read of the rows, and what was not.
        leaks: marks of chat templates in the texts of the pairs.
    """

    pairs: pa.Table
    responses: pa.Table | None
    quarantined: list[Quarantined]
    raw_rows: int
    subsets: list[str | None]
    columns: Columns
    leaks: Leaks


def load_batches(
    options: SourceOptions, *, batch_rows: int = 4096, foreign_template: ForeignTemplate = "keep"
) -> Iterator[SourceBatch]:
    """Yield the source's pairs in batches of about `batch_rows`, in the order of the rows.

    `weight`, ties and marks of foreign templates set `reason` and remove nothing. A pair whose scores contradict its
    label stays as it is labelled, and the batch's notes count it.

    Args:
        options: of the source. Without a label of its own it is called by its kind.
        batch_rows: pairs, at about which a batch ends.
        foreign_template: what becomes of pairs whose texts hold marks of a chat template.

    Raises:
        SourceError: missing, unreadable, empty, or its rows do not fit the kind.
    """
    kind = SOURCES[options.kind_name]
    rows = read_rows(options)
    head = list(islice(rows, PEEKED_ROWS))
    check_rows(head, options)
    counter = RowCounter(chain(head, rows))
    batch = _Batch(options, foreign_template)
    for row in kind.gather(counter, options):
        batch.add(row, kind)
        if len(batch.pairs) >= batch_rows or batch.chars >= BATCH_CHARS or len(batch.quarantined) >= batch_rows:
            yield batch.finish(counter.take())
            batch = _Batch(options, foreign_template)
    rest = batch.finish(counter.take())
    if rest.raw_rows or rest.pairs.num_rows or rest.quarantined:
        yield rest


class RowCounter:
    """Passes rows on, each so that it knows what is read of it, and knows how many since the last `take`."""

    def __init__(self, rows: Iterable[Row | BadRow]) -> None:
        self._rows = iter(rows)
        self._seen = 0

    def __iter__(self) -> Iterator[Fields | BadRow]:
        return self

    def __next__(self) -> Fields | BadRow:
        row = next(self._rows)
        self._seen += 1
        return row if isinstance(row, BadRow) else Fields(row)

    def take(self) -> int:
        """Rows since the last call."""
        seen, self._seen = self._seen, 0
        return seen


def check_rows(head: list[Row | BadRow], options: SourceOptions) -> None:
    """Refuse a source whose first rows do not fit its kind.

    Raises:
        SourceError: no rows, missing columns, or another kind's layout.
    """
    if not head:
        message = f"{options.path}: no rows"
        raise SourceError(message)
    rows = [row for row in head if not isinstance(row, BadRow)]
    if not rows:
        return
    kind_name = options.kind_name
    kind = KINDS[kind_name]
    columns = {name for row in rows for name in row}
    missing = kind.missing(columns)
    likely = [name for name, other in EVALUATED.items() if any(other.looks_like(row) for row in rows)]
    if not missing and (kind_name in likely or not likely):
        return
    problem = f"missing columns: {', '.join(missing)}" if missing else "its columns hold something else"
    advice = f"; it looks like kind {' or '.join(likely)}" if likely else "; it looks like none of the known kinds"
    message = (
        f"{options.path} is not of kind {kind_name}: {problem};"
        f" found columns: {', '.join(sorted(map(str, columns)))}{'' if likely == [kind_name] else advice}"
    )
    raise SourceError(message)


@dataclass
class _Batch:
    """Columns that grow: a table made of lists of plain values is ten times faster than one of dicts."""

    options: SourceOptions
    foreign_template: ForeignTemplate
    pairs: list[Pair] = field(default_factory=list)
    pair_ids: list[str] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)
    responses: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in RESPONSES.names})
    quarantined: list[Quarantined] = field(default_factory=list)
    columns: Columns = field(default_factory=Columns)
    leaks: Leaks = field(default_factory=Leaks)
    chars: int = 0
    unmarked: list[Row] = field(default_factory=list)  # of the last pairs, which were not looked through yet

    @property
    def label(self) -> str:
        return self.options.label or self.options.kind_name

    def add(self, row: Fields | BadRow, kind: SourceKind[Any]) -> None:
        if isinstance(row, BadRow):
            self.quarantined.append(Quarantined(STAGE, self.label, row.row_hash, row.error, json_safe(row.row)))
            return
        try:
            adapted = kind.adapt(row, self.options)
            if adapted.responses:
                self._add_responses(adapted)
        except RowError as error:
            self.columns.put_aside(row)
            self._quarantine(row_hash(row.raw), error, row.raw)
            return
        good = not adapted.pairs  # then its notes say what became of its rows
        for pair in adapted.pairs:
            try:
                validate(pair)
                check_text(pair.source_id, "source_id")
            except RowError as error:
                self._quarantine(pair.source_id, error, row.raw)
            else:
                self._add_pair(pair, row)
                good = True
        if good:
            self.columns.add(row)
        else:
            self.columns.put_aside(row)

    def finish(self, raw_rows: int) -> SourceBatch:
        self._mark()
        responses = None
        if self.responses["prompt_id"]:
            columns = dict(self.responses)
            prompts = prompt_array(columns.pop("prompt"))
            arrays = {name: pa.array(values, RESPONSES.field(name).type) for name, values in columns.items()}
            arrays["prompt"] = prompts
            responses = pa.table([arrays[name] for name in RESPONSES.names], schema=RESPONSES)
        subsets = [pair.subset for pair in self.pairs]
        table = self._pairs_table()
        return SourceBatch(table, responses, self.quarantined, raw_rows, subsets, self.columns, self.leaks)

    def _quarantine(self, source_id: str, error: RowError | str, row: Row) -> None:
        line = Quarantined(STAGE, self.label, json_safe(source_id), str(error), json_safe(row))
        self.quarantined.append(line)

    def _add_pair(self, pair: Pair, row: Fields) -> None:
        ids = pair.ids
        reason = pair.reason
        if pair.chosen_score is not None and pair.rejected_score is not None:
            if reason is None and pair.chosen_score == pair.rejected_score:
                reason = TIE
            elif pair.chosen_score < pair.rejected_score:  # where the label is the layout's, scores may disagree
                row.note(OTHER_WAY)
        if reason is None and self.options.weight < 1 and not within(ids.pair, self.options.weight):
            reason = "weight"
        self.pair_ids.append(ids.pair)
        self.pairs.append(pair)
        self.reasons.append(reason)
        self.chars += len(pair.chosen) + len(pair.rejected)
        self.unmarked.append(row.raw)
        if len(self.unmarked) >= MARKED_PAIRS:
            self._mark()

    def _mark(self) -> None:
        """Look through the texts of the last pairs for what is not text and for marks of templates."""
        start = len(self.pairs) - len(self.unmarked)
        rows, self.unmarked = self.unmarked, []
        found = find_marks(self.pairs[start:])
        gone = [start + at for at in sorted(found) if not self._stays(start + at, found[at], rows[at])]
        for at in reversed(gone):
            del self.pairs[at], self.pair_ids[at], self.reasons[at]

    def _stays(self, at: int, found: Found, row: Row) -> bool:
        """Count marks, and do with the pair what the recipe says; False where it went to the quarantine."""
        problem = found.placeholder
        if found.leaks and problem is None:
            self.leaks.add(self.pair_ids[at], found.leaks)
            if self.foreign_template == "quarantine":
                leak = found.leaks[0]
                problem = (
                    f"{leak.side} holds {', '.join(leak.marks)} of a chat template ({leak.family}); clean the text"
                )
            elif self.foreign_template == "drop" and self.reasons[at] is None:
                self.reasons[at] = FOREIGN_TEMPLATE
        if problem is not None:
            self._quarantine(self.pairs[at].source_id, problem, row)
        return problem is None

    def _add_responses(self, adapted: Adapted) -> None:
        check_prompt(adapted.prompt)
        source_id = adapted.pairs[0].source_id
        check_text(source_id, "source_id")
        rows = self.responses
        for one in adapted.responses:
            rows["model"].append(None if one.model is None else json_safe(one.model))
            rows["response_index"].append(one.index)
            text = one.text if one.text.isascii() else json_safe(one.text, max_chars=sys.maxsize)
            rows["response"].append(text)
            rows["score"].append(one.score)
            rows["finished"].append(one.finished)
            self.chars += len(one.text)
        count = len(adapted.responses)
        prompted = replace(adapted.pairs[0], chosen_more="", rejected_more="")
        rows["prompt_id"] += [prompted.ids.prompt] * count
        rows["structure"] += [prompted.structure] * count
        rows["prompt"] += [adapted.prompt] * count
        rows["source"] += [self.label] * count
        rows["source_id"] += [source_id] * count

    def _pairs_table(self) -> pa.Table:
        pairs = self.pairs
        columns = {
            "pair_id": self.pair_ids,
            "source": [self.label] * len(pairs),
            "source_id": [pair.source_id for pair in pairs],
            "chosen": [pair.chosen for pair in pairs],
            "rejected": [pair.rejected for pair in pairs],
            "chosen_finished": [pair.chosen_finished for pair in pairs],
            "rejected_finished": [pair.rejected_finished for pair in pairs],
            "chosen_score": [pair.chosen_score for pair in pairs],
            "rejected_score": [pair.rejected_score for pair in pairs],
            "reason": self.reasons,
            "structure": [pair.structure for pair in pairs],
            "given_prompt_ids": [pair.prompt_ids for pair in pairs],
            "given_chosen_ids": [pair.chosen_ids for pair in pairs],
            "given_rejected_ids": [pair.rejected_ids for pair in pairs],
        }
        arrays = {name: pa.array(values, PAIRS.field(name).type) for name, values in columns.items()}
        arrays["prompt"] = prompt_array([pair.prompt for pair in pairs])
        return pa.table([arrays[name] for name in PAIRS.names], schema=PAIRS)


def within(pair_id: str, weight: float) -> bool:
    """Whether a pair, or a prompt, is of the share `weight`, chosen by its id."""
    # Hashed once more: the digits of the id itself also order and split the data further on.
    return int(content_hash("weight", pair_id), 16) < weight * 2**64


def prompt_array(prompts: list[Prompt]) -> pa.ListArray:
    """Prompts as a column."""
    offsets = [0]
    for prompt in prompts:
        offsets.append(offsets[-1] + len(prompt))
    roles = pa.array([turn.role for prompt in prompts for turn in prompt], pa.string())
    contents = pa.array([turn.content for prompt in prompts for turn in prompt], pa.string())
    turns = pa.StructArray.from_arrays([roles, contents], fields=list(MESSAGE))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), turns)
