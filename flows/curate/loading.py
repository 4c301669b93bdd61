"""Sources to prepared parts: read, identify, deduplicate, tokenise, truncate; bounded memory at any size."""

import json
import logging
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pyarrow as pa

from flows.curate.part_work import SCORE_MARGIN, Job, PartCounts, PreparedPart, makers, prepare_part, quarantine_file
from flows.curate.part_workers import open_workers, threads_of
from flows.curate.run import Run
from flows.versions.source_account import SourceAccount
from transforms.errors import ConfigError, OutputError
from transforms.preparation.dedupe import mark_repeats
from transforms.records.manifest import StageRecord
from transforms.sources.generated_responses import generated_responses
from transforms.sources.kinds.generated import GeneratedOptions
from transforms.sources.load import load_batches
from transforms.tables.parts import Buckets, Parts, gather, rechunk
from transforms.tables.schema import PAIRS

logger = logging.getLogger(__name__)
_AT_A_TIME: Final = 2  # parts


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
    """Sorted, deduplicated pairs to token ids and keeps, one part of fixed size at a time.

    Raises:
        OutputError: a part that workers prepared is not there, or not what they said.
        EngineError: the workers of a part died again and again.
    """
    rows_in = rows_out = quarantined = 0
    dropped: Counter[str] = Counter()
    total = sum(record.pairs for record in run.sources)
    parts = _read_ahead(_marked_parts(run, buckets))
    config = run.recipe.preparation
    prepared = _prepared_here(run, parts) if config.in_this_process else _prepared_by_workers(run, parts)
    with run.progress.bar("tokenise and truncate", unit="pairs", total=total) as advance:
        for counts in prepared:
            run.changed_by_template += counts.changed_by_template
            run.unmeasured[SCORE_MARGIN] += counts.unscored
            run.scored += counts.scored
            rows_in += counts.rows_in
            quarantined += counts.quarantined
            dropped.update(counts.dropped)
            rows_out += counts.rows_out - sum(counts.dropped.values())
            advance(counts.rows_in)
    _check_scores(run)
    run.stages.append(
        StageRecord(stage="prepare", rows_in=rows_in, rows_out=rows_out, dropped=dict(dropped), quarantined=quarantined)
    )


def _prepared_here(run: Run, parts: Iterator[pa.Table]) -> Iterator[PartCounts]:
    for number, done in enumerate(_prepared_ahead(run, parts)):
        run.prepared.write(number, done.pairs)
        run.quarantine(done.quarantined)
        yield done.counts


def _prepared_ahead(run: Run, parts: Iterator[pa.Table]) -> Iterator[PreparedPart]:
    """Two parts at a time: conversations of one are rendered while the other is tokenised, which releases the GIL."""
    begun: deque[Future[PreparedPart]] = deque()
    with ThreadPoolExecutor(_AT_A_TIME, "prepare") as pool:
        for part in parts:
            begun.append(pool.submit(prepare_part, part, run.chat, run.recipe, context=run.models.context))
            if len(begun) == _AT_A_TIME:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def _prepared_by_workers(run: Run, parts: Iterator[pa.Table]) -> Iterator[PartCounts]:
    """What workers counted in each part, in the order of the parts.

    The disk carries the rows; as many parts lie there at a time as workers prepare.
    """
    config = run.recipe.preparation
    marked = Parts(run.work / "marked")
    rows: dict[int, int] = {}  # of parts that were begun
    early: dict[int, PartCounts] = {}  # finished before one that stands before them
    told = 0
    with open_workers(config, _job(run, marked)) as workers:

        def finish_one() -> None:
            number, counts = workers.next_done()
            _check_part(run.prepared, number, counts, rows.pop(number))
            marked.remove(number)
            early[number] = counts

        def in_order() -> Iterator[PartCounts]:
            nonlocal told
            while told in early:
                counts = early.pop(told)
                _take_quarantine(run, told, counts)
                run.chat.template.asked_for_the_date |= counts.asked_for_the_date
                told += 1
                yield counts

        count = 0
        for number, part in enumerate(parts):
            marked.write(number, part)
            if len(rows) == config.workers:
                finish_one()
                yield from in_order()
            rows[number] = len(part)
            workers.begin(number)
            count += 1
        while rows:
            finish_one()
            yield from in_order()
    _check_all_parts(run.prepared, told, count)


