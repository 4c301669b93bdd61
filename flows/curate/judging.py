"""Judged parts: the estimate, verdict and reason of every pair, written beside its tokens."""

from collections import Counter

import pyarrow as pa

from flows.curate.live_pairs import LivePart, live_parts
from flows.curate.run import Run
from transforms.consistency.evidence import Evidence
from transforms.consistency.judge import judge_pairs
from transforms.records.manifest import StageRecord
from transforms.sources.load import Quarantined


def judge_parts(run: Run, evidence: Evidence | None) -> None:
    """Write every part with its verdicts and record the stage; None: nothing was sampled, every live pair is kept."""
    rows_in = rows_out = quarantined = 0
    dropped: Counter[str] = Counter()
    for part in live_parts(run):
        bad = [row for row, place in part.places.items() if evidence and place in evidence.bad]
        quarantined += run.quarantine(_quarantine(part, row, evidence) for row in bad if evidence)
        pairs, places = _without(part, set(bad))
        judged = judge_pairs(
            pairs,
            evidence,
            places,
            threshold=run.recipe.consistency.threshold,
            limits=run.recipe.filters.model_dump(),
        )
        run.judged.write(part.number, judged)
        before = Counter(pairs["reason"].drop_null().to_pylist())
        dropped.update(Counter(judged["reason"].drop_null().to_pylist()) - before)
        rows_in += len(part.places)
        rows_out += judged["reason"].null_count
    run.stages.append(
        StageRecord(stage="judge", rows_in=rows_in, rows_out=rows_out, dropped=dict(dropped), quarantined=quarantined)
    )


def _without(part: LivePart, bad: set[int]) -> tuple[pa.Table, dict[int, int]]:
    """The part without its bad rows, and the places of the others."""
    if not bad:
        return part.pairs, part.places
    good = [row for row in range(len(part.pairs)) if row not in bad]
    places = {new: part.places[old] for new, old in enumerate(good) if old in part.places}
    return part.pairs.take(pa.array(good, pa.int64())), places


def _quarantine(part: LivePart, row: int, evidence: Evidence) -> Quarantined:
    columns = part.pairs.select(["source", "source_id", "pair_id", "prompt", "chosen", "rejected"])
    content = columns.slice(row, 1).to_pylist()[0]
    why = evidence.bad[part.places[row]]
    return Quarantined("score", content["source"], content["source_id"], why, content)
