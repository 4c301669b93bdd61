"""Rounds as a Prefect flow.

Every step is one that can also be run by itself (flows.generate, flows.curate, flows.train), into a folder that says
what it was made of, so a step that is done is found done. That is all of the restart: rounds that were killed walk
through their steps once more, and the first that is not done goes on from the ledger or from its newest checkpoint.
"""

import gc
import logging
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from prefect import flow

from flows.curate.flow import run_stages as curate_stages
from flows.curate.plan import plan_run
from flows.generate.flow import make
from flows.generate.plan import plan_generation
from flows.models.recipe_models import model_record
from flows.rounds.artifacts import show_rounds
from flows.rounds.card import say_round
from flows.rounds.config import RoundsConfig
from flows.rounds.held_out import Answers, read_answers
from flows.rounds.output import claim, read_rounds, rounds_folder, write_rounds
from flows.rounds.plan import RoundsPlan, plan_rounds
from flows.rounds.prompts import Written, write_prompts
from flows.rounds.recipes import curation_of, evaluation_of, policy_after, round_folder, training_of
from flows.rounds.verdict import best_of, compared, is_better, should_stop
from flows.runtime.tasks import engine_call, stage
from flows.runtime.temporary_server import end_server_with_us
from flows.train.flow import run_training
from flows.train.plan import plan_training
from flows.train.record import TrainingRecord
from flows.versions.output_folder import CARD
from transforms.errors import SourceError
from transforms.records.manifest import Manifest, ModelRecord
from transforms.records.rounds import DataRecord, RoundRecord, Rounds
from transforms.report.rounds_page import render_rounds

logger = logging.getLogger(__name__)


@flow(name="rounds", flow_run_name="rounds {config.name}", persist_result=False)
def rounds(config: RoundsConfig) -> Rounds:
    """Generate with the newest policy, curate, train on it, and once more, until a round brings nothing better."""
    end_server_with_us()
    plan = plan_rounds(config)
    return plan.finished or run_rounds(plan)


def run_rounds(plan: RoundsPlan) -> Rounds:
    """Every round in order; what is done already is passed over."""
    config, folder = plan.config, plan.folder
    with rounds_folder(folder, fingerprint=plan.fingerprint, overwrite=config.output.overwrite):
        seconds = _seconds_before(plan)
        written = stage("prompts", partial(_prompts, plan))
        found = plan.nothing_yet().model_copy(update={"prompts": written.record})
        _say(config, 0, "the start answers held-out prompts")
        answers = [_answer(config, 0, written)[0]]
        found = found.model_copy(update={"start_answers": answers[0].record})
        while found.ended is None:
            one, answered = _round(config, len(found.rounds) + 1, written, answers, found)
            one = one.model_copy(update={"seconds": seconds.get(one.number, one.seconds)})
            answers.append(answered)
            found = _with(found, one, config)
            best = best_of(found.rounds)
            page = render_rounds(found, best=best)
            write_rounds(folder, found, page, best=best, model=policy_after(config, best).model)
            say_round(round_folder(config, one.number) / "data" / CARD, found, one)
            logger.info(_verdict(found, one))
    show_rounds(found, folder)
    return found


def _seconds_before(plan: RoundsPlan) -> dict[int, float]:
    """What rounds took that are passed over now; also claims the folder where nobody did."""
    before = read_rounds(plan.folder)
    if before is None or before.fingerprint != plan.fingerprint:
        claim(plan.folder, plan.nothing_yet())
        return {}
    return {one.number: one.seconds for one in before.rounds}


def _prompts(plan: RoundsPlan) -> Written:
    config = plan.config
    return write_prompts(
        plan.folder,
        plan.training,
        config.held_out.prompts,
        plan.sources,
        parts=config.prompt_parts,
        max_held_out=config.held_out.max_prompts,
    )


def _round(
    config: RoundsConfig, number: int, written: Written, answers: list[Answers], found: Rounds
) -> tuple[RoundRecord, Answers]:
    """One round: data, training, held-out answers, and what these say against all policies before it."""
    start = time.monotonic()
    part = (number - 1) % config.prompt_parts
    _say(config, number, f"pairs of the answers of {policy_after(config, number - 1).model}")
    curated = _curate(config, number, written.parts[part])
    _say(config, number, "train")
    trained = _train(config, number)
    _say(config, number, "answer held-out prompts")
    mine, model = _answer(config, number, written)
    before = best_of(found.rounds)
    over_best = compared(mine.samples, answers[before].samples)
    record = RoundRecord(
        number=number,
        part=part + 1,
        data=DataRecord(
            version=curated.version,
            prompts=curated.generated.prompts if curated.generated else 0,
            responses=curated.generated.responses if curated.generated else 0,
            pairs=curated.counts.pairs,
            kept=curated.counts.kept,
            train=curated.counts.splits["train"],
        ),
        steps=trained.trained.steps,
        folder=policy_after(config, number).model,
        model=model,
        answers=mine.record,
        over_start=compared(mine.samples, answers[0].samples),
        over_previous=compared(mine.samples, answers[-1].samples),
        over_best=over_best,
        best_before=before,
        better=is_better(over_best, config.stop),
        seconds=round(time.monotonic() - start, 1),
    )
    return record, mine


def _curate(config: RoundsConfig, number: int, prompts: list[dict[str, Any]]) -> Manifest:
    """The round's pairs, curated.

    Raises:
        SourceError: none is left to train on.
    """
    recipe = curation_of(config, number, prompts)
    plan = plan_run(recipe)
    manifest = plan.finished or curate_stages(plan)
    if not manifest.counts.splits.get("train"):
        message = (
            f"round {number}: no pair is left to train on (of {manifest.counts.pairs:,} pairs "
            f"{manifest.counts.kept:,} were kept); report.html in {recipe.output.dir} and in its generated/ say why"
        )
        raise SourceError(message)
    return manifest


def _train(config: RoundsConfig, number: int) -> TrainingRecord:
    plan = plan_training(training_of(config, number))
    found = plan.finished or run_training(plan)
    gc.collect()  # a trainer holds itself in circles, and its model with it; vLLM is to have the memory
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return found


def _answer(config: RoundsConfig, number: int, written: Written) -> tuple[Answers, ModelRecord]:
    """What the policy after a round says to held-out prompts, and which model that is."""
    evaluation = evaluation_of(config, number, written.held_out)
    plan = plan_generation(evaluation)
    manifest = plan.finished or make(plan, plan.folder, engine_call)
    return read_answers(Path(evaluation.output.dir), manifest), model_record(plan.policies[0].model.identity)


def _with(found: Rounds, one: RoundRecord, config: RoundsConfig) -> Rounds:
    """The record with another round, and whether it was the last."""
    done = [*found.rounds, one]
    ended = "stopped" if should_stop(done, config.stop) else "all_rounds" if len(done) >= config.rounds else None
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return found.model_copy(update={"rounds": done, "ended": ended, "finished_at": now})


def _verdict(found: Rounds, one: RoundRecord) -> str:
    rate = one.over_start.rate
    over = f"wins {rate.value:.1%} [{rate.low:.1%}, {rate.high:.1%}] of held-out prompts over the start"
    better = "the best so far" if one.better else f"not better than round {one.best_before}"
    ended = "; stopped" if found.ended == "stopped" else ""
    return (
        f"round {one.number}: {over}, {better if one.best_before or one.better else 'not better than the start'}{ended}"
    )


def _say(config: RoundsConfig, number: int, what: str) -> None:
    where = f"round {number} of {config.rounds}" if number else "before round 1"
    logger.info("%s: %s", where, what)
