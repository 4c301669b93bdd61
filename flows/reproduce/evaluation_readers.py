"""Readers of evaluation.json: pairs ordered, log-probs moved, answers compared, benchmarks. Shares in percent."""

from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from flows.reproduce.data_readers import curve, curve_or
from flows.reproduce.found import Found, Names, Options, chosen, gathered, nothing, once, point, read_record
from transforms.records.answers import AnswersEvaluation, WinsRecord
from transforms.records.evaluation import (
    ALL,
    AccuracyRecord,
    Evaluation,
    PolicyEvaluation,
    RewardEvaluation,
    SectionRecord,
)
from transforms.records.reproduction import SeriesPoint
from transforms.records.tasks import TaskScore

EVALUATION: Final = "evaluation.json"
NORMAL_95: Final = 1.959964  # standard errors on each side of a mean
_NO_ANSWERS: Final = "the evaluation has no answers"


class JudgedOptions(Options):
    """Whose order of the pairs: the policy's implicit reward or a reward model."""

    of: Literal["policy", "reward"]


class KeptOptions(JudgedOptions):
    """What is kept of a response."""

    by: Literal["ratio", "tokens"] = "ratio"


class AccuracyOptions(JudgedOptions):
    """Of what, and which of them; `source` where subsets of several sources have the same name."""

    by: Literal["all", "source", "subset", "section"] = "all"
    source: str | None = None
    only: list[str] = Field([])
    names: Names = Field({})

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.only and self.names:
            message = "`only` and `names` both choose; give one of them"
            raise ValueError(message)
        return self


class DistanceOptions(Options):
    """What is read by position, of whom; KL is of both."""

    measure: Literal["kl", "entropy", "log_prob"] = "kl"
    model: Literal["policy", "reference", "both"] | None = None
    side: Literal["chosen", "rejected"] = "chosen"


class DisplacementOptions(Options):
    """Whose log-prob, and when."""

    side: Literal["chosen", "rejected", "margin"] = "chosen"
    which: Literal["before", "after", "change"] = "change"


class AnswersOptions(Options):
    """Which win rate over the baseline, of which models."""

    measure: Literal["rate", "at_equal_length", "alpaca_eval"] = "rate"
    models: Names = Field({})


class LengthsOptions(Options):
    """In what, of which models."""

    unit: Literal["characters", "tokens"] = "characters"
    models: Names = Field({})


class PrefixOptions(Options):
    """Of whom, and whether the baseline's is taken off."""

    model: str
    over_baseline: bool = False


class ModelOptions(Options):
    """Of whom."""

    model: str


class HistogramOptions(ModelOptions):
    """How many bins are put together: few answers fill few."""

    merged: int = Field(1, ge=1)


class EntropyOptions(ModelOptions):
    """Of whom."""


class TasksOptions(Options):
    """Which metric of which tasks, behind which filter; of a share unless `percent` is off."""

    metric: str
    filter: str = "none"
    tasks: Names = Field({})
    percent: bool = True


class RewardBench2Options(Options):
    """The total or the subsets, of which source where there are several."""

    by: Literal["total", "subset"] = "subset"
    source: str | None = None
    names: Names = Field({})


def kept(folder: Path, options: KeptOptions) -> Found:
    """Accuracy when only the beginning of a response is read (Shallow Preference Signals, figures 2 and 5).

    x is the kept ratio in [0, 1], or the kept tokens.
    """
    found = _judged(folder, options.of)
    if found is None:
        return _no_judge(options.of)
    points = found.kept.by_ratio if options.by == "ratio" else found.kept.by_tokens
    return curve_or(points, f"the evaluation has no accuracy by kept {options.by}", times=100)


def accuracy(folder: Path, options: AccuracyOptions) -> Found:
    """How often the chosen response scores higher; x is "all", the source, the subset or the section."""
    found = _judged(folder, options.of)
    if found is None:
        return _no_judge(options.of)
    named = [
        (name, one)
        for name, one in _accuracies(found, options.by)
        if options.source is None or one.source == options.source
    ]
    if not named:
        where = "" if options.source is None else f" in the source {options.source!r}"
        return nothing(f"the evaluation has no accuracy by {options.by}{where}")
    once([name for name, _ in named], "say which `source`")
    by_name = dict(named)

    def read(name: str, x: float | str) -> SeriesPoint | str:
        one = by_name[name]
        return point(x, one.value, one, times=100) if one.pairs else "there is no pair"

    return gathered(chosen(options.names or {one: one for one in options.only}, by_name, options.by), read)


