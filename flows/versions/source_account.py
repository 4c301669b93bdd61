"""What a source brought, counted batch by batch: rows, pairs, the columns that were read, marks of chat templates."""

from typing import TypeVar

from transforms.records.manifest import LeakExample, LeakRecord, SourceRecord
from transforms.sources.adapter import json_safe
from transforms.sources.fields import not_met
from transforms.sources.load import SourceBatch
from transforms.sources.marks import Leaks
from transforms.sources.options import SourceOptions
from transforms.sources.rows import Columns

Options = TypeVar("Options", bound=SourceOptions)
NAME_CHARS = 200  # of a column's name, which strangers choose


class SourceAccount:
    """Fills in a source's record while it is read.

    Args:
        record: of the source; what the manifest says of it.
    """

    def __init__(self, record: SourceRecord) -> None:
        self._record = record
        self._columns = Columns()
        self._leaks = Leaks()
        self._exclude: tuple[str, ...] = ()

    def pinned(self, source: Options) -> Options:
        """The options to read it by: its label, and the commit that was fingerprinted, whatever the branch holds."""
        self._exclude = getattr(source, "exclude", ())  # of kinds that have it
        update = {"label": self._record.label}
        return source.model_copy(update=update | ({"revision": self._record.revision} if self._record.revision else {}))

    def add(self, batch: SourceBatch) -> None:
        """Count a batch."""
        self.count(batch.raw_rows, len(batch.pairs) + len(batch.quarantined), batch.columns)
        self._leaks.update(batch.leaks)

    def count(self, raw_rows: int, came: int, columns: Columns) -> None:
        """Count rows, what came of them (pairs or prompts, those for quarantine among them), and their columns."""
        self._record.raw_rows += raw_rows
        self._record.pairs += came
        self._columns.update(columns)

    def close(self) -> None:
        """Write down what only the whole source tells."""
        record, columns = self._record, self._columns
        record.columns_read = [_shown(name) for name in columns.read]
        record.columns_unread = {_shown(name): count for name, count in columns.unread_values().items()}
        columns.notes.update(not_met(self._exclude, columns.notes))
        record.notes = dict(columns.notes.most_common())
        record.leaks = [
            LeakRecord(
                family=family,
                side=side,
                pairs=pairs,
                marks=marks,
                examples=[LeakExample(pair_id=pair_id, text=text) for pair_id, text in examples],
            )
            for family, side, pairs, marks, examples in self._leaks.rows()
        ]


def _shown(name: str) -> str:
    return str(json_safe(name, max_chars=NAME_CHARS))
