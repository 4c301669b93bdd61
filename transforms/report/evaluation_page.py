"""evaluation.html from an evaluation: how well a reward model and a policy order labelled pairs."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from transforms.evaluation.rewardbench import BENCHMARK
from transforms.records.audit import CurvePoint
from transforms.records.evaluation import (
    ALL,
    AccuracyRecord,
    Displacement,
    Evaluation,
    Kept,
    PolicyEvaluation,
    RewardEvaluation,
    SectionRecord,
)
from transforms.report.annotated import Annotated, annotated
from transforms.report.answers import answers_view
from transforms.report.benchmark_figures import headline, subsets_forest
from transforms.report.curves import kept_plot, lines_plot
from transforms.report.environment import render
from transforms.report.figures import Plot
from transforms.report.funnel import Forest, ForestRow
from transforms.report.scales import Scale
from transforms.statistics.intervals import MeanRecord
from transforms.text import count, interval, signed

CHANCE: Final = 0.5
MEASURES: Final = {
    "log_ratio": "β times the log-ratio of policy and reference",
    "mean_log_ratio": "β times the log-ratio of policy and reference, a token",
    "mean_log_prob": "β times the policy's log-prob a token",
}


class Judge(NamedTuple):
    """One model's part of the page."""

    key: str
    title: str
    found: RewardEvaluation | PolicyEvaluation
    overall: AccuracyRecord | None
    score: SectionRecord | None
    forest: Forest
    plots: list[Plot]


def render_evaluation(evaluation: Evaluation) -> str:
    """One HTML page that needs no network and runs no script; every number on it is the evaluation's."""
    judges = []
    if evaluation.reward:
        judges.append(_judge("reward", "Reward model", evaluation.reward))
    if evaluation.policy:
        judges.append(_judge("policy", "Policy as a reward model", evaluation.policy))
    policy = evaluation.policy
    view = answers_view(evaluation.answers) if evaluation.answers else None
    found = annotated(evaluation.annotations)
    page = {
        "evaluation": evaluation,
        "judges": judges,
        "headline": headline(evaluation),
        "heading": headline(evaluation) or (view.headline if view else "") or _benchmarks(found),
        "forests": [subsets_forest(found) for found in evaluation.rewardbench2],
        "annotated": found,
        "measures": MEASURES,
        "positions": position_plots(policy) if policy else [],
        "displacement": policy.displacement if policy else [],
        "moved": movement(policy.displacement) if policy else "",
        "mean": mean_in_words,
        "view": view,
    }
    return render("evaluation.html.j2", page)


def _benchmarks(found: Sequence[Annotated]) -> str:
    return f"Answers on {', '.join(one.title for one in found)}" if found else ""


def accuracy_forest(found: RewardEvaluation | PolicyEvaluation) -> Forest:
    """A row a record, sections beside the subsets that they are made of; left of the line is worse than chance."""
    rows: list[AccuracyRecord | SectionRecord] = [*found.accuracy, *found.sections]
    lowest = min([row.low for row in rows] + [CHANCE])
    scale = Scale(max(0.0, int(lowest * 20 - 0.2) / 20), 1.0)
    overall = [_row("All pairs", at == 0, "all", r, scale) for at, r in enumerate(found.accuracy) if r.source == ALL]
    sources = [r for r in found.accuracy if r.source != ALL and r.subset is None]
    drawn = overall + [_row("By source", at == 0, r.source, r, scale) for at, r in enumerate(sources)]
    for source in dict.fromkeys(section.source for section in found.sections):
        mine = [section for section in found.sections if section.source == source]
        drawn += [_row(f"{source}: sections", at == 0, one.section, one, scale) for at, one in enumerate(mine)]
    parts = [r for r in found.accuracy if r.subset is not None]
    for source in dict.fromkeys(record.source for record in parts):
        named = [(r.subset or "", r) for r in parts if r.source == source]
        drawn += [_row(f"{source}: subsets", at == 0, name, r, scale) for at, (name, r) in enumerate(named)]
    return Forest(drawn, scale.ticks(5, percent=True), scale.at(CHANCE))


