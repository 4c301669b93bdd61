"""All models against the baseline, one after the other."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from flows.annotators.comparisons import ALONE
from flows.answers.benchmark import FoundBenchmark, find_benchmark
from flows.answers.config import AnswersConfig
from flows.answers.generations import BASELINE, MODEL, generation_of, made
from flows.answers.reading import comparisons, histogram, read_answered, record_of
from flows.answers.winning import wins_record
from flows.generate.plan import GenerationPlan, plan_generation
from flows.models.engine_calls import Pay
from flows.recipe.generation import compares
from transforms.records.answers import AnswersEvaluation, AnswersRecord
from transforms.records.generation import AnnotatorRecord, GenerationManifest
from transforms.records.manifest import ModelRecord, SpendRecord

FOLDER: Final = "answers"


@dataclass(frozen=True)
class AnswersPlan:
    """The section with everything that it names found."""

    config: AnswersConfig
    generations: Mapping[str, GenerationPlan]  # by the label of the model that is held against the baseline
    benchmark: FoundBenchmark | None

    @property
    def fingerprint(self) -> list[str]:
        """What decides every number."""
        found = [f"{label} {plan.fingerprint}" for label, plan in self.generations.items()]
        return [*found, self.benchmark.content] if self.benchmark else found


def plan_answers(
    config: AnswersConfig, *, name: str, folder: Path, ledger: str | None, chat_template_date: date
) -> AnswersPlan:
    """Find prompts, models, judge and benchmark.

    Args:
        config: the section.
        name: of the evaluation.
        folder: of the evaluation; a generation a model goes into its folder `answers`.
        ledger: as the evaluation has it.
        chat_template_date: that chat templates are told.

    Raises:
        SourceError: prompts or a file of the benchmark that cannot be read.
        ModelError: a model that is missing or cannot be used.
    """
    benchmark = find_benchmark(config.alpaca_eval) if config.alpaca_eval else None
    generations = {
        label: plan_generation(
            generation_of(
                config.model(label),
                config.model(config.first),
                config.judge,
                name=f"{name}-{label}"[:96],
                prompts=config.prompts,
                max_prompts=config.max_prompts,
                seed=config.seed,
                batch=config.batch,
                folder=folder / FOLDER / label,
                ledger=ledger,
                chat_template_date=chat_template_date,
            )
        )
        for label in config.others
    }
    return AnswersPlan(config, generations, benchmark)


def evaluate_answers(plan: AnswersPlan, pay: Pay) -> AnswersEvaluation:
    """Answer, judge and compare; what the ledger holds costs nothing.

    Args:
        plan: with everything found.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
    """
    config, by_comparing = plan.config, compares(plan.config.judge)
    manifests = {label: made(one, pay) for label, one in plan.generations.items()}
    wins, models, texts = [], {}, {}
    for label, manifest in manifests.items():
        answered = read_answered(plan.generations[label].folder, manifest)
        compared = comparisons(answered, compares=by_comparing)
        wins.append(wins_record(label, answered, compared, plan.benchmark))
        for name, voice, written in (
            (config.first, BASELINE, answered.baseline),
            (label, MODEL, answered.model),
        ):
            models[name] = record_of(written, label=name, model=_model(manifest, voice), compares=by_comparing)
            texts[name] = written
    found = list(manifests.values())
    judges = [manifest.annotators[0] for manifest in found]
    return AnswersEvaluation(
        judge=judges[0].model,
        judge_kind=config.judge.kind,
        compares=by_comparing,
        sources=found[0].sources,
        prompts=found[0].counts.drawn,
        baseline=config.first,
        samples=config.models[0].n,
        models=_baseline_first(models, config.first),
        wins=wins,
        unscored=_unscored(judges),
        lengths=histogram({label: one.characters.astype(np.float64) for label, one in texts.items()}),
        scores=None if by_comparing else histogram({label: one.score for label, one in texts.items()}),
        quarantined=sum(one.counts.quarantined + one.counts.quarantined_responses for one in found),
        completions=_sum([manifest.completions for manifest in found]),
        judgements=_sum([judge.spend for judge in judges]),
        price=_price([judge.price for judge in judges]),
    )


def _unscored(judges: Sequence[AnnotatorRecord]) -> dict[str, int]:
    """Without answers that had none beside them to be compared with: those are prompts that are left out."""
    found = sum((Counter(judge.unscored) for judge in judges), Counter[str]())
    return {why: number for why, number in found.most_common() if why != ALONE}


def _model(manifest: GenerationManifest, label: str) -> ModelRecord:
    return next(voice.model for voice in manifest.voices if voice.label == label)


def _baseline_first(models: Mapping[str, AnswersRecord], first: str) -> list[AnswersRecord]:
    return [models[first], *(one for label, one in models.items() if label != first)]


def _sum(spends: list[SpendRecord]) -> SpendRecord:
    total = SpendRecord.nothing()
    for one in spends:
        total = total.plus(one)
    return total


def _price(prices: list[float | None]) -> float | None:
    known = [price for price in prices if price is not None]
    return sum(known) if known else None
