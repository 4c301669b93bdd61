"""What trained policies write, each against the model that training started from; kept, so that none is asked twice."""

import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from flows.answers.generations import JUDGE, generation_of, labels_of, made
from flows.answers.reading import comparisons, left_out, prompt_number, read_answered, record_of
from flows.compare.config import ComparedAnswers
from flows.compare.output import ANSWERS, training_of
from flows.generate.judges import find_annotator
from flows.generate.plan import plan_generation
from flows.models.engine_calls import Pay
from flows.recipe.generation import compares
from flows.recipe.models import MODEL_INDIFFERENT
from flows.train.config import TrainingRecipe
from flows.versions.fingerprint import fingerprint_of, source_records
from flows.versions.output_folder import write_bytes, write_text
from transforms.chat.conversation import asked_of
from transforms.chat.template import DEFAULT_DATE
from transforms.evaluation.answer_standings import AnswersTrial, answer_standings, common_prompts
from transforms.pairing.win_rate import Comparisons
from transforms.paths import ledger_root
from transforms.records.answers import AnswersRecord
from transforms.records.comparison import AnswersCompared, Budget
from transforms.records.manifest import ModelRecord, TemplateRecord
from transforms.tables.schema import PROMPT_DIGITS

PROMPTS: Final = "prompts.jsonl"
TEMPLATE: Final = "chat_template.jinja"


class JudgedBy(NamedTuple):
    """How answers are judged, found before anything is trained."""

    config: ComparedAnswers
    folder: Path  # of the comparison's answers
    ledger: str | None
    fingerprint: str  # of prompts, judge and how models answer
    today: date = DEFAULT_DATE  # that chat templates are told


class AnsweredModel(BaseModel):
    """judged/KEY.answers.json: who won which comparison, (C,) lists."""

    model_config = ConfigDict(extra="forbid")

    training: str  # fingerprint
    asked: str  # fingerprint of how
    seconds: float
    judge: ModelRecord
    model: AnswersRecord
    baseline: AnswersRecord
    prompts: list[str]  # prompt_id of each comparison
    wins: list[float]
    longer: list[int]  # characters
    there: list[str]  # prompt_id of every prompt that was asked
    read_as: dict[str, str]  # prompt_id → what the start's tokens of it are known by
    left_out: dict[str, int]
    quarantined: int  # prompts and rows that could not be asked
    completions: int
    judgements: int

    def compared(self, without: frozenset[str]) -> Comparisons:
        """Who won, on prompts that were not trained on."""
        kept = [at for at, name in enumerate(self.prompts) if name not in without]
        numbers = np.array([prompt_number(self.prompts[at]) for at in kept], np.int64)
        prompts, place = np.unique(numbers, return_inverse=True)
        return Comparisons(
            prompt=place,
            wins=np.array(self.wins, np.float64)[kept],
            longer=np.array(self.longer, np.int64)[kept],
            prompts=prompts,
            there=len(set(self.there) - without),
        )


def date_of(template: TemplateRecord | None) -> date:
    """The day that a run's chat template was told, on which trained models are asked too: with another one no prompt
    would be in the tokens that were trained on. A template that asks for no day has the default one."""
    return date.fromisoformat(template.date) if template and template.date else DEFAULT_DATE


def plan_judging(config: ComparedAnswers, folder: Path, base: TrainingRecipe, today: date) -> JudgedBy:
    """Find prompts and judge.

    Args:
        config: the section.
        folder: of the comparison.
        base: the training recipe, for its ledger.
        today: that chat templates are told.

    Raises:
        ConfigError: what no generation takes.
        SourceError: prompts that cannot be reached.
        ModelError: a judge that is missing or cannot be used.
    """
    start = config.answering(base.model.model, base.model.revision)
    generation_of(
        start,
        start,
        config.judge,
        name="start",
        prompts=config.prompts or [{"kind": "prompts", "path": "./held-out.jsonl"}],
        max_prompts=config.max_prompts,
        seed=config.seed,
        batch=config.batch,
        folder=folder / ANSWERS,
        ledger=base.ledger,
        chat_template_date=today,
    )  # says now what it would not take after the first training
    judge = find_annotator(JUDGE, config.judge, ledger_root=ledger_root(base.ledger), today=today, cluster=None)
    sources = [[one.label, one.revision, one.fingerprint] for one in source_records(config.prompts)]
    content: dict[str, Any] = {
        "config": config.model_dump(mode="json", exclude={"policy": MODEL_INDIFFERENT, "judge": MODEL_INDIFFERENT}),
        "sources": sources,
        "judge": [str(judge.identity), *judge.inputs_key],
    }
    if today != DEFAULT_DATE:  # comparisons were made before there was another
        content["chat_template_date"] = today.isoformat()
    return JudgedBy(config, folder / ANSWERS, base.ledger, fingerprint_of(content), today)


def write_prompts(judged_by: JudgedBy, pairs: pa.Table) -> None:
    """The prompts of held-out pairs (schema.CURATED) as a file to ask from, where the recipe names no others."""
    if judged_by.config.prompts:
        return
    rows: dict[str, dict[str, Any]] = {}
    for key, asked in zip(pairs["pair_id"].to_pylist(), asked_of(pairs), strict=True):
        row: dict[str, Any] = {"prompt": [dict(turn) for turn in asked.turns]}
        row |= {"tools": list(asked.tools)} if asked.tools else {}
        row |= {"chat_template_kwargs": dict(asked.kwargs)} if asked.kwargs else {}
        rows.setdefault(key[:PROMPT_DIGITS], row)
    judged_by.folder.mkdir(parents=True, exist_ok=True)
    content = b"".join(orjson.dumps(rows[key]) + b"\n" for key in sorted(rows))
    if not (path := judged_by.folder / PROMPTS).is_file() or path.read_bytes() != content:
        write_bytes(path, content)


