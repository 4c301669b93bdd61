"""What the report is drawn from: a scalar row a response and a pair, and the texts of a few prompts alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from flows.generate.pairing import Paired
from flows.generate.run import Floats, GenerationRun
from transforms.pairing.strategies import PAIRED, REASONS
from transforms.report.generation_rows import (
    AnsweredPrompt,
    AnsweredResponse,
    Picked,
    QuarantineSummary,
    pick_prompts,
    summarise_quarantine,
)


def response_rows(run: GenerationRun, paired: Paired) -> pl.DataFrame:
    """A row a response in the order of prompts, as `generation_rows.RESPONSE_COLUMNS` names it, with all scores."""
    policies: list[str] = []
    status: list[str] = []
    for part in run.answers:
        policies += part["policy"].to_pylist()
        status += part["status"].to_pylist()
    states = np.array(status, object)
    states[np.isnan(paired.score) & (states == "usable")] = "unscored"  # as responses/ has it
    chosen, rejected, _ = _accepted(paired)
    responses = len(paired.score)
    columns: dict[str, Any] = {
        "prompt": paired.scored.prompt,
        "policy": pl.Series(policies, dtype=pl.Categorical),
        "tokens": paired.scored.tokens,
        "finished": paired.scored.finished,
        "status": pl.Series(states.tolist(), dtype=pl.Categorical),
        "score": paired.score,
        "chosen_in": np.bincount(chosen, minlength=responses),
        "rejected_in": np.bincount(rejected, minlength=responses),
    }
    for at, (annotator, judged) in enumerate(zip(run.plan.annotators, run.judged, strict=True)):
        columns[f"score_{annotator.label}"] = paired.scored.scores[:, at]
        if annotator.objectives:
            values = np.concatenate(judged.objectives)
            columns |= {f"score_{annotator.label}_{name}": values[:, j] for j, name in enumerate(annotator.objectives)}
    return pl.DataFrame(columns)


def pair_rows(paired: Paired) -> pl.DataFrame:
    """A row a pair that was written, as `generation_rows.PAIR_COLUMNS` names it."""
    chosen, rejected, margin = _accepted(paired)
    return pl.DataFrame(
        {"prompt": paired.scored.prompt[chosen], "chosen": chosen, "rejected": rejected, "margin": margin}
    )


def prompts_to_read(
    run: GenerationRun, paired: Paired, responses: pl.DataFrame, pairs: pl.DataFrame
) -> list[AnsweredPrompt]:
    """A few prompts with the texts of all their responses; those of no other prompt are kept in memory."""
    labels = [annotator.label for annotator in run.plan.annotators]
    picked = pick_prompts(responses, pairs, keys=paired.prompt_ids, annotators=labels, seed=run.config.seed)
    rows = {one.prompt: _rows_of(paired, one.prompt) for one in picked}
    texts = _texts(run, [row for mine in rows.values() for row in mine])
    return [_prompt(one, paired, responses, pairs, {row: texts[row] for row in rows[one.prompt]}) for one in picked]


def quarantined(run: GenerationRun) -> QuarantineSummary:
    """What the run's quarantine.jsonl holds."""
    with (run.work / "quarantine.jsonl").open(encoding="utf-8") as lines:
        return summarise_quarantine(lines)


def _accepted(paired: Paired) -> tuple[Any, Any, Floats]:
    """Chosen rows, rejected rows and margins of the pairs that were written."""
    kept = len(paired.pairs.chosen) - paired.beyond
    return paired.pairs.chosen[:kept], paired.pairs.rejected[:kept], paired.pairs.margin[:kept]


def _rows_of(paired: Paired, prompt: int) -> range:
    first, last = np.searchsorted(paired.scored.prompt, [prompt, prompt + 1])
    return range(int(first), int(last))


def _texts(run: GenerationRun, wanted: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Rows of schema.ANSWERS by their place in the run."""
    found: dict[int, dict[str, Any]] = {}
    start = 0
    for part in run.answers:
        mine = [row for row in wanted if start <= row < start + len(part)]
        taken = part.take(pa.array([row - start for row in mine], pa.int64())).to_pylist()
        found |= dict(zip(mine, taken, strict=True))
        start += len(part)
    return found


def _prompt(
    picked: Picked, paired: Paired, responses: pl.DataFrame, pairs: pl.DataFrame, texts: dict[int, dict[str, Any]]
) -> AnsweredPrompt:
    sides: dict[int, str] = {}
    if picked.pair is not None:
        sides = {int(pairs[side][picked.pair]): side for side in ("chosen", "rejected")}
    answers = [_response(responses.row(row, named=True), text, sides.get(row, "")) for row, text in texts.items()]
    # From best to worst, those without a score last; equal ones in the order of the run.
    answers.sort(key=lambda one: -np.inf if one.score is None else one.score, reverse=True)
    first = next(iter(texts.values()))
    code = int(paired.pairs.reason[picked.prompt])
    return AnsweredPrompt(
        prompt_id=first["prompt_id"],
        source=first["source"],
        why=picked.why,
        unpaired=None if code == PAIRED else REASONS[code],
        margin=None if picked.pair is None else float(pairs["margin"][picked.pair]),
        prompt=first["prompt"],
        responses=answers,
    )


def _response(row: dict[str, Any], text: dict[str, Any], side: str) -> AnsweredResponse:
    scores = {name.removeprefix("score_"): _number(value) for name, value in row.items() if name.startswith("score_")}
    return AnsweredResponse(
        policy=text["policy"],
        text=text["response"],
        reasoning=text["reasoning"],
        tokens=row["tokens"],
        finished=row["finished"],
        status=row["status"],
        why=text["why"],
        score=_number(row["score"]),
        scores=scores,
        side=side,
    )


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else value