def distance(folder: Path, options: DistanceOptions) -> Found:
    """KL, entropy or log-prob by token position, nats (Shallow Preference Signals, figure 3)."""
    found = read_record(folder, EVALUATION, Evaluation).policy
    if found is None or found.distance is None:
        return nothing("the evaluation has no distance of a policy from its reference")
    model = options.model or ("both" if options.measure == "kl" else "policy")
    wanted = (options.measure, model, options.side)
    points = [one.points for one in found.distance.curves if (one.measure, one.model, one.side) == wanted]
    return curve_or(
        points[0] if points else [], f"the evaluation has no {options.measure} of {model} on {options.side} responses"
    )


def displacement(folder: Path, options: DisplacementOptions) -> Found:
    """Mean log-prob a token of whole responses, nats (AlphaPO, figure 2; RAO, figure 2); x is the side."""
    found = read_record(folder, EVALUATION, Evaluation).policy
    sides = {} if found is None else {one.side: one for one in found.displacement}
    if options.side not in sides:
        return nothing(f"the evaluation has no log-prob of {options.side}")
    one = sides[options.side]
    mean = {"before": one.before, "after": one.after, "change": one.change}[options.which]
    if mean is None:
        return nothing(f"the evaluation knows no {options.which} of {options.side}: it had no reference")
    return Found([point(options.side, mean.value, mean)])


def answers(folder: Path, options: AnswersOptions) -> Found:
    """How often a model's answers beat the baseline's; x is the model."""
    found = _answers(folder)
    if found is None:
        return nothing(_NO_ANSWERS)
    wins = {one.label: one for one in found.wins}
    there = chosen(options.models, wins, "model beside the baseline")
    return gathered(there, lambda name, x: _won(wins[name], options.measure, x))


def lengths(folder: Path, options: LengthsOptions) -> Found:
    """Mean length of answers, without an interval; x is the model, and the baseline is one."""
    found = _answers(folder)
    if found is None:
        return nothing(_NO_ANSWERS)
    models = {one.label: one for one in found.models}

    def read(name: str, x: float | str) -> SeriesPoint | str:
        if not models[name].responses:
            return "there is no answer"
        length = models[name].characters if options.unit == "characters" else models[name].tokens
        return SeriesPoint(x=x, y=length.mean)

    return gathered(chosen(options.models, models, "model"), read)


def prefix_quality(folder: Path, options: PrefixOptions) -> Found:
    """Q(k) of a model's answers, in the judge's unit (POET, figure 4); x is k in tokens."""
    found = _answers(folder)
    if found is None or found.prefixes is None:
        return nothing(_NO_ANSWERS if found is None else "the evaluation completed no beginnings of answers")
    curves = {one.label: one for one in found.prefixes.curves}
    chosen({options.model: 0}, curves, "model")
    one = curves[options.model]
    points = one.over_baseline if options.over_baseline else one.points
    return curve_or(points, f"Q(k) of {options.model} has no point")


def answer_entropy(folder: Path, options: EntropyOptions) -> Found:
    """A model's entropy on its own answers by token position, nats (POET, figure 2a)."""
    found = _answers(folder)
    if found is None or not found.entropy:
        return nothing(_NO_ANSWERS if found is None else "the evaluation read no entropy of answers")
    curves = {one.label: one for one in found.entropy}
    chosen({options.model: 0}, curves, "model")
    return Found(curve(curves[options.model].points))


def score_histogram(folder: Path, options: HistogramOptions) -> Found:
    """The share of a model's answers in each bin of the judge's scores; x is the middle of the bin.

    The outermost bins hold what lies beyond them, too. With `merged`, so many neighbours are one, the last one of fewer
    where they do not come out even.
    """
    found = _answers(folder)
    if found is None or found.scores is None:
        return nothing(_NO_ANSWERS if found is None else "a judge that compares gives no scores")
    chosen({options.model: 0}, found.scores.counts, "model")
    counts, edges = found.scores.counts[options.model], found.scores.edges
    total = sum(counts)
    if not total:
        return nothing(f"no answer of {options.model} has a score")
    starts = range(0, len(counts), options.merged)
    shares = [100 * sum(counts[at : at + options.merged]) / total for at in starts]
    ends = [edges[at] for at in starts] + [edges[-1]]
    middles = [(left + right) / 2 for left, right in pairwise(ends)]
    return Found([SeriesPoint(x=x, y=y) for x, y in zip(middles, shares, strict=True)])


