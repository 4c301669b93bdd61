"""Distinct prompts to those that every policy can read, sorted by their ids, a part at a time."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from flows.generate.run import GenerationRun
from flows.generate.sources import distinct, quarantine_row
from transforms.asking.answers import encode_for
from transforms.sources.prompts import STAGE
from transforms.tables.parts import Buckets, rechunk

PART_PROMPTS = 1024


def read_prompts(run: GenerationRun, buckets: Buckets) -> None:
    """Distinct prompts into parts; one that a policy cannot read goes to quarantine, since it would lack responses."""
    with run.progress.bar("tokenise prompts", unit="prompts", total=run.prompted.found) as advance:
        parts = rechunk(distinct(run, buckets), PART_PROMPTS)
        for number, part in enumerate(_readable(run, part) for part in parts):
            run.prompts.write(number, part)
            run.prompted.prompts += len(part)
            advance(len(part))


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
