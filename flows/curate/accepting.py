"""Exactly as many generated pairs as the recipe accepts: more prompts are drawn while a curation keeps too few.

What a round draws follows from the recipe and from what was kept before, and nothing is paid twice: a curation that
begins again finds every answer and every reward of the rounds before in the ledger.
"""

import logging
from math import ceil
from typing import Final

import pyarrow as pa

from flows.curate.run import Run
from flows.recipe.curation import GENERATED_FOLDER
from transforms.records.manifest import StageRecord

ACCEPT: Final = "accept"  # why a pair over the number is dropped
MORE: Final = 1.05  # than the share that was kept asks for: a round too many costs a loading of all models
MOST: Final = 4  # times as many pairs as in the round before, however few were kept
logger = logging.getLogger(__name__)


def pairs_to_make(run: Run) -> int | None:
    """How many pairs to generate in place of those of this run; None where it keeps enough, or there are no more.

    Args:
        run: with its pairs judged.
    """
    accept = run.recipe.generate.accept if run.recipe.generate else None
    if accept is None or run.generated is None or run.generated.counts.ended != "accepted":
        return None
    kept, made = sum(len(_kept(part)) for part in run.judged), run.generated.counts.pairs
    if kept >= accept:
        return None
    more = min(MOST * made, ceil(MORE * made * accept / max(kept, 1)))
    logger.info("%s of %s pairs are kept, %s were wanted: generating %s", f"{kept:,}", f"{made:,}", accept, f"{more:,}")
    return more


def leave_out_the_rest(run: Run) -> None:
    """Drop what is kept over the number, the last by pair id, with a reason of its own."""
    accept = run.recipe.generate.accept if run.recipe.generate else None
    if accept is None:
        return
    kept = over = came = 0
    for number, part in enumerate(run.judged):
        rows = _kept(part)
        extra = rows[max(0, accept - kept) :]
        kept, over = kept + len(rows), over + len(extra)
        came += part["reason"].null_count
        if extra:
            reason, verdict = part["reason"].to_pylist(), part["verdict"].to_pylist()
            for row in extra:
                reason[row], verdict[row] = ACCEPT, "drop"
            for name, values in (("reason", reason), ("verdict", verdict)):
                place = part.schema.get_field_index(name)
                part = part.set_column(place, part.schema.field(name), pa.array(values, pa.string()))
            run.judged.write(number, part)
    run.accepted = kept >= accept
    if over:
        run.stages.append(StageRecord(stage=ACCEPT, rows_in=came, rows_out=came - over, dropped={ACCEPT: over}))


def _kept(part: pa.Table) -> list[int]:
    """Rows of generated pairs that nothing has dropped."""
    columns = zip(part["source"].to_pylist(), part["reason"].to_pylist(), strict=True)
    return [row for row, (source, reason) in enumerate(columns) if source == GENERATED_FOLDER and reason is None]