def tasks(folder: Path, options: TasksOptions) -> Found:
    """Scores of lm-evaluation-harness; x is the task. The interval is ± 1.96 of its standard errors."""
    found = read_record(folder, EVALUATION, Evaluation).tasks
    if found is None:
        return nothing("the evaluation has no tasks")
    scores = [one for one in found.scores if (one.metric, one.filter) == (options.metric, options.filter)]
    if not scores:
        there = sorted({f"{one.metric}, filter {one.filter}" for one in found.scores})
        return nothing(f"no task has {options.metric}, filter {options.filter}; there are {'; '.join(there) or 'none'}")
    once([one.task for one in scores], "a task and a group have the same name")
    by_name = {one.task: one for one in scores}
    points, missing = [], []
    for name, x in chosen(options.tasks, by_name, "task"):
        one = by_name[name]
        if one.value is None:
            missing.append(f"{name}: lm_eval gave no finite number")
        elif options.percent and not 0 <= one.value <= 1:
            missing.append(f"{name}: {options.metric} is {one.value:g}, which is no share")
        else:
            points.append(_scored(one, one.value, x, percent=options.percent))
    return Found(points, tuple(missing))


def rewardbench2(folder: Path, options: RewardBench2Options) -> Found:
    """A reward model on RewardBench 2; x is the subset, or the source of a total."""
    found = [
        one
        for one in read_record(folder, EVALUATION, Evaluation).rewardbench2
        if options.source is None or one.source == options.source
    ]
    if not found:
        return nothing("the evaluation has no RewardBench 2")
    points: list[SeriesPoint] = []
    missing: list[str] = []
    if options.by == "total":
        totals = {one.source: one for one in found}
        for name, x in chosen(options.names, totals, "source"):
            total = totals[name].total
            if total is None:
                missing.append(f"{name}: there is no total without {', '.join(totals[name].missing)}")
            else:
                points.append(point(x, total, totals[name], times=100))
        return Found(points, tuple(missing))
    once([part.subset for one in found for part in one.subsets], "say which `source`")
    parts = {part.subset: part for one in found for part in one.subsets}
    for name, x in chosen(options.names, parts, "subset"):
        if parts[name].rows:
            points.append(point(x, parts[name].value, parts[name], times=100))
        else:
            missing.append(f"{name}: there is no row")
    return Found(points, tuple(missing))


def _judged(folder: Path, of: Literal["policy", "reward"]) -> PolicyEvaluation | RewardEvaluation | None:
    found = read_record(folder, EVALUATION, Evaluation)
    return found.policy if of == "policy" else found.reward


def _no_judge(of: Literal["policy", "reward"]) -> Found:
    return nothing(f"the evaluation has no {'policy' if of == 'policy' else 'reward model'} on pairs")


def _accuracies(
    found: PolicyEvaluation | RewardEvaluation, by: Literal["all", "source", "subset", "section"]
) -> list[tuple[str, AccuracyRecord | SectionRecord]]:
    """Records with their names."""
    if by == "section":
        return [(one.section, one) for one in found.sections]
    if by == "subset":
        return [(one.subset, one) for one in found.accuracy if one.subset is not None]
    return [(one.source, one) for one in found.accuracy if one.subset is None and (one.source == ALL) == (by == "all")]


def _answers(folder: Path) -> AnswersEvaluation | None:
    return read_record(folder, EVALUATION, Evaluation).answers


def _won(
    wins: WinsRecord, measure: Literal["rate", "at_equal_length", "alpaca_eval"], x: float | str
) -> SeriesPoint | str:
    """The point, or why there is none."""
    if measure == "alpaca_eval":
        own = wins.alpaca_eval
        if own is None:
            return wins.alpaca_eval_why or "AlpacaEval's rate was not asked for"
        return point(x, own.rate, own, times=100)
    share = wins.rate if measure == "rate" else wins.at_equal_length
    if share is None:
        return f"no rate at equal length: {wins.not_fitted or 'no reason given'}"
    if not share.count:
        return "no prompt could be compared"
    return point(x, share.value, share, times=100)


def _scored(score: TaskScore, value: float, x: float | str, *, percent: bool) -> SeriesPoint:
    times = 100.0 if percent else 1.0
    if score.stderr is None:
        return SeriesPoint(x=x, y=times * value)
    half = NORMAL_95 * score.stderr
    # No share lies beyond 0 or 1, so that what is cut off of an interval never held the truth.
    low, high = (max(0.0, value - half), min(1.0, value + half)) if percent else (value - half, value + half)
    return SeriesPoint(x=x, y=times * value, low=times * low, high=times * high)
