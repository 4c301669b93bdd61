"""What a generation would cost, before it costs anything: responses, tokens and time a policy, and questions asked."""

import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from flows.generate.answering import calls_of, requests_of
from flows.generate.drawing import next_wave
from flows.generate.plan import GenerationPlan
from flows.generate.prompts import read_prompts
from flows.generate.run import GenerationRun
from flows.generate.sources import load
from flows.models.sampling import SamplingCalls
from flows.recipe.generation import AnnotatorConfig
from transforms.engines.protocol import CompletionRequest, Sampling

MEASURED: Final = 32


class PolicyCost(NamedTuple):
    """Responses of one policy."""

    label: str
    responses: int
    held: int  # of them, in the ledger already
    tokens_most: int  # of the others, if each fills its room
    mean_tokens: float | None  # of those that were sampled to measure it; None where nothing was
    tokens_per_second: float | None
    start_seconds: float  # loading the model


class AnnotatorCost(NamedTuple):
    """What one annotator is asked at most: less where responses have equal texts, or are in the ledger."""

    label: str
    responses: int
    questions: int  # those of the prompts that it is asked about twice, too


class GenerationDryRun(NamedTuple):
    """The bill of a generation that was not made."""

    prompts: int  # distinct ones that every policy can read
    drawn: int  # of the first wave, which is all where the recipe accepts no number of pairs
    quarantined: int
    policies: list[PolicyCost]
    annotators: list[AnnotatorCost]
    waves: bool  # whether more prompts may be drawn


def dry_run(plan: GenerationPlan, *, measure: bool = True) -> GenerationDryRun:
    """Read prompts as the run would, count its requests, and time each policy on a few of them.

    Args:
        plan: of the recipe.
        measure: load the policies for a few seconds of real work; False leaves the speeds out.
    """
    with tempfile.TemporaryDirectory(prefix="dry-run-") as work:
        run = GenerationRun(plan, Path(work))
        read_prompts(run, load(run))
        drawn = next_wave(run, None)
        policies = []
        for policy in plan.policies:
            # The requests are gone through twice, since those of a whole run do not fit into memory.
            rooms = {request.request_id: request.max_tokens for request in requests_of(run, policy, 0, drawn)}
            with closing(calls_of(run, policy)) as calls:
                missing = calls.ledger.missing(list(rooms))
                measured: tuple[float | None, float | None, float] = (None, None, 0.0)
                if measure and missing:
                    places = np.linspace(0, len(missing) - 1, min(len(missing), MEASURED)).astype(int)
                    wanted = {missing[at] for at in places}
                    some = [one for one in requests_of(run, policy, 0, drawn) if one.request_id in wanted]
                    measured = _measured(calls, some, policy.voice.sampling)
            tokens = sum(rooms[key] for key in missing)
            policies.append(PolicyCost(policy.label, len(rooms), len(rooms) - len(missing), tokens, *measured))
        asked = zip(plan.annotators, plan.config.annotators, strict=True)
        annotators = [_asked(annotator.label, config, drawn, run) for annotator, config in asked]
        waves = plan.config.accept is not None and drawn < run.prompted.prompts
        return GenerationDryRun(run.prompted.prompts, drawn, run.prompted.quarantined, policies, annotators, waves)


def print_dry_run(console: Console, name: str, found: GenerationDryRun) -> None:
    """The bill as a table."""
    more = " at first, more until enough pairs are accepted" if found.waves else ""
    console.print(
        f"{name}: {found.prompts:,} prompts that every policy can read, {found.drawn:,} of them to answer{more}; "
        f"{found.quarantined:,} quarantined",
        highlight=False,
    )
    table = Table("policy", title="what it would cost", title_justify="left")
    for column in ("responses", "in the ledger", "tokens at most", "tokens each", "tokens/s", "time"):
        table.add_column(column, justify="right")
    for one in found.policies:
        new = one.responses - one.held
        seconds = new * one.mean_tokens / one.tokens_per_second if one.mean_tokens and one.tokens_per_second else None
        table.add_row(
            one.label,
            f"{one.responses:,}",
            f"{one.held:,}",
            f"{one.tokens_most:,}",
            f"{one.mean_tokens:,.0f}" if one.mean_tokens else "–",
            f"{one.tokens_per_second:,.0f}" if one.tokens_per_second else "–",
            f"{(seconds + one.start_seconds) / 60:,.1f} min" if seconds is not None else "–",
        )
    console.print(table)
    for annotator in found.annotators:
        asked = f"{annotator.questions:,} questions at most, about {annotator.responses:,} responses"
        console.print(f"{annotator.label:<12} {asked}", markup=False, highlight=False)
    console.print("Nothing was kept of the measurement; run without --dry-run to begin", highlight=False)


def _asked(label: str, config: AnnotatorConfig, prompts: int, run: GenerationRun) -> AnnotatorCost:
    many = run.responses_a_prompt
    pairwise = config.kind == "pairrm" or (config.kind == "judge" and config.mode == "pairwise")
    each = many * (many - 1) if pairwise else many  # every two in both orders
    return AnnotatorCost(label, prompts * many, each * (prompts + min(run.config.repeats, prompts)))


def _measured(
    calls: SamplingCalls, requests: Sequence[CompletionRequest], sampling: Sampling
) -> tuple[float, float, float]:
    """Mean new tokens a response, tokens a second, seconds to load."""
    start = time.monotonic()
    engine = calls.open()
    loaded = time.monotonic()
    answers = engine.complete(requests, sampling)
    tokens = sum(len(answer.token_ids) for answer in answers)
    return tokens / len(answers), tokens / max(time.monotonic() - loaded, 1e-3), loaded - start
