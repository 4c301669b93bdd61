"""From what every trained model said to the comparison: one table, each number with what it rests on."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from flows.compare.answers import AnsweredModel, AnsweredTraining, answers_compared
from flows.compare.held_out import HeldOut
from flows.compare.output import TRAININGS
from flows.compare.plan import ComparisonPlan
from flows.compare.schedule import Planned, Schedule
from flows.compare.scores import JudgedModel
from flows.models.recipe_models import model_record
from flows.train.output import read_record
from flows.versions.fingerprint import git_commit, package_versions
from transforms.evaluation.accuracies import correct
from transforms.evaluation.standings import PairScores, Trial, readable, standings
from transforms.records.comparison import AnswersCompared, Comparison, TrainingResult
from transforms.report.codes_in_words import cut_in_words
from transforms.statistics.intervals import Floats


class Outcome(NamedTuple):
    """What became of a training: what its model said, or why there is none."""

    planned: Planned
    seconds: float | None  # training and judging
    judged: JudgedModel | None
    error: str | None
    answered: AnsweredModel | None = None  # what it wrote, where that is asked for
    answers_error: str | None = None  # why it is not known


def result_of(
    plan: ComparisonPlan,
    planned: Schedule,
    held: HeldOut,
    outcomes: Sequence[Outcome],
    *,
    seconds: float,
    finished_at: datetime,
) -> Comparison:
    """All numbers; every model is held against the pairs that all of them could read."""
    judged = [(one.planned, one.judged) for one in outcomes if one.judged is not None]
    trials = [
        Trial(one.variant.name, one.seed, one.budgets, one.steps, one.tokens, one.passes, found.scores)
        for one, found in judged
    ]
    rows = readable(trials) if trials else list(range(len(held.examples)))
    trials = [trial._replace(scores=trial.scores.of(rows)) for trial in trials]
    scores = {one.key: trial.scores for (one, _), trial in zip(judged, trials, strict=True)}
    prompts = held.prompts
    shared = plan.shared
    devices = {record.device for one, _ in judged if (record := read_record(plan.folder / TRAININGS / one.key))}
    return Comparison(
        name=plan.config.name,
        fingerprint=plan.fingerprint,
        config=plan.config.model_dump(mode="json"),
        training=plan.base.model_dump(mode="json"),
        judge=judged[0][1].judge if judged else None,
        run=shared.recipe.dataset.path,
        run_name=shared.run.manifest.name,
        version=shared.run.manifest.version,
        cut=cut_in_words(shared.run.manifest.config),
        model=model_record(shared.model.identity),
        test=held.record(rows),
        variants=planned.variants,
        trainings=[_training(plan, one, scores.get(one.planned.key)) for one in outcomes],
        standings=standings(
            [variant.name for variant in planned.variants],
            plan.config.budgets,
            trials,
            [prompts[row] for row in rows],
        ),
        answers=_answers(plan, outcomes, held),
        packages=package_versions(),
        git_commit=git_commit(),
        device=", ".join(sorted(devices)),
        seconds=round(seconds, 3),
        finished_at=finished_at.isoformat(timespec="seconds"),
    )


def _answers(plan: ComparisonPlan, outcomes: Sequence[Outcome], held: HeldOut) -> AnswersCompared | None:
    if plan.config.answers is None:
        return None
    found = [
        AnsweredTraining(one.planned.variant.name, one.planned.seed, one.planned.budgets, one.answered)
        for one in outcomes
        if one.answered is not None
    ]
    names = [variant.name for variant in plan.variants]
    return answers_compared(found, names, plan.config.budgets, held.trained, plan.config.answers)


def _training(plan: ComparisonPlan, outcome: Outcome, scores: PairScores | None) -> TrainingResult:
    one = outcome.planned
    return TrainingResult(
        variant=one.variant.name,
        seed=one.seed,
        steps=one.steps,
        budgets=list(one.budgets),
        examples=one.steps * plan.base.stepwise.pairs_per_step,
        tokens=one.tokens,
        folder=f"{TRAININGS}/{one.key}",
        seconds=outcome.seconds,
        accuracy=None if scores is None else float(correct(scores.margins).mean()),
        margin=None if scores is None else float(scores.margins.mean()),
        chosen=_mean(scores and scores.chosen),
        rejected=_mean(scores and scores.rejected),
        error=outcome.error,
        answers_error=outcome.answers_error,
    )


def _mean(values: Floats | None) -> float | None:
    return None if values is None else float(values.mean())
