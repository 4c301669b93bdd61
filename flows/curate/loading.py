"""Sources to prepared parts: read, identify, deduplicate, tokenise, truncate; bounded memory at any size."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import polars as pl
import pyarrow as pa

from flows.curate.run import Run
from flows.versions.source_account import SourceAccount
from transforms.errors import ConfigError
from transforms.preparation import filters
from transforms.preparation.dedupe import mark_repeats
from transforms.preparation.prepare import prepare
from transforms.records.manifest import StageRecord
from transforms.sources.generated_responses import generated_responses
from transforms.sources.kinds.generated import GeneratedOptions
from transforms.sources.load import load_batches
from transforms.tables.parts import Buckets, rechunk
from transforms.tables.schema import PAIRS, TRUNCATED

SCORE_MARGIN: Final = "min_score_margin"
logger = logging.getLogger(__name__)


def load(run: Run) -> Buckets:
    """Read every source into buckets by prompt; bad rows go to quarantine."""
    pairs = Buckets(run.work / "buckets", PAIRS)
    quarantined = 0
    for source, record in zip(run.read_sources(), run.sources, strict=True):
        account = SourceAccount(record)
        with run.progress.bar(f"load {record.label}", unit="rows") as advance:
            for batch in load_batches(account.pinned(source), foreign_template=run.recipe.filters.foreign_template):
                pairs.add(batch.pairs)
                run.structured |= batch.pairs["structure"].null_count < len(batch.pairs)
                if batch.responses is not None:
                    run.responses.add(batch.responses)
                quarantined += run.quarantine(batch.quarantined)
                account.add(batch)
                advance(batch.raw_rows)
        account.close()
        if isinstance(source, GeneratedOptions):
            for responses in generated_responses(source, record.label):
                run.responses.add(responses)
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
    _check_scores(run)
    run.stages.append(
        StageRecord(stage="prepare", rows_in=rows_in, rows_out=rows_out, dropped=dict(dropped), quarantined=quarantined)
    )


def _marked_parts(run: Run, buckets: Buckets) -> Iterator[pa.Table]:
    order = {record.label: rank for rank, record in reversed(list(enumerate(run.sources)))}
    caps = {
        record.label: source.max_pairs_per_prompt
        for source, record in zip(run.read_sources(), run.sources, strict=True)
        if source.max_pairs_per_prompt is not None
    }
    empty = True
    for part in rechunk(_marked(run, table, order, caps) for table in buckets.drain()):
        empty = False
        yield part
    if empty:  # a run of nothing but bad rows is a run
        yield PAIRS.empty_table()


def _marked(run: Run, pairs: pa.Table, order: Mapping[str, int], caps: Mapping[str, int]) -> pa.Table:
    marked = mark_repeats(pairs, order=order, caps=caps, contradictions=run.recipe.filters.contradictions)
    run.contradictions += marked.disputes
    run.contradicting += marked.disputed
    return marked.pairs


def _filtered(pairs: pa.Table, run: Run) -> pa.Table:
    limits = run.recipe.filters.model_dump()
    if all(limits[rule.reason] is None for rule in filters.EARLY):
        return pairs
    frame = pl.DataFrame(pl.from_arrow(pairs))
    if limits[SCORE_MARGIN] is not None:
        unscored = frame.select(pl.col("chosen_score").is_null() | pl.col("rejected_score").is_null()).to_series()
        run.unmeasured[SCORE_MARGIN] += int((unscored & frame["reason"].is_null()).sum())
        run.scored += int((~unscored).sum())
    frame = filters.apply(frame, filters.EARLY, limits)
    names = pairs.schema.names
    reason = pa.array(frame["reason"].to_list(), pa.string())
    return pairs.set_column(names.index("reason"), TRUNCATED.field("reason"), reason)


def _check_scores(run: Run) -> None:
    """Refuse a filter on scores that met none: the recipe asks for a choice that was never made.

    Raises:
        ConfigError: before anything is paid for.
    """
    limit, unscored = run.recipe.filters.min_score_margin, run.unmeasured[SCORE_MARGIN]
    if limit is None or not unscored:
        run.unmeasured = Counter({name: count for name, count in run.unmeasured.items() if count})
        return
    if not run.scored:
        unread = {name for record in run.sources for name in record.columns_unread}
        beside = f"; columns that are not read: {', '.join(map(repr, sorted(unread)))}" if unread else ""
        message = (
            f"filters.{SCORE_MARGIN} is {limit:g} and none of {unscored:,} pairs has two scores{beside}. Take the "
            "filter out, or rename the columns that hold the scores to chosen_score and rejected_score"
        )
        raise ConfigError(message)
    logger.warning("filters.%s lets %s pairs pass that have no scores", SCORE_MARGIN, f"{unscored:,}")


def _read_ahead(parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The next part is read and sorted while this one is tokenised (which releases the GIL)."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead = pool.submit(next, parts, None)
        while (part := ahead.result()) is not None:
            ahead = pool.submit(next, parts, None)
            yield part
