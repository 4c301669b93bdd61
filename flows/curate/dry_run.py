"""What a run would cost, before it costs anything: requests, tokens and time a stage, and what the ledger has."""

import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

from flows.curate.live_pairs import collect_evidence, live_parts, readings_before_sampling
from flows.curate.loading import load, prepare_parts
from flows.curate.plan import Plan
from flows.curate.run import Run
from flows.curate.sampling import Sampler
from flows.models.crew import Engine, Request
from flows.models.engine_calls import Calls
from flows.models.scoring import Scorer
from flows.recipe.curation import Recipe
from transforms.consistency.deciding import TO_TELL_KINDS
from transforms.consistency.evidence import Evidence
from transforms.engines.protocol import CompletionRequest, ScoreRequest

MEASURED_COMPLETIONS: Final = 32
MEASURED_SCORES: Final = 32
SHOWN_ERRORS: Final = 5
FULL: Final = "score full responses"
Answer = TypeVar("Answer")
logger = logging.getLogger(__name__)


class StageCost(NamedTuple):
    """One kind of model call. `least` and `most` differ where sampling stops when the posterior is sure."""

    stage: str
    least: int  # requests
    most: int
    held: int  # of `most`, in the ledger already
    tokens_least: float  # that an engine would read (scores) or sample (completions), ledger left out
    tokens_most: float
    tokens_per_second: float | None  # as measured just now; None where nothing is missing or nothing was measured


class DryRun(NamedTuple):
    """The bill of a run that was not made."""

    raw_rows: int
    pairs: int
    live: int
    cut_sides: int
    stages: list[StageCost]
    start_seconds: float  # loading the models
    dropped: Mapping[str, int]  # reason → pairs that would not be sampled
    quarantined: Mapping[str, int]  # error → rows


def dry_run(plan: Plan, *, measure: bool = True) -> DryRun:
    """Load, tokenise and truncate as the run would, count its requests, and time the engines on a few of them.

    Args:
        plan: of the recipe.
        measure: load the models for a few seconds of real work; False leaves the speeds out.
    """
    with tempfile.TemporaryDirectory(prefix="dry-run-") as work:
        run = Run(plan, Path(work))
        prepare_parts(run, load(run))
        live = sum(len(part.places) for part in live_parts(run))
        raw, pairs = (sum(getattr(record, name) for record in run.sources) for name in ("raw_rows", "pairs"))
        if not run.samples:
            return DryRun(raw, pairs, live, 0, [], 0.0, run.dropped, run.quarantine_errors())
        evidence = collect_evidence(run)
        return _with_models(run, raw, pairs, live, evidence, measure=measure)


def _with_models(run: Run, raw: int, pairs: int, live: int, evidence: Evidence, *, measure: bool) -> DryRun:
    cut_sides = int(evidence.sides_cut.sum())
    sampler, scorer = Sampler(run), run.scorer()
    completions = _completion_requests(run, sampler, evidence)
    full = _requests_before_sampling(run, scorer, evidence)
    missing = [request for request in completions if sampler.calls.ledger.missing([request.request_id])]
    unread = [request for request in full if scorer.calls.ledger.missing([request.request_id])]
    mean, sampled_per_second, started = _time_policy(run, sampler, missing, measure=measure)
    read_per_second, also_started = _time_reward(scorer, unread or full, measure=measure and bool(missing or unread))
    recipe = run.recipe
    share_first = recipe.sampling.first_round / recipe.sampling.n
    least = round(len(completions) * share_first)
    if recipe.proxy:  # a proxy that is sure of everything else still pays for its audit
        share = max(recipe.proxy.audit, min(1.0, recipe.proxy.audit_least / max(1, cut_sides)))
        of_audit = min(recipe.sampling.n, max(recipe.sampling.first_round, TO_TELL_KINDS))
        least = min(least, round(share * of_audit * cut_sides))
    most = min(len(completions), recipe.budget.completions or len(completions))
    if recipe.budget.tokens:  # a completion counts with the tokens that it had
        most = min(most, int(recipe.budget.tokens / max(mean, 1.0)))
    new_most = min(len(missing), most)
    new_least = max(0, least - (len(completions) - len(missing)))
    prefix = float(np.mean([len(request.token_ids) for request in completions])) if completions else 0.0
    read = float(sum(len(request.token_ids) for request in unread))
    counts = min(least, most), most, most - new_most
    stages = [
        StageCost(
            FULL + (" and kept prefixes" if recipe.reads_values else ""),
            len(full),
            len(full),
            len(full) - len(unread),
            read,
            read,
            read_per_second,
        ),
        StageCost("sample completions", *counts, new_least * mean, new_most * mean, sampled_per_second),
        StageCost(
            "score completions", *counts, new_least * (prefix + mean), new_most * (prefix + mean), read_per_second
        ),
    ]
    start = started + also_started
    return DryRun(raw, pairs, live, cut_sides, stages, start, run.dropped, run.quarantine_errors())


