"""Readers of what trainings became: a comparison's standings, decoding rules, and metrics.jsonl. Shares in percent."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from flows.reproduce.data_readers import curve_or
from flows.reproduce.found import Found, Names, Options, chosen, gathered, nothing, point, read_record
from transforms.choices import RuleKind
from transforms.errors import OutputError
from transforms.records.comparison import AnswersStanding, Budget, Comparison, Standing
from transforms.records.decoding import Decodings
from transforms.records.reproduction import SeriesPoint
from transforms.statistics.intervals import MeanRecord

COMPARISON: Final = "comparison.json"
DECODINGS: Final = "decode.json"
METRICS: Final = "metrics.jsonl"
TRAININGS: Final = "trainings"
# Figures of metrics.jsonl, under TRL's names where TRL has one. Nats: logps/… a response, mean_logps/… a token.
Figure = Literal[
    "loss",
    "logps/chosen",
    "logps/rejected",
    "mean_logps/chosen",
    "mean_logps/rejected",
    "mean_logps/margins",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "beta_log_ratio/chosen",
    "beta_log_ratio/rejected",
    "displacement",
    "kl",
    "accuracy",
    "margin",
    "mean_reward",
    "log_prob",
    "perplexity",
]
_SHARES: Final = ("rewards/accuracies", "accuracy")


class _VariantsOptions(Options):
    """Which variants at which budget; with `minus_first` each minus the first one, paired, with that interval."""

    variants: Names = Field({})
    budget: Budget = "steps"
    minus_first: bool = False


class WinRatesOptions(_VariantsOptions):
    """Which win rate."""

    measure: Literal["rate", "at_equal_length"] = "rate"


class PairsOptions(_VariantsOptions):
    """What of the held-out pairs."""

    measure: Literal["accuracy", "margin", "chosen", "rejected"] = "accuracy"

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if self.minus_first and self.measure == "rejected":
            message = "a comparison has no paired difference of `rejected`; take accuracy, margin or chosen"
            raise ValueError(message)
        return self


class DecodingsOptions(Options):
    """Rules of one kind, those of some values only if `only` names them."""

    kind: RuleKind
    x: Literal["kl", "log_ratio"] = "log_ratio"
    only: list[float] = Field([])


class NoOptions(Options):
    """There are none."""


class TrainingOptions(Options):
    """A figure of a training's log.

    `on: test` is what was measured on test pairs, `on: train` what each step logs of its own.
    """

    measure: Figure
    on: Literal["test", "train"] = "test"
    quantile: Literal["p05", "p25", "p50", "p75", "p95"] | None = None
    last: bool = Field(False, description="The last of them alone: of the last step, whichever model was kept.")
    training: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][\w.-]*$", description="Of a comparison's, its folder's name."
    )

    @model_validator(mode="after")
    def _spread(self) -> Self:
        if self.quantile and self.on == "train":
            message = "quantiles are of test pairs; leave out `on: train`"
            raise ValueError(message)
        return self

    @property
    def key(self) -> str:
        """As a line of metrics.jsonl calls it."""
        return f"{'eval_' if self.on == 'test' else ''}{self.measure}{f'_{self.quantile}' if self.quantile else ''}"


def win_rates(folder: Path, options: WinRatesOptions) -> Found:
    """Of each variant, how often its answers beat those of the model it was trained from; x is the variant.

    With `minus_first` in percentage points.
    """
    found = read_record(folder, COMPARISON, Comparison)
    if found.answers is None:
        return nothing("the comparison asked for no answers")
    there = {one.variant: one for one in found.answers.standings if one.budget == options.budget}

    def read(name: str, x: float | str) -> SeriesPoint | str:
        mean, why = _win_rate(there.get(name), options)
        return _first(found, name, options) or why if mean is None else point(x, mean.value, mean, times=100)

    return gathered(_asked(found, options), read)


def pairs_ordered(folder: Path, options: PairsOptions) -> Found:
    """Of each variant, what became of held-out pairs; x is the variant.

    accuracy in percent (with `minus_first` in points), margin in the judge's unit, chosen and rejected the change of
    the log-prob in nats a token.
    """
    found = read_record(folder, COMPARISON, Comparison)
    there = {one.variant: one for one in found.standings if one.budget == options.budget}
    times = 100 if options.measure == "accuracy" else 1

    def read(name: str, x: float | str) -> SeriesPoint | str:
        mean, why = _pairs(there.get(name), options)
        return _first(found, name, options) or why if mean is None else point(x, mean.value, mean, times=times)

    return gathered(_asked(found, options), read)


def decodings(folder: Path, options: DecodingsOptions) -> Found:
    """The reward of a decoding rule's responses against how far it goes from the reference, by the rule's value.

    x is Σ log(π/π_ref) of a response in nats, as the paper has it, or the KL(π ‖ π_ref) that it estimates.
    """
    rules = [one for one in read_record(folder, DECODINGS, Decodings).rules if one.kind == options.kind]
    missing = [f"no rule has the value {value:g}" for value in options.only if value not in [r.value for r in rules]]
    drawn = [
        point((rule.kl if options.x == "kl" else rule.log_ratio).value, rule.reward.value, rule.reward)
        for rule in sorted(rules, key=lambda one: one.value)
        if not options.only or rule.value in options.only
    ]
    return Found(drawn, tuple(missing)) if rules else nothing(f"no rule of the kind {options.kind} was tried")


def decoding_kl(folder: Path, _: NoOptions) -> Found:
    """KL(π ‖ π_ref) by token position on what the policy itself wrote, nats."""
    return curve_or(read_record(folder, DECODINGS, Decodings).policy_kl, "the policy itself (a = 1) was no rule")


def training(folder: Path, options: TrainingOptions) -> Found:
    """A figure of a training's log against the step, without intervals: a log has none. Accuracies in percent."""
    path = metrics_of(folder, options)
    points = []
    missing: tuple[str, ...] = ()
    times = 100.0 if options.measure in _SHARES else 1.0
    measured = False
    for line in _lines(path):
        measured |= "eval_loss" in line
        value, step = line.get(options.key), line.get("step")
        if not isinstance(value, int | float) or not isinstance(step, int | float):
            continue
        if math.isfinite(value):
            points.append(SeriesPoint(x=float(step), y=times * value))
        else:
            missing = (f"{options.key} is not finite at some steps",)
    if not points:
        return Found([], missing or (_not_logged(options, measured=measured),))
    return Found(points[-1:] if options.last else points, missing)


