"""A source's options → its prompts, a few thousand at a time: prompt files, and the prompts of every other kind.

Every raw row ends as a prompt (one that is there already counts as repeated, further on) or as an entry for
quarantine.jsonl. The responses of other kinds are not looked at: a row whose two sides are equal has a good prompt.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import pyarrow as pa

from transforms.errors import RowError
from transforms.sources.adapter import BadRow, Row, json_safe, row_hash
from transforms.sources.canonical import Adapted, Question, check_json, check_prompt, check_text
from transforms.sources.kinds import KINDS
from transforms.sources.load import PEEKED_ROWS, Quarantined, RowCounter, check_rows, prompt_array, within
from transforms.sources.options import SourceOptions
from transforms.sources.read import read_rows
from transforms.sources.rows import Columns
from transforms.tables.schema import PROMPTS

STAGE = "prompts"


class PromptBatch(NamedTuple):
    """Some prompts of one source.

    Attributes:
        prompts: columns of schema.PROMPTS; a prompt that several rows share is there several times.
        quarantined: rows that cannot be used.
        raw_rows: rows read since the batch before.
        weighed_out: prompts that `weight` leaves out.
        columns: what was read of the rows, and what was not.
    """

    prompts: pa.Table
    quarantined: list[Quarantined]
    raw_rows: int
    weighed_out: int
    columns: Columns


def load_prompts(options: SourceOptions, *, batch_rows: int = 4096) -> Iterator[PromptBatch]:
    """Yield the source's prompts in batches of about `batch_rows`, in the order of the rows.

    Args:
        options: of the source. Without a label of its own it is called by its kind.
        batch_rows: prompts, at about which a batch ends.

    Raises:
        SourceError: missing, unreadable, empty, or its rows do not fit the kind.
    """
    kind = KINDS[options.kind_name]
    rows = read_rows(options)
    head = list(islice(rows, PEEKED_ROWS))
    check_rows(head, options)
    counter = RowCounter(chain(head, rows))
    label = options.label or options.kind_name
    found: list[Question] = []
    quarantined: list[Quarantined] = []
    columns, out = Columns(), 0
    for row in kind.gather(counter, options):
        if isinstance(row, BadRow):
            quarantined.append(Quarantined(STAGE, label, row.row_hash, row.error, json_safe(row.row)))
        else:
            try:
                questions = _questions(kind.adapt(row, options))
            except RowError as error:
                columns.put_aside(row)
                quarantined.append(_quarantined(label, error, row.raw))
            else:
                columns.add(row)
                kept = [one for one in questions if options.weight == 1 or within(one.prompt_id, options.weight)]
                out += len(questions) - len(kept)
                found += kept
        if len(found) >= batch_rows or len(quarantined) >= batch_rows:
            yield PromptBatch(_table(found, label), quarantined, counter.take(), out, columns)
            found, quarantined, columns, out = [], [], Columns(), 0
    yield PromptBatch(_table(found, label), quarantined, counter.take(), out, columns)


def _questions(adapted: Adapted) -> list[Question]:
    """The prompts of a row, each once.

    Raises:
        RowError: one that no chat template could be given.
    """
    of_pairs = [Question(one.source_id, one.prompt, one.tools, one.template_kwargs) for one in adapted.pairs]
    found = [adapted.question] if adapted.question else of_pairs
    for one in found:
        check_prompt(one.prompt)
        check_text(one.source_id, "source_id")
        for name, text in (("tools", one.tools), ("chat_template_kwargs", one.template_kwargs)):
            if text:
                check_json(text, name)
    return list({one.prompt_id: one for one in found}.values())


def _quarantined(label: str, error: RowError, row: Row) -> Quarantined:
    return Quarantined(STAGE, label, row_hash(row), str(error), json_safe(row))


def _table(found: Sequence[Question], label: str) -> pa.Table:
    columns = {
        "prompt_id": pa.array([one.prompt_id for one in found], pa.string()),
        "source": pa.array([label] * len(found), pa.string()),
        "source_id": pa.array([one.source_id for one in found], pa.string()),
        "prompt": prompt_array([one.prompt for one in found]),
        "structure": pa.array([one.structure for one in found], pa.string()),
    }
    return pa.table([columns[name] for name in PROMPTS.names], schema=PROMPTS)