def kept_plots(kept: Kept) -> list[Plot]:
    """Accuracy by kept ratio and by kept tokens; a lone point is no curve."""
    whole = next((point for point in kept.by_ratio if point.at == 1), None)
    by_ratio = kept_plot(kept.by_ratio, "ratio", None) if len(kept.by_ratio) > 1 else None
    return [plot for plot in (by_ratio, kept_plot(kept.by_tokens, "tokens", whole)) if plot]


def position_plots(policy: PolicyEvaluation) -> list[Plot]:
    """KL of chosen and rejected, then entropy and log-prob of policy and reference."""
    if policy.distance is None:
        return []
    curves = {(curve.measure, curve.model, curve.side): curve.points for curve in policy.distance.curves}

    def of(measure: str, side: str) -> dict[str, list[CurvePoint]]:
        return {m: points for (what, m, whose), points in curves.items() if (what, whose) == (measure, side)}

    plots = [lines_plot({side: of("kl", side).get("both", []) for side in ("chosen", "rejected")}, "KL on the tokens")]
    plots.append(lines_plot(of("entropy", "chosen"), "Entropy on chosen responses,"))
    plots += [lines_plot(of("log_prob", side), f"Log-prob of {side} responses,") for side in ("chosen", "rejected")]
    return [plot for plot in plots if plot]


def movement(displacement: list[Displacement]) -> str:
    """What became of the chosen responses' likelihood, in a sentence; "" without a reference."""
    change = {one.side: one.change for one in displacement if one.change is not None}
    chosen, margin = change.get("chosen"), change.get("margin")
    if chosen is None or margin is None:
        return ""
    likely = {-1: "became less likely", 0: "are about as likely as before", 1: "became more likely"}[_direction(chosen)]
    gap = {-1: "shrank", 0: "hardly changed", 1: "grew"}[_direction(margin)]
    name = ": likelihood displacement" if _direction(chosen) < 0 < _direction(margin) else ""
    return (
        f"The chosen responses {likely} ({signed(chosen.value, 3)} nats a token), and their margin over the rejected "
        f"ones {gap} ({signed(margin.value, 3)}){name}."
    )


def mean_in_words(mean: MeanRecord | None, digits: int = 3) -> str:
    """+0.123 [+0.100, +0.146]; a dash for none."""
    if mean is None:
        return "–"
    if mean.low is None or mean.high is None:
        return signed(mean.value, digits)
    return f"{signed(mean.value, digits)} [{signed(mean.low, digits)}, {signed(mean.high, digits)}]"


def _direction(mean: MeanRecord) -> Literal[-1, 0, 1]:
    """Which way a change surely went; 0 where its interval holds zero, or there is none."""
    if mean.low is None or mean.high is None:
        return 0
    return 1 if mean.low > 0 else -1 if mean.high < 0 else 0


def _judge(key: str, title: str, found: RewardEvaluation | PolicyEvaluation) -> Judge:
    overall = next((record for record in found.accuracy if record.source == ALL), None)
    scores = [section for section in found.sections if section.section == BENCHMARK]
    score = scores[0] if len(scores) == 1 else None
    return Judge(key, title, found, overall, score, accuracy_forest(found), kept_plots(found.kept))


def _row(group: str, first: bool, name: str, record: AccuracyRecord | SectionRecord, scale: Scale) -> ForestRow:
    return ForestRow(
        group=group,
        first=first,
        name=name,
        kind="reward" if isinstance(record, SectionRecord) else "label",
        at=scale.at(record.value),
        low=scale.at(record.low),
        high=scale.at(record.high),
        text=interval(record.value, record.low, record.high),
        note=count(record.pairs),
    )