def print_dry_run(console: Console, recipe: Recipe, found: DryRun) -> None:
    """The bill as a table."""
    console.print(
        f"{recipe.name}: {found.raw_rows:,} rows, {found.pairs:,} pairs, {found.live:,} of them live after the cheap "
        f"filters, {found.cut_sides:,} cut responses to complete",
        highlight=False,
    )
    if found.dropped:
        reasons = ", ".join(f"{reason} {pairs:,}" for reason, pairs in found.dropped.items())
        console.print(f"dropped      {reasons}", markup=False, highlight=False)
    for error, rows in list(found.quarantined.items())[:SHOWN_ERRORS]:  # strangers' text: no markup
        console.print(f"quarantined  {rows:,}: {error}", markup=False, highlight=False)
    if others := sum(list(found.quarantined.values())[SHOWN_ERRORS:]):
        console.print(f"quarantined  {others:,} for other errors: a run's quarantine.jsonl has all", highlight=False)
    if not found.stages:
        console.print("policy.engine is none: nothing is sampled or scored, no model is called")
        return
    table = Table("stage", title="what it would cost", title_justify="left")
    for name in ("requests", "in the ledger", "tokens to do", "tokens/s", "time"):
        table.add_column(name, justify="right")
    for stage in found.stages:
        speed = f"{stage.tokens_per_second:,.0f}" if stage.tokens_per_second else "–"
        table.add_row(
            stage.stage,
            _range(stage.least, stage.most),
            f"{stage.held:,}",
            _range(stage.tokens_least, stage.tokens_most),
            speed,
            _minutes(stage),
        )
    console.print(table)
    least, most = (
        (found.start_seconds + sum(_seconds(stage, tokens) for stage, tokens in zip(found.stages, side, strict=True)))
        / 60
        for side in ([s.tokens_least for s in found.stages], [s.tokens_most for s in found.stages])
    )
    console.print(
        f"about {_range(least, most, digits=1)} minutes on this machine, {found.start_seconds:.0f} s of it to load the "
        "models. Nothing was kept of the measurement; run without --dry-run to begin",
        highlight=False,
    )


def _seconds(stage: StageCost, tokens: float) -> float:
    return tokens / stage.tokens_per_second if stage.tokens_per_second else 0.0


def _completion_requests(run: Run, sampler: Sampler, evidence: Evidence) -> list[CompletionRequest]:
    """Every completion that the run may ask for."""
    every = range(run.recipe.sampling.n)
    return [
        sample.request
        for part in live_parts(run)
        for sample in sampler.samples(part.pairs, part.prefixes(evidence, lambda _: every))
    ]


def _requests_before_sampling(run: Run, scorer: Scorer, evidence: Evidence) -> list[ScoreRequest]:
    found: dict[str, ScoreRequest] = {}
    for part in live_parts(run):
        for request in scorer.to_score(readings_before_sampling(run, part, evidence)).requests:
            if isinstance(request, ScoreRequest):
                found[request.request_id] = request
    return list(found.values())


def _time_policy(
    run: Run, sampler: Sampler, missing: Sequence[CompletionRequest], *, measure: bool
) -> tuple[float, float | None, float]:
    """Mean new tokens a completion, tokens a second, seconds to load."""
    if not missing or not measure:
        return float(run.recipe.sampling.max_new_tokens), None, 0.0
    some = _spread(missing, MEASURED_COMPLETIONS)
    answers, seconds, started = _timed(sampler.calls, lambda engine: engine.complete(some, sampler.sampling))
    tokens = sum(len(answer.token_ids) for answer in answers)
    return tokens / len(answers), tokens / seconds, started


def _time_reward(scorer: Scorer, requests: Sequence[ScoreRequest], *, measure: bool) -> tuple[float | None, float]:
    """Tokens a second, seconds to load."""
    if not requests or not measure:
        return None, 0.0
    some = _spread(requests, MEASURED_SCORES)
    _, seconds, started = _timed(scorer.calls, lambda engine: engine.score(some))
    return sum(len(request.token_ids) for request in some) / seconds, started


def _spread(requests: Sequence[Request], count: int) -> list[Request]:
    """Evenly spaced requests, to stand for all."""
    places = np.linspace(0, len(requests) - 1, min(len(requests), count)).astype(int)
    return [requests[at] for at in places]


def _timed(calls: Calls[Any, Engine], work: Callable[[Engine], Answer]) -> tuple[Answer, float, float]:
    """What an engine answers, the seconds that it took, and those to load it; it is unloaded again."""
    start = time.monotonic()
    engine = calls.open()
    loaded = time.monotonic()
    logger.info("measuring %s", type(engine).__name__)
    try:
        answer = work(engine)
        return answer, time.monotonic() - loaded, loaded - start
    finally:
        calls.close()


def _range(least: float, most: float, digits: int = 0) -> str:
    low, high = f"{least:,.{digits}f}", f"{most:,.{digits}f}"
    return low if low == high else f"{low} – {high}"


def _minutes(stage: StageCost) -> str:
    if not stage.tokens_per_second:
        return "–" if stage.tokens_most else "0 s"
    return _range(_seconds(stage, stage.tokens_least), _seconds(stage, stage.tokens_most)) + " s"
