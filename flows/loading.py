"""Sources to prepared parts: read, identify, deduplicate, tokenise, truncate; bounded memory at any size."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pyarrow as pa

from flows.run import Run
from transforms import filters
from transforms.dedupe import mark_repeats
from transforms.manifest import StageRecord
from transforms.parts import Buckets, rechunk
from transforms.prepare import prepare
from transforms.schema import PAIRS, TRUNCATED
from transforms.sources.load import load_batches


def load(run: Run) -> Buckets:
    """Read every source into buckets by prompt; bad rows go to quarantine."""
    pairs = Buckets(run.work / "buckets", PAIRS)
    quarantined = 0
    for source, record in zip(run.recipe.sources, run.sources, strict=True):
        with run.progress.bar(f"load {record.label}", unit="rows") as advance:
            # The commit that was fingerprinted, not whatever the branch holds by now.
            pinned = source.model_copy(update={"revision": record.revision}) if record.revision else source
            for batch in load_batches(pinned):
                pairs.add(batch.pairs)
                run.structured |= batch.pairs["structure"].null_count < len(batch.pairs)
                if batch.responses is not None:
                    run.responses.add(batch.responses)
                quarantined += run.quarantine(batch.quarantined)
                record.raw_rows += batch.raw_rows
                record.pairs += len(batch.pairs) + len(batch.quarantined)
                advance(batch.raw_rows)
    total = sum(record.pairs for record in run.sources)
    run.stages.append(StageRecord(stage="load", rows_in=total, rows_out=total - quarantined, quarantined=quarantined))
    return pairs


def prepare_parts(run: Run, buckets: Buckets) -> None:
    """Sorted, deduplicated pairs to token ids and keeps, one part of fixed size at a time."""
    rows_in = rows_out = quarantined = 0
    dropped: Counter[str] = Counter()
    total = sum(record.pairs for record in run.sources)
    with run.progress.bar("tokenise and truncate", unit="pairs", total=total) as advance:
        for number, part in enumerate(_read_ahead(_marked_parts(run, buckets))):
            result = prepare(part, run.chat, run.recipe.truncate, max_length=run.models.context)
            run.changed_by_template += result.changed_by_template
            table = _filtered(result.pairs, run)
            run.prepared.write(number, table)
            rows_in += len(part)
            quarantined += run.quarantine(result.quarantined)
            reasons = table["reason"].drop_null().to_pylist()
            dropped.update(reasons)
            rows_out += len(table) - len(reasons)
            advance(len(part))
    run.stages.append(
        StageRecord(stage="prepare", rows_in=rows_in, rows_out=rows_out, dropped=dict(dropped), quarantined=quarantined)
    )


def _marked_parts(run: Run, buckets: Buckets) -> Iterator[pa.Table]:
    order = {record.label: rank for rank, record in reversed(list(enumerate(run.sources)))}
    caps = {
        record.label: source.max_pairs_per_prompt
        for source, record in zip(run.recipe.sources, run.sources, strict=True)
        if source.max_pairs_per_prompt is not None
    }
    empty = True
    for part in rechunk(mark_repeats(table, order=order, caps=caps) for table in buckets.drain()):
        empty = False
        yield part
    if empty:  # a run of nothing but bad rows is a run
        yield PAIRS.empty_table()


def _filtered(pairs: pa.Table, run: Run) -> pa.Table:
    limits = run.recipe.filters.model_dump()
    if all(limits[rule.reason] is None for rule in filters.EARLY):
        return pairs
    frame = filters.apply(pl.DataFrame(pl.from_arrow(pairs)), filters.EARLY, limits)
    names = pairs.schema.names
    reason = pa.array(frame["reason"].to_list(), pa.string())
    return pairs.set_column(names.index("reason"), TRUNCATED.field("reason"), reason)


def _read_ahead(parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The next part is read and sorted while this one is tokenised (which releases the GIL)."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead = pool.submit(next, parts, None)
        while (part := ahead.result()) is not None:
            ahead = pool.submit(next, parts, None)
            yield part