def known_answers(path: Path, training: str, judged_by: JudgedBy) -> AnsweredModel | None:
    """What the model of a training, given by its fingerprint, wrote before when it was asked so."""
    try:
        found = AnsweredModel.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return found if (found.training, found.asked) == (training, judged_by.fingerprint) else None


def write_template(judged_by: JudgedBy, template: TemplateRecord | None) -> dict[str, Any]:
    """The run's own chat template, where it has one, as keys for every model: trained ones are saved with it."""
    if template is None:
        return {}
    keys: dict[str, Any] = {"chat_template_kwargs": template.kwargs} if template.kwargs else {}
    if template.text is not None:
        path = judged_by.folder / TEMPLATE
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, template.text)
        keys["chat_template"] = str(path)
    return keys


def ask(
    path: Path,
    training: str,
    model: Path,
    start: tuple[str, str | None],
    judged_by: JudgedBy,
    template: TemplateRecord | None,
    pay: Pay,
) -> AnsweredModel:
    """Let a trained model and the one that it started from answer, and write who won to `path`.

    Args:
        path: judged/KEY.answers.json.
        training: its fingerprint.
        model: folder of the trained model.
        start: model and revision that training started from.
        judged_by: how they are asked and judged.
        template: of the run that they were trained on; the recipe's own keys go before it.
        pay: calls a batch of expensive work by a name, and again if its engine fails.

    Raises:
        CurationError: a model that cannot be loaded, or an engine that failed whatever was tried.
    """
    begun, config, key = time.monotonic(), judged_by.config, training_of(path)
    own = str(judged_by.folder / PROMPTS)
    held_out = {"kind": "prompts", "path": own if Path(own).is_absolute() else f"./{own}"}
    spoken = write_template(judged_by, template)
    plan = plan_generation(
        generation_of(
            config.answering(str(model.resolve()), **spoken),
            config.answering(*start, **spoken),
            config.judge,
            name=key[:96],
            prompts=config.prompts or [held_out],
            max_prompts=config.max_prompts,
            seed=config.seed,
            batch=config.batch,
            folder=judged_by.folder / key,
            ledger=judged_by.ledger,
            chat_template_date=judged_by.today,
        )
    )
    manifest, by_comparing = made(plan, pay), compares(config.judge)
    answered = read_answered(plan.folder, manifest, config.judge)
    compared = comparisons(answered, compares=by_comparing)
    names = {prompt_number(one): one for one in answered.names}
    models, labels = {voice.label: voice.model for voice in manifest.voices}, labels_of(manifest)
    found = AnsweredModel(
        training=training,
        asked=judged_by.fingerprint,
        seconds=round(time.monotonic() - begun, 3),
        judge=manifest.annotators[0].model,
        model=record_of(answered.model, label=key, model=models[labels.model], compares=by_comparing),
        baseline=record_of(answered.baseline, label="start", model=models[labels.baseline], compares=by_comparing),
        prompts=[names[int(compared.prompts[at])] for at in compared.prompt],
        wins=compared.wins.tolist(),
        longer=compared.longer.tolist(),
        there=list(answered.names),
        read_as=dict(answered.read_as),
        left_out=left_out(answered, compared),
        quarantined=manifest.counts.quarantined,
        completions=manifest.completions.generated,
        judgements=manifest.annotators[0].spend.generated,
    )
    write_text(path, found.model_dump_json() + "\n")
    return found


class Seen(NamedTuple):
    """What training saw, by its messages and by its tokens: a default system turn makes two prompts of one."""

    prompts: frozenset[str]  # `prompt_id`
    read_as: frozenset[str]  # `tokens_key`


class AnsweredTraining(NamedTuple):
    """A training's place in the comparison, and what its model wrote."""

    variant: str
    seed: int
    budgets: tuple[Budget, ...]
    answered: AnsweredModel


def answers_compared(
    found: Sequence[AnsweredTraining],
    variants: Sequence[str],
    budgets: Sequence[Budget],
    seen: Seen,
    config: ComparedAnswers,
) -> AnswersCompared | None:
    """All standings; None without a training whose model answered."""
    if not found:
        return None
    trained = seen.prompts | {
        name for one in found for name, key in one.answered.read_as.items() if key in seen.read_as
    }
    trials = [
        AnswersTrial(
            one.variant,
            one.seed,
            one.budgets,
            one.answered.compared(trained),
            one.answered.model.characters.mean,
            one.answered.model.ended,
        )
        for one in found
    ]
    prompts = common_prompts(trials)
    asked = {name for one in found for name in one.answered.there}
    fresh, kept = asked - trained, {int(one) for one in prompts}
    lost = [name for name in fresh if prompt_number(name) not in kept]
    return AnswersCompared(
        judge=found[0].answered.judge,
        judge_kind=config.judge.kind,
        compares=compares(config.judge),
        samples=config.answering("model").n,
        asked=len(asked),
        compared=len(prompts),
        trained_on=len(asked) - len(fresh),
        unasked=max(one.answered.quarantined for one in found),
        left_out={_LEFT_OUT: len(lost)} if lost else {},
        baseline=found[0].answered.baseline,
        standings=answer_standings(variants, budgets, trials, prompts) if len(prompts) else [],
        completions=sum(one.answered.completions for one in found),
        judgements=sum(one.answered.judgements for one in found),
    )


_LEFT_OUT: Final = "some model's answer to it could not be judged or used"