def metrics_of(folder: Path, options: TrainingOptions) -> Path:
    """The log of a training, or of one of a comparison's."""
    return (folder if options.training is None else folder / TRAININGS / options.training) / METRICS


def _not_logged(options: TrainingOptions, *, measured: bool) -> str:
    """Why; a comparison's trainings hold no test pairs out of their own, so that they log steps alone."""
    said = f"{METRICS} has no {options.key} at any step"
    if options.on == "train" or measured:
        return said
    return f"{said}: nothing was measured on test pairs, as in a comparison's trainings (`on: train` reads the steps)"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        message = f"{path} is missing: the training has not finished, or there is none of that name"
        raise OutputError(message) from error
    for number, line in enumerate(text.splitlines(), 1):
        try:
            found = json.loads(line)
        except ValueError as error:
            message = f"{path}, line {number}, is no JSON; run the step again"
            raise OutputError(message) from error
        if isinstance(found, dict):
            yield found


def _asked(found: Comparison, options: _VariantsOptions) -> list[tuple[str, float | str]]:
    """Variants and their x; of differences, the first variant has none from itself unless it is named."""
    all_of_them = chosen(options.variants, [one.name for one in found.variants], "variant")
    if options.minus_first and not options.variants:
        return all_of_them[1:]
    return all_of_them


def _win_rate(one: AnswersStanding | None, options: WinRatesOptions) -> tuple[MeanRecord | None, str]:
    if one is None:
        return None, f"no training of it was judged by answers at equal {options.budget}"
    if options.measure == "at_equal_length" and one.at_equal_length is None:
        return None, f"no rate at equal length: {one.not_fitted or 'no reason given'}"
    whose = one.difference if options.minus_first else one
    if whose is None:
        return None, "no training of it has one of the first variant to be paired with"
    mean = whose.rate if options.measure == "rate" else whose.at_equal_length
    return mean, "no rate at equal length of the first variant"


def _pairs(one: Standing | None, options: PairsOptions) -> tuple[MeanRecord | None, str]:
    if one is None:
        return None, f"no training of it came to an end at equal {options.budget}"
    if options.minus_first and one.difference is None:
        return None, "no training of it has one of the first variant to be paired with"
    means: dict[str, MeanRecord | None]
    if one.difference is not None and options.minus_first:
        means = {"accuracy": one.difference.accuracy, "margin": one.difference.margin, "chosen": one.difference.chosen}
    else:
        means = {"accuracy": one.accuracy, "margin": one.margin, "chosen": one.chosen, "rejected": one.rejected}
    return means[options.measure], f"the comparison has no {options.measure}, as of reward models"


def _first(found: Comparison, name: str, options: _VariantsOptions) -> str:
    return "it is the one that the others are held against" if options.minus_first and name == found.first else ""
