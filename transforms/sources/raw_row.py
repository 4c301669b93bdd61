"""The raw row behind a pair: sources are read again until one of a row's pairs has the id."""

from contextlib import suppress
from typing import Any

from transforms.errors import RowError
from transforms.sources.adapter import BadRow, Row, SourceKind
from transforms.sources.canonical import validate
from transforms.sources.kinds import KINDS
from transforms.sources.options import SourceOptions
from transforms.sources.read import read_rows
from transforms.sources.rows import Fields


def find_raw_row(options: SourceOptions, pair_id: str) -> Row | None:
    """The first raw row that gives the pair, None where no row does.

    Reads the source from its start: seconds for a local file, minutes for a large set on the Hub.

    Raises:
        SourceError: the source is gone or cannot be read.
    """
    kind = KINDS[options.kind_name]
    rows = (row if isinstance(row, BadRow) else Fields(row) for row in read_rows(options))
    for row in kind.gather(rows, options):
        if not isinstance(row, BadRow) and pair_id in _pair_ids(kind, row, options):
            return row.raw
    return None


def _pair_ids(kind: SourceKind[Any], row: Fields, options: SourceOptions) -> set[str]:
    """Of the pairs that the row gives; one that went to the quarantine may have no text to be named by."""
    found: set[str] = set()
    with suppress(RowError):
        for pair in kind.adapt(row, options).pairs:
            with suppress(RowError):
                validate(pair)
                found.add(pair.ids.pair)
    return found
