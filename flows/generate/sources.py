"""Sources to distinct prompts sorted by their ids, whoever is to answer them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from flows.runtime.progress import Progress
from flows.versions.run_record import RunRecord
from flows.versions.source_account import SourceAccount
from transforms.records.manifest import SourceRecord
from transforms.sources.adapter import json_safe
from transforms.sources.load import Quarantined
from transforms.sources.options import SourceOptions
from transforms.sources.prompts import load_prompts
from transforms.tables.parts import Buckets
from transforms.tables.schema import PROMPTS


@dataclass
class Prompted:
    """What became of the sources' prompts."""

    found: int = 0
    repeated: int = 0
    weighed_out: int = 0
    quarantined: int = 0
    prompts: int = 0  # distinct ones that every policy can read
    longest: dict[str, int] = field(default_factory=dict)  # policy → tokens of its longest prompt


class PromptReading(RunRecord):
    """Sources that are read for their prompts, and what became of every row.

    Args:
        work: an empty folder on the disk of the output folder.
        sources: in the order in which the first to have a prompt gives it its name.
        records: of each, as it lies there now; they are filled in.

    Attributes:
        structured: whether a row has more than roles and contents.
    """

    def __init__(self, work: Path, sources: Sequence[SourceOptions], records: Sequence[SourceRecord]) -> None:
        super().__init__(work)
        self.sources, self.records = sources, records
        self.progress = Progress()
        self.prompted = Prompted()
        self.structured = False


def load(reading: PromptReading) -> Buckets:
    """Read every source into buckets by prompt; bad rows go to quarantine.

    Raises:
        SourceError: a source that is missing or unreadable, or whose rows do not fit its kind.
    """
    buckets = Buckets(reading.work / "prompt-buckets", PROMPTS, sort=("prompt_id", "source", "source_id"))
    for source, record in zip(reading.sources, reading.records, strict=True):
        account = SourceAccount(record)
        with reading.progress.bar(f"load {record.label}", unit="rows") as advance:
            for batch in load_prompts(account.pinned(source)):
                if len(batch.prompts):
                    buckets.add(batch.prompts)
                reading.structured |= batch.prompts["structure"].null_count < len(batch.prompts)
                came = len(batch.prompts) + batch.weighed_out + len(batch.quarantined)
                reading.prompted.found += came
                reading.prompted.weighed_out += batch.weighed_out
                reading.prompted.quarantined += reading.quarantine(batch.quarantined)
                account.count(batch.raw_rows, came, batch.columns)
                advance(batch.raw_rows)
        account.close()
    return buckets


def distinct(reading: PromptReading, buckets: Buckets) -> Iterator[pa.Table]:
    """Each prompt once, of the source that is named first; tables of schema.PROMPTS, sorted by id."""
    order = {record.label: rank for rank, record in enumerate(reading.records)}
    for table in buckets.drain():
        ranks = [order[label] for label in table["source"].to_pylist()]
        first: dict[str, tuple[int, int]] = {}
        for row, key in enumerate(table["prompt_id"].to_pylist()):
            first[key] = min(first.get(key, (ranks[row], row)), (ranks[row], row))
        rows = sorted(row for _, row in first.values())
        reading.prompted.repeated += len(table) - len(rows)
        yield table.take(pa.array(rows, pa.int64()))


def quarantine_row(stage: str, table: pa.Table, row: int, error: str) -> Quarantined:
    """A row of prompts or answers as a line of quarantine.jsonl."""
    content = table.slice(row, 1).to_pylist()[0]
    return Quarantined(stage, content["source"], content["source_id"], error, json_safe(content))