def _job(run: Run, marked: Parts) -> Job:
    return Job(
        recipe=run.recipe.model_dump_json(),
        commit=run.models.tokenizer_commit,
        context=run.models.context,
        here=str(Path.cwd()),
        marked=str(marked.folder.resolve()),
        prepared=str(run.prepared.folder.resolve()),
        makers=json.dumps(makers(run.chat)),
        threads=threads_of(run.recipe.preparation.workers),
    )


def _check_part(prepared: Parts, number: int, counts: PartCounts, rows: int) -> None:
    """Refuse a part that is not there, or in which rows are missing.

    Args:
        prepared: where it should be.
        number: of the part.
        counts: as its worker says.
        rows: that the part had before.

    Raises:
        OutputError: what is wrong, and with which file.
    """
    path = prepared.path(number)
    for file in (path, quarantine_file(prepared, number)):
        if not file.is_file():
            message = (
                f"preparation: a worker says that it wrote {file}, and it is not there. All machines of a cluster need "
                "output.dir on a disk that they share; else prepare here (preparation.on: processes)"
            )
            raise OutputError(message)
    found = prepared.rows(number)
    if found != counts.rows_out or not counts.rows_in == rows == counts.rows_out + counts.quarantined:
        message = (
            f"preparation: {path} has {found:,} pairs; {rows:,} went in, and its worker says that it read "
            f"{counts.rows_in:,}, wrote {counts.rows_out:,} and quarantined {counts.quarantined:,}. "
            "Run the command again; if it happens again, the disk that the workers share is not to be trusted"
        )
        raise OutputError(message)


def _take_quarantine(run: Run, number: int, counts: PartCounts) -> None:
    """Add the bad rows of a part to the run's.

    Raises:
        OutputError: not as many as its worker says.
    """
    file = quarantine_file(run.prepared, number)
    found = run.take_quarantine(file)
    if found != counts.quarantined:
        message = f"preparation: {file} has {found:,} rows, and its worker says that it wrote {counts.quarantined:,}"
        raise OutputError(message)


def _check_all_parts(prepared: Parts, told: int, count: int) -> None:
    """Refuse parts that are missing, or are there and were never asked for.

    Raises:
        OutputError: which ones.
    """
    wanted = {prepared.path(number) for number in range(count)}
    odd = sorted(path.name for path in wanted ^ set(prepared.paths()))
    if odd or told != count:
        message = (
            f"preparation: {count:,} parts were to be prepared and {told:,} were; in {prepared.folder} "
            f"{', '.join(odd[:5]) or 'none'} are missing or too many. Run the command again"
        )
        raise OutputError(message)


def _marked_parts(run: Run, buckets: Buckets) -> Iterator[pa.Table]:
    order = {record.label: rank for rank, record in reversed(list(enumerate(run.sources)))}
    caps = {
        record.label: source.max_pairs_per_prompt
        for source, record in zip(run.read_sources(), run.sources, strict=True)
        if source.max_pairs_per_prompt is not None
    }
    empty = True
    # A bucket that was dealt out is many small tables, each of whole prompts: marked one by one they cost 10 ms each.
    for part in rechunk(_marked(run, table, order, caps) for table in gather(buckets.drain())):
        empty = False
        yield part
    if empty:  # a run of nothing but bad rows is a run
        yield PAIRS.empty_table()


def _marked(run: Run, pairs: pa.Table, order: Mapping[str, int], caps: Mapping[str, int]) -> pa.Table:
    marked = mark_repeats(pairs, order=order, caps=caps, contradictions=run.recipe.filters.contradictions)
    run.contradictions += marked.disputes
    run.contradicting += marked.disputed
    return marked.pairs


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
