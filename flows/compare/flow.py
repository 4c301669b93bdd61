"""The comparison as a Prefect flow."""

import gc
import logging
import time
from datetime import UTC, datetime
from functools import partial

import torch
from prefect import flow

from flows.compare.answers import ask, known_answers, write_prompts
from flows.compare.artifacts import show_comparison
from flows.compare.config import ComparisonConfig
from flows.compare.estimate import answers_in_words, estimate, in_words, known_speed, seconds_left, tried_speed
from flows.compare.held_out import HeldOut, hold_out
from flows.compare.output import JUDGED, NUMBERS, PAGE, answers_path, comparison_folder
from flows.compare.plan import ComparisonPlan, plan_comparison
from flows.compare.result import Outcome, result_of
from flows.compare.schedule import Planned, Schedule, schedule
from flows.compare.scores import Judging
from flows.runtime.artifacts import show_progress
from flows.runtime.progress import Progress
from flows.runtime.tasks import engine_call, stage
from flows.runtime.temporary_server import end_server_with_us
from flows.train.flow import run_training
from flows.train.output import MODEL
from flows.train.plan import plan_training
from flows.versions.output_folder import write_text
from transforms.errors import CurationError, OutputError
from transforms.records.comparison import Comparison
from transforms.report.comparison_page import render_comparison
from transforms.text import duration

logger = logging.getLogger(__name__)


@flow(name="compare", flow_run_name="compare {config.name}", persist_result=False)
def compare(config: ComparisonConfig) -> Comparison:
    """Train one recipe on every variant of a curated run and judge all models by the same held-out pairs."""
    end_server_with_us()
    plan = plan_comparison(config)
    return plan.finished or run_comparison(plan)


def run_comparison(plan: ComparisonPlan) -> Comparison:
    """Train and judge what is not there yet, one model in memory at a time; the page, then the numbers.

    A training that fails is named in the result and stops no other one; only a full disk stops all of them.
    """
    start = time.monotonic()
    output = plan.config.output
    with comparison_folder(plan.folder, shared=plan.shared.fingerprint, overwrite=output.overwrite):
        planned = stage("read shards", partial(schedule, plan))
        held = stage("hold out", partial(hold_out, plan))
        if plan.judged_by:
            stage("write prompts", partial(write_prompts, plan.judged_by, held.table))
        speed = known_speed(plan, planned.trainings) or stage("measure", partial(tried_speed, plan, held))
        bill = in_words(estimate(plan, planned, held, speed)) + answers_in_words(plan, planned, held)
        for line in bill:
            logger.info(line)
        outcomes = _outcomes(plan, planned, held)
        found = result_of(
            plan, planned, held, outcomes, seconds=time.monotonic() - start, finished_at=datetime.now(UTC)
        )
        write_text(plan.folder / PAGE, render_comparison(found))
        write_text(plan.folder / NUMBERS, found.model_dump_json(indent=2) + "\n")
    show_comparison(found, plan.folder)
    return found


def _outcomes(plan: ComparisonPlan, planned: Schedule, held: HeldOut) -> list[Outcome]:
    progress = Progress()
    show_progress(progress)
    judging = Judging(plan, held, engine_call, progress)
    outcomes: list[Outcome] = []
    for number, one in enumerate(planned.trainings, 1):
        try:
            outcomes.append(_train_and_judge(plan, one, judging))
        except OutputError:
            raise  # what the disk does to one training it does to all
        except (CurationError, RuntimeError) as error:  # torch's own, out of memory among them
            logger.warning("%s failed: %s", one.key, error)
            outcomes.append(Outcome(one, None, None, str(error)))
        release()
        logger.info("%s: training %d of %d%s", one.key, number, len(planned.trainings), _to_go(plan, planned, number))
    return outcomes


def release() -> None:
    """Let go of trained models: a trainer holds itself in circles, and its model with it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _train_and_judge(plan: ComparisonPlan, one: Planned, judging: Judging) -> Outcome:
    """A training that is finished is not repeated, unless its weights are wanted and gone."""
    training = plan_training(plan.recipe(one.variant, seed=one.seed, steps=one.steps, name=one.key))
    path, model = plan.folder / JUDGED / f"{one.key}.json", training.folder / MODEL
    wrote = answers_path(plan.folder, one.key)
    record = training.finished
    judged = judging.known(path, record.fingerprint) if record else None
    answered = known_answers(wrote, record.fingerprint, plan.judged_by) if record and plan.judged_by else None
    if record is None or judged is None or (plan.judged_by and answered is None):
        if record is None or not list(model.glob("*.safetensors")):
            record = run_training(training, refer_to_every=True)
        judged = judged or judging.judge(path, record.fingerprint, model)
        if plan.judged_by and answered is None:
            release()  # the trainer's model; an engine is to have the memory
            start, run = (plan.base.model.model, plan.base.model.revision), plan.shared.run.manifest
            try:
                answered = ask(wrote, record.fingerprint, model, start, plan.judged_by, run.template, engine_call)
            except OutputError:
                raise
            except (CurationError, RuntimeError) as error:
                logger.warning("%s: its answers could not be judged, and its weights stay: %s", one.key, error)
                seconds = sum(record.seconds.values()) + judged.seconds
                return Outcome(one, seconds, judged, None, None, str(error))
    if not plan.config.output.models:
        for weights in model.glob("*.safetensors"):
            weights.unlink()
    seconds = sum(record.seconds.values()) + judged.seconds + (answered.seconds if answered else 0.0)
    return Outcome(one, seconds, judged, None, answered)


def _to_go(plan: ComparisonPlan, planned: Schedule, done: int) -> str:
    speed = known_speed(plan, planned.trainings)
    if done == len(planned.trainings) or speed is None:
        return ""
    seconds = seconds_left(plan, planned.trainings[done:], speed)
    return f", about {duration(seconds)} to go".replace("\u00a0", " ")
