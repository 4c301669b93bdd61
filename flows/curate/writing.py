"""The data of the output contract: dataset/, dropped/ and responses/, in order, a part at a time."""

from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from flows.curate.run import Run
from transforms.dataset.curated import curated, summary_rows
from transforms.dataset.shards import SplitWriter, in_test_split, version_of, write_splits
from transforms.records.manifest import FileRecord, TokenCounts
from transforms.tables.parts import Parts, rechunk
from transforms.tables.schema import CURATED, RESPONSES, written


class Written(NamedTuple):
    """What was written, and what report and manifest say about it."""

    version: str
    splits: dict[str, int]
    files: list[FileRecord]
    tokens: TokenCounts
    rows: pl.LazyFrame  # one scalar row a pair, kept and dropped, by pair id; in the work folder


def write_data(run: Run) -> Written:
    """Write kept pairs as splits, dropped pairs with their reasons, and all responses where sources have them."""
    output = run.recipe.output
    appended = run.recipe.truncate.eot == "always"
    schema = written(CURATED, structured=run.structured, appended=appended)
    writers = {
        split: SplitWriter(run.work / "dataset" / split, schema, shard_rows=output.shard_rows, split=split)
        for split in (("train", "test") if output.test_size else ("train",))
    }
    dropped = SplitWriter(run.work / "dropped", schema, shard_rows=output.shard_rows, split=None)
    # Not in memory, where a million pairs are 149 MB and as much again wherever some of them are picked out.
    scalars = Parts(run.work / "rows")
    with run.progress.bar("write shards", unit="pairs", total=sum(map(len, run.judged))) as advance:
        for number, part in enumerate(run.judged):
            table = curated(part, run.chat, appended=appended).select(schema.names)
            split = _splits(part, output.test_size)
            for name, writer in (*writers.items(), ("dropped", dropped)):
                rows = table.filter(pc.equal(split, name))
                if len(rows):
                    writer.write(rows)
            scalars.write(number, summary_rows(part, split))
            advance(len(part))
    return _finish(run, writers, dropped, pl.scan_ipc(scalars.paths()))


def _finish(run: Run, writers: dict[str, SplitWriter], dropped: SplitWriter, rows: pl.LazyFrame) -> Written:
    files = [
        record.model_copy(update={"path": f"dataset/{record.path}"})
        for writer in writers.values()
        for record in writer.close()
    ]
    write_splits(run.work / "dataset", list(writers))
    files += dropped.close()
    files += _write_responses(run)
    kept = rows.filter(pl.col("verdict") == "keep")
    columns = {
        "prompt": "prompt_tokens",
        "chosen_before": "chosen_tokens",
        "chosen_after": "chosen_keep",
        "rejected_before": "rejected_tokens",
        "rejected_after": "rejected_keep",
    }
    sums = kept.select(**{key: pl.col(name).cast(pl.Int64).sum() for key, name in columns.items()})
    [tokens] = sums.collect(engine="streaming").to_dicts()
    return Written(
        version=version_of({name: writer.content for name, writer in writers.items()}),
        splits={name: writer.rows for name, writer in writers.items()},
        files=files,
        tokens=TokenCounts(**tokens),
        rows=rows,
    )


def _write_responses(run: Run) -> list[FileRecord]:
    """All responses of sources with several a prompt, each once."""
    writer, schema = None, written(RESPONSES, structured=run.structured)
    for table in rechunk(run.responses.drain()):
        if writer is None:
            writer = SplitWriter(run.work / "responses", schema, shard_rows=run.recipe.output.shard_rows, split=None)
        writer.write(table.select(schema.names))
    return writer.close() if writer else []


def _splits(part: pa.Table, test_size: float) -> pa.Array:
    test = np.array([in_test_split(key, test_size) for key in part["pair_id"].to_pylist()], dtype=bool)
    kept = np.where(test, "test", "train")
    return pa.array(np.where(np.asarray(part["verdict"]) == "keep", kept, "dropped"), pa.string())
