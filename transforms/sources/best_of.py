"""A source to prompts with right and wrong responses, whole: benchmarks of which no pairs are made.

Every raw row ends as a prompt with its responses or as an entry for quarantine.jsonl.
"""

from itertools import chain, islice
from typing import NamedTuple

from transforms.errors import RowError
from transforms.sources.adapter import BadRow, json_safe, row_hash
from transforms.sources.kinds.rewardbench2 import BestOf, RewardBench2Options, best_of, is_ties
from transforms.sources.load import PEEKED_ROWS, STAGE, Quarantined, RowCounter, check_rows
from transforms.sources.read import read_rows
from transforms.sources.rows import Columns


class BestOfRows(NamedTuple):
    """All rows of one source.

    Attributes:
        rows: in the order of the source.
        raw: row by row as they came, for a quarantine further on; safe for JSON.
        quarantined: rows that cannot be used.
        raw_rows: rows read; each is in `rows` or in `quarantined`.
        columns: what was read of them, and what was not.
    """

    rows: list[BestOf]
    raw: list[object]
    quarantined: list[Quarantined]
    raw_rows: int
    columns: Columns


def load_best_of(options: RewardBench2Options) -> BestOfRows:
    """Read a source whole. Of two rows of Ties with one id the second is quarantined: their ids name questions.

    Args:
        options: of the source. Without a label of its own it is called by its kind.

    Raises:
        SourceError: missing, unreadable, empty, or its rows do not fit the kind.
    """
    rows = read_rows(options)
    head = list(islice(rows, PEEKED_ROWS))
    check_rows(head, options)
    counter = RowCounter(chain(head, rows))
    label = options.label or options.kind_name
    found: list[BestOf] = []
    questions: set[tuple[str, str]] = set()
    raw: list[object] = []
    quarantined: list[Quarantined] = []
    columns = Columns()
    for row in counter:
        if isinstance(row, BadRow):
            quarantined.append(Quarantined(STAGE, label, row.row_hash, row.error, json_safe(row.row)))
            continue
        try:
            one = best_of(row)
            if is_ties(one.subset):
                if (one.subset, one.source_id) in questions:
                    message = (
                        f"a row before it has the id {one.source_id!r} too; expected one row of each in {one.subset}"
                    )
                    raise RowError(message)
                questions.add((one.subset, one.source_id))
        except RowError as error:
            columns.put_aside(row)
            quarantined.append(Quarantined(STAGE, label, row_hash(row.raw), str(error), json_safe(row.raw)))
        else:
            columns.add(row)
            found.append(one)
            raw.append(json_safe(row.raw))
    return BestOfRows(found, raw, quarantined, counter.take(), columns)
