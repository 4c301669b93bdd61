"""Judged parts: the estimate, verdict and reason of every pair, written beside its tokens."""

from collections import Counter
from collections.abc import Iterable, Iterator

import pyarrow as pa

from flows.run import Run
from transforms.judge import judge_pairs
from transforms.manifest import StageRecord
from transforms.scoring import Scored


def judge_parts(run: Run, scored: Iterable[tuple[pa.Table, Scored]]) -> None:
    """Write every part with its verdicts and record the stage.

    Args:
        run: the run.
        scored: each prepared part with the rewards of its pairs, in order.
    """
    config = run.recipe.consistency
    rows_in = rows_out = quarantined = 0
    dropped: Counter[str] = Counter()
    for number, (pairs, part) in enumerate(scored):
        bad = {row.row["pair_id"] for row in part.quarantined}
        live = pairs["reason"].null_count
        if bad:
            good = [key not in bad for key in pairs["pair_id"].to_pylist()]
            pairs = pairs.filter(pa.array(good))
        judged = judge_pairs(
            pairs,
            part.rewards,
            prior=config.prior,
            threshold=config.threshold,
            delta=config.delta,
            reference=config.reference,
            limits=run.recipe.filters.model_dump(),
        )
        run.judged.write(number, judged)
        before = Counter(pairs["reason"].drop_null().to_pylist())
        dropped.update(Counter(judged["reason"].drop_null().to_pylist()) - before)
        rows_in += live
        rows_out += judged["reason"].null_count
        quarantined += run.quarantine(part.quarantined)
    run.stages.append(
        StageRecord(stage="judge", rows_in=rows_in, rows_out=rows_out, dropped=dict(dropped), quarantined=quarantined)
    )


def unscored(run: Run) -> Iterator[tuple[pa.Table, Scored]]:
    """Prepared parts of a recipe that samples nothing: no rewards, every pair without a reason is kept."""
    return ((part, Scored({}, [])) for part in run.prepared)
