"""Small records of each command by hand, written where a step would leave them."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from report_support import audit, curve, manifest

from flows.reproduce.config import Reading
from flows.reproduce.readings import read
from transforms.records.answers import (
    AlpacaEvalRecord,
    AnswersEvaluation,
    AnswersRecord,
    EntropyCurve,
    HistogramRecord,
    LengthsRecord,
    PrefixQuality,
    QualityCurve,
    WinsRecord,
)
from transforms.records.comparison import (
    AnswersCompared,
    AnswersDifference,
    AnswersStanding,
    Comparison,
    Difference,
    HeldOutRecord,
    Standing,
    VariantRecord,
)
from transforms.records.evaluation import (
    AccuracyRecord,
    Counts,
    Curve,
    Displacement,
    Distance,
    Evaluation,
    Judged,
    Kept,
    PolicyEvaluation,
    RewardEvaluation,
    SectionRecord,
)
from transforms.records.manifest import ModelRecord, ShareRecord, SpendRecord
from transforms.records.reproduction import Series
from transforms.records.rewardbench2 import BestOfCounts, RewardBench2Evaluation, SubsetRecord
from transforms.records.tasks import TaskScore, TasksEvaluation
from transforms.statistics.intervals import MeanRecord

STEP = "step"
MODEL = ModelRecord(
    name="/tmp/steps/annotator/model", revision="local", fingerprint="f", dtype="float32", engine="vllm"
)
NOTHING = SpendRecord.nothing()


def series(folder: Path, reader: str, **options: Any) -> Series:
    """What a reader makes of a folder."""
    return read(Reading(label="ours", step=STEP, reads=reader, options=options), {STEP: folder})


def numbers(found: Series) -> list[tuple[Any, ...]]:
    """(x, y) or (x, y, low, high) of each point, to nine digits."""
    return [
        tuple(
            round(value, 9) if isinstance(value, float) else value
            for value in one.model_dump().values()
            if value is not None
        )
        for one in found.points
    ]


def write(folder: Path, name: str, record: BaseModel) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(record.model_dump_json())
    return folder


def write_lines(folder: Path, *lines: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def mean(value: float, half: float | None = 0.1) -> MeanRecord:
    return MeanRecord(
        value=value, low=None if half is None else value - half, high=None if half is None else value + half
    )


def of(value: float, half: float = 0.1, count: int = 36) -> ShareRecord:
    return ShareRecord(value=value, low=value - half, high=value + half, count=count)


def accuracy(value: float, source: str = "all", subset: str | None = None, pairs: int = 40) -> AccuracyRecord:
    return AccuracyRecord(
        source=source, subset=subset, pairs=pairs, prompts=pairs // 2, ties=0, value=value,
        low=value - 0.05, high=value + 0.05, margin=0.5,
    )  # fmt: skip


def policy(**changes: Any) -> PolicyEvaluation:
    fields: dict[str, Any] = {
        "model": MODEL,
        "reference": MODEL,
        "measure": "log_ratio",
        "beta": 0.1,
        "counts": Judged(loaded=40, judged=40, quarantined=0),
        "accuracy": [accuracy(0.65)],
        "sections": [],
        "kept": Kept(by_ratio=curve(0.5, 0.625, start=0.5, step=0.5, spread=0.25), by_tokens=[]),
        "displacement": [
            Displacement(side="chosen", before=mean(-2.0), after=mean(-2.5), change=mean(-0.5)),
            Displacement(side="rejected", before=None, after=mean(-3.0), change=None),
        ],
        "distance": Distance(
            pairs=32,
            kl=mean(0.25),
            curves=[
                Curve(measure="kl", model="both", side="chosen", points=curve(0.5, 0.25)),
                Curve(measure="entropy", model="policy", side="rejected", points=curve(1.5)),
            ],
        ),
        "spend": NOTHING,
    }
    return PolicyEvaluation(**(fields | changes))


def reward(**changes: Any) -> RewardEvaluation:
    fields: dict[str, Any] = {
        "model": MODEL,
        "counts": Judged(loaded=40, judged=40, quarantined=0),
        "accuracy": [
            accuracy(0.75), accuracy(0.8, "bench"), accuracy(0.7, "own"), accuracy(0.6, "bench", "hep-go", 20),
            accuracy(0.9, "bench", "hep-java", 20), accuracy(0.0, "bench", "none", 0),
        ],
        "sections": [
            SectionRecord(source="bench", section="Chat", pairs=10, value=0.8, low=0.7, high=0.9),
            SectionRecord(source="bench", section="Safety", pairs=10, value=0.5, low=0.4, high=0.6),
        ],
        "kept": Kept(by_ratio=[], by_tokens=[]),
        "spend": NOTHING,
    }  # fmt: skip
    return RewardEvaluation(**(fields | changes))


def answers(**changes: Any) -> AnswersEvaluation:
    def wrote(label: str, characters: float) -> AnswersRecord:
        lengths = LengthsRecord(mean=characters, quantiles=[1.0, 2.0, 3.0, 4.0, 5.0])
        tokens = lengths.model_copy(update={"mean": characters / 4})
        ends: Any = {"ended": 40}
        return AnswersRecord(
            label=label, model=MODEL, responses=40, ends=ends, tokens=tokens, characters=lengths, score=None
        )

    def won(label: str, **more: Any) -> WinsRecord:
        return WinsRecord(label=label, prompts=40, left_out={}, ties=0.1, **more)

    own = AlpacaEvalRecord(
        rate=0.61, standard_error=0.01, low=None, high=None, instructions=30, fitted=29, foreign=0, doubled=0, missing=0
    )
    fields: dict[str, Any] = {
        "judge": MODEL,
        "judge_kind": "reward",
        "compares": False,
        "sources": [],
        "prompts": 40,
        "baseline": "base",
        "samples": 2,
        "models": [wrote("base", 400.0), wrote("mine", 480.0), wrote("other", 100.0)],
        "wins": [
            won("mine", rate=of(0.7), at_equal_length=of(0.65), alpaca_eval=own),
            won("other", rate=of(0.4), at_equal_length=None, not_fitted="separated"),
        ],
        "unscored": {},
        "lengths": HistogramRecord(edges=[0.0, 500.0], counts={"base": [40]}),
        "scores": HistogramRecord(edges=[-1.0, 0.0, 2.0], counts={"base": [30, 10], "mine": [0, 0]}),
        "prefixes": PrefixQuality(
            completer=MODEL, completions_each=3, prompts=40, answers=80, read=80, left_out={},
            curves=[
                QualityCurve(label="base", points=curve(1.0, 2.0, start=4, step=4), over_baseline=[]),
                QualityCurve(label="mine", points=curve(3.0, start=4), over_baseline=curve(2.0, start=4)),
            ],
            completions=NOTHING, judgements=NOTHING,
        ),
        "entropy": [EntropyCurve(label="mine", responses=40, points=curve(2.0, 1.5))],
        "quarantined": 0,
        "completions": NOTHING,
        "judgements": NOTHING,
        "price": None,
    }  # fmt: skip
    return AnswersEvaluation(**(fields | changes))


def tasks(**changes: Any) -> TasksEvaluation:
    def score(task: str, value: float | None, stderr: float | None, metric: str = "acc") -> TaskScore:
        return TaskScore(
            task=task, group=False, version="1", metric=metric, filter="none", value=value, stderr=stderr, n=10,
            num_fewshot=0, higher_is_better=True,
        )  # fmt: skip

    fields: dict[str, Any] = {
        "model": MODEL,
        "lm_eval": "0.4.9",
        "packages": {},
        "chat_template": True,
        "limit": 10.0,
        "seed": 0,
        "scores": [
            score("arc", 0.5, 0.1), score("sure", 0.99, 0.1), score("alone", 0.25, None), score("lost", None, None),
            score("wiki", 12.5, 0.5, "perplexity"),
        ],
        "results": "lm_eval.json",
        "seconds": 1.0,
    }  # fmt: skip
    return TasksEvaluation(**(fields | changes))


def rewardbench2(**changes: Any) -> RewardBench2Evaluation:
    def subset(name: str, value: float, rows: int = 20) -> SubsetRecord:
        return SubsetRecord(
            subset=name, rows=rows, responses=80, level=0, value=value, low=value - 0.1, high=value + 0.1
        )

    fields: dict[str, Any] = {
        "source": "bench2",
        "model": MODEL,
        "counts": BestOfCounts(raw_rows=40, judged=40, quarantined=0),
        "subsets": [subset("Math", 0.5), subset("Ties", 0.25)],
        "ties": None,
        "total": None,
        "low": None,
        "high": None,
        "missing": ["Safety"],
        "spend": NOTHING,
    }
    return RewardBench2Evaluation(**(fields | changes))


def evaluation(**changes: Any) -> Evaluation:
    fields: dict[str, Any] = {
        "name": "unit",
        "fingerprint": "f",
        "sources": manifest().sources,
        "counts": Counts(raw_rows=40, read=40, loaded=40, left_out={}, quarantined=0),
        "reward": None,
        "policy": None,
        "packages": {},
        "git_commit": None,
        "seconds": 7.0,
        "finished_at": "2026-11-21T12:00:00+00:00",
    }
    return Evaluation(**(fields | changes))


def standing(variant: str, value: float, gain: float | None, budget: Any = "steps") -> Standing:
    less = None
    if gain is not None:
        less = Difference(
            trainings=2, accuracy=mean(gain, 0.05), margin=mean(0.5), chosen=mean(0.25), verdict="unclear"
        )
    return Standing(
        budget=budget, variant=variant, trainings=2, steps=4, tokens=100.0, passes=0.5, accuracy=mean(value),
        margin=mean(1.25, 0.5), chosen=mean(-0.125), rejected=None, difference=less,
    )  # fmt: skip


def answered(variant: str, value: float, gain: float | None, *, fitted: bool = True) -> AnswersStanding:
    less = None
    if gain is not None:
        equal = mean(gain / 2, 0.05) if fitted else None
        less = AnswersDifference(trainings=2, rate=mean(gain, 0.05), at_equal_length=equal, verdict="unclear")
    return AnswersStanding(
        budget="steps", variant=variant, trainings=2, rate=mean(value), at_equal_length=mean(0.5) if fitted else None,
        not_fitted=None if fitted else "separated", characters=400.0, ended=1.0, difference=less,
    )  # fmt: skip


def comparison(**changes: Any) -> Comparison:
    compared = AnswersCompared(
        judge=MODEL, judge_kind="reward", compares=False, samples=1, asked=32, compared=32, trained_on=0, unasked=0,
        left_out={}, baseline=answers().models[0],
        standings=[
            answered("raw", 0.5, None), answered("poet", 0.62, 0.12), answered("ratio 0.5", 0.45, -0.05, fitted=False),
        ],
        completions=0, judgements=0,
    )  # fmt: skip
    fields: dict[str, Any] = {
        "name": "unit",
        "fingerprint": "f",
        "config": {"budgets": ["steps"]},
        "training": {},
        "judge": "policy",
        "run": "./runs/unit",
        "run_name": "unit",
        "version": "0" * 16,
        "cut": "both responses are cut",
        "model": MODEL,
        "test": HeldOutRecord(pairs=96, prompts=90, dropped=0, left_out=0, cut_by_context=0, unread=0, tokens=5),
        "variants": [
            VariantRecord(name=name, pairs="all", kept="full", examples=8, tokens=80)
            for name in ("raw", "poet", "ratio 0.5", "curated")
        ],
        "trainings": [],
        "standings": [standing("raw", 0.6, None), standing("poet", 0.64, 0.04), standing("ratio 0.5", 0.5, -0.1)],
        "answers": compared,
        "packages": {},
        "git_commit": None,
        "device": "cpu",
        "seconds": 7.0,
        "finished_at": "2026-11-21T12:00:00+00:00",
    }
    return Comparison(**(fields | changes))


def reading(reader: str, *, step: str, label: str, **options: Any) -> Reading:
    return Reading(label=label, step=step, reads=reader, options=options)


def audit_step(folder: Path) -> Path:
    return write(folder, "audit.json", audit())
