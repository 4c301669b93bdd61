"""Sources to distinct prompts that every policy can read, sorted by their ids, a part at a time."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from flows.generate.run import GenerationRun, quarantine_row
from flows.versions.source_account import SourceAccount
from transforms.asking.answers import encode_for
from transforms.sources.prompts import STAGE, load_prompts
from transforms.tables.parts import Buckets, rechunk
from transforms.tables.schema import PROMPTS

PART_PROMPTS = 1024


def load(run: GenerationRun) -> Buckets:
    """Read every source into buckets by prompt; bad rows go to quarantine."""
    buckets = Buckets(run.work / "prompt-buckets", PROMPTS, sort=("prompt_id", "source", "source_id"))
    for source, record in zip(run.config.prompts, run.plan.sources, strict=True):
        account = SourceAccount(record)
        with run.progress.bar(f"load {record.label}", unit="rows") as advance:
            for batch in load_prompts(account.pinned(source)):
                if len(batch.prompts):
                    buckets.add(batch.prompts)
                run.structured |= batch.prompts["structure"].null_count < len(batch.prompts)
                came = len(batch.prompts) + batch.weighed_out + len(batch.quarantined)
                run.prompted.found += came
                run.prompted.weighed_out += batch.weighed_out
                run.prompted.quarantined += run.quarantine(batch.quarantined)
                account.count(batch.raw_rows, came, batch.columns)
                advance(batch.raw_rows)
        account.close()
    return buckets


def read_prompts(run: GenerationRun, buckets: Buckets) -> None:
    """Distinct prompts into parts; one that a policy cannot read goes to quarantine, since it would lack responses."""
    order = {record.label: rank for rank, record in enumerate(run.plan.sources)}
    with run.progress.bar("tokenise prompts", unit="prompts", total=run.prompted.found) as advance:
        parts = rechunk((_distinct(run, table, order) for table in buckets.drain()), PART_PROMPTS)
        for number, part in enumerate(_readable(run, part) for part in parts):
            run.prompts.write(number, part)
            run.prompted.prompts += len(part)
            advance(len(part))


def _distinct(run: GenerationRun, table: pa.Table, order: dict[str, int]) -> pa.Table:
    """Each prompt once, of the source that the recipe names first."""
    ranks = [order[label] for label in table["source"].to_pylist()]
    first: dict[str, tuple[int, int]] = {}
    for row, key in enumerate(table["prompt_id"].to_pylist()):
        first[key] = min(first.get(key, (ranks[row], row)), (ranks[row], row))
    rows = sorted(row for _, row in first.values())
    run.prompted.repeated += len(table) - len(rows)
    return table.take(pa.array(rows, pa.int64()))


def _readable(run: GenerationRun, part: pa.Table) -> pa.Table:
    good = np.ones(len(part), bool)
    for policy in run.plan.policies:
        encoded = encode_for(policy.voice, part)
        bad = [row for row in sorted(encoded.errors) if good[row]]
        run.prompted.quarantined += run.quarantine(
            quarantine_row(STAGE, part, row, f"{policy.label}: {encoded.errors[row]}") for row in bad
        )
        good[bad] = False
        lengths = encoded.ids.lengths[good]
        longest = run.prompted.longest
        longest[policy.label] = max(longest.get(policy.label, 0), int(lengths.max(initial=0)))
    return part.filter(pa.array(good))


def prompts_from(run: GenerationRun, start: int, count: int) -> Iterator[pa.Table]:
    """So many prompts from a place on, in tables of a part at most."""
    at = 0
    for part in run.prompts:
        first, last = max(start - at, 0), min(start + count - at, len(part))
        if first < last:
            yield part.slice(first, last - first)
        at += len(part)
