"""All models against the baseline, one after the other."""

import shutil
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
from flows.answers.entropy import entropy_curves
from flows.answers.generations import JUDGE, generation_of, labels_of, made
from flows.answers.prefixes import COMPLETER, prefix_quality
from flows.answers.reading import (
    AskedAnswer,
    asked_answers,
    comparisons,
    histogram,
    of_prompts,
    read_answered,
    record_of,
)
from flows.answers.winning import wins_record
from flows.generate.judges import find_annotator
from flows.generate.plan import GenerationPlan, plan_generation
from flows.generate.voices import FoundPolicy, find_policy
from flows.models.engine_calls import Pay
from flows.recipe.generation import compares
from flows.runtime.progress import Progress
from transforms.errors import SourceError
from transforms.paths import ledger_root
from transforms.records.answers import AnswersEvaluation, AnswersRecord, PrefixQuality
from transforms.records.generation import AnnotatorRecord, GenerationManifest
from transforms.records.manifest import ModelRecord, SpendRecord

FOLDER: Final = "answers"


@dataclass(frozen=True)
class AnswersPlan:
    """The section with everything that it names found."""

    config: AnswersConfig
    generations: Mapping[str, GenerationPlan]  # by the label of the model that is held against the baseline
    benchmark: FoundBenchmark | None
    completer: str | None  # identity of the policy that completes beginnings
    ledger: str | None
    today: date

    @property
    def fingerprint(self) -> list[str]:
        """What decides every number."""
        found = [f"{label} {plan.fingerprint}" for label, plan in self.generations.items()]
        return [*found, *([self.benchmark.content] if self.benchmark else []), *filter(None, [self.completer])]


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
    completer = None
    if config.prefixes:
        policy = find_policy(COMPLETER, config.prefixes.completer, chat_template_date)
        completer = " ".join([str(policy.model.identity), *map(str, policy.tokens_key)])
    return AnswersPlan(config, generations, benchmark, completer, ledger, chat_template_date)


def drop_other_answers(folder: Path, plan: AnswersPlan) -> None:
    """Remove generations of an earlier evaluation in the folder that are none of this plan's; the ledger has them."""
    place = folder / FOLDER
    for path in place.iterdir() if place.is_dir() else ():
        if path.is_dir() and path.name not in plan.generations:
            shutil.rmtree(path)


def evaluate_answers(plan: AnswersPlan, pay: Pay, progress: Progress) -> AnswersEvaluation:
    """Answer, judge and compare; what the ledger holds costs nothing.

    Args:
        plan: with everything found.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows what is done.
    """
    config, by_comparing = plan.config, compares(plan.config.judge)
    manifests = {label: made(one, pay) for label, one in plan.generations.items()}
    both = {
        label: read_answered(plan.generations[label].folder, manifest, config.judge)
        for label, manifest in manifests.items()
    }
    # A prompt that some model cannot read is none of its generation's; rates are to be of the same ones.
    asked = [set(one.instructions) for one in both.values()]
    common = set.intersection(*asked)
    if not common:
        message = (
            f"answers: no prompt could be asked of all {len(config.models)} models; see answers/*/quarantine.jsonl"
        )
        raise SourceError(message)
    wins, models, texts = [], {}, {}
    for label, manifest in manifests.items():
        answered = of_prompts(both[label], common)
        compared = comparisons(answered, compares=by_comparing)
        wins.append(wins_record(label, answered, compared, plan.benchmark))
        labels = labels_of(manifest)
        for name, voice, written in (
            (config.first, labels.baseline, answered.baseline),
            (label, labels.model, answered.model),
        ):
            models[name] = record_of(written, label=name, model=_model(manifest, voice), compares=by_comparing)
            texts[name] = written
    found = list(manifests.values())
    answers = _asked(plan, manifests) if config.prefixes or config.entropy_of else {}
    judges = [manifest.annotators[0] for manifest in found]
    return AnswersEvaluation(
        judge=judges[0].model,
        judge_kind=config.judge.kind,
        compares=by_comparing,
        sources=found[0].sources,
        prompts=len(common),
        not_of_all=len(set.union(*asked) - common),
        baseline=config.first,
        samples=config.models[0].n,
        models=_baseline_first(models, config.first),
        wins=wins,
        unscored=_unscored(judges),
        lengths=histogram({label: one.characters.astype(np.float64) for label, one in texts.items()}),
        scores=None if by_comparing else histogram({label: one.score for label, one in texts.items()}),
        prefixes=_prefixes(plan, answers, pay, progress),
        entropy=entropy_curves(answers, _policies(plan), of=config.entropy_of, progress=progress)
        if config.entropy_of
        else [],
        quarantined=sum(one.counts.quarantined + one.counts.quarantined_responses for one in found),
        completions=_sum([manifest.completions for manifest in found]),
        judgements=_sum([judge.spend for judge in judges]),
        price=_price([judge.price for judge in judges]),
    )


def _asked(plan: AnswersPlan, manifests: Mapping[str, GenerationManifest]) -> dict[str, list[AskedAnswer]]:
    """What every model wrote, the baseline first."""
    found: dict[str, list[AskedAnswer]] = {plan.config.first: []}
    for label, manifest in manifests.items():
        both = asked_answers(plan.generations[label].folder, manifest)
        found[plan.config.first] = both.baseline  # the same in each, but for prompts that the model cannot read
        found[label] = both.model
    common = set.intersection(*({one.prompt_id for one in mine} for mine in found.values()))
    return {label: [one for one in mine if one.prompt_id in common] for label, mine in found.items()}


def _policies(plan: AnswersPlan) -> dict[str, FoundPolicy]:
    found: dict[str, FoundPolicy] = {}
    for label, one in plan.generations.items():
        baseline, model = one.policies
        found |= {plan.config.first: baseline, label: model}
    return found


def _prefixes(
    plan: AnswersPlan, answers: Mapping[str, Sequence[AskedAnswer]], pay: Pay, progress: Progress
) -> PrefixQuality | None:
    config = plan.config
    if config.prefixes is None:
        return None
    root = ledger_root(plan.ledger)
    return prefix_quality(
        answers,
        config.prefixes,
        find_annotator(JUDGE, config.judge, ledger_root=root, today=plan.today, cluster=None),
        seed=config.seed,
        batch=config.batch,
        ledger_root=root,
        today=plan.today,
        pay=pay,
        progress=progress,
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
