"""What an evaluation prints: accuracies with intervals, kept lengths, displacement, cost and where the report is."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.evaluate.annotations_shown import print_annotations
from flows.evaluate.benchmark_tables import print_benchmarks
from transforms.evaluation.rewardbench import SUBSETS
from transforms.records.answers import AnswersEvaluation
from transforms.records.audit import CurvePoint
from transforms.records.evaluation import (
    ALL,
    AccuracyRecord,
    Displacement,
    Evaluation,
    Judged,
    Kept,
    PolicyEvaluation,
    RewardEvaluation,
    SectionRecord,
)
from transforms.report.answers import notes
from transforms.statistics.intervals import MeanRecord
from transforms.text import visible_plain


def print_evaluation(
    console: Console, evaluation: Evaluation, folder: Path, *, seconds: float, unchanged: bool
) -> None:
    """Accuracies first, then what they rest on; says so where nothing had to be done."""
    if unchanged:
        console.print(f"Nothing changed since {evaluation.finished_at}: no model was loaded.", style="bold green")
    for what, found in (("reward model", evaluation.reward), ("policy", evaluation.policy)):
        if found:
            console.print(_accuracy_table(f"{evaluation.name}: {what} {found.model.name}", found))
            console.print(_kept_table(found.kept))
    if evaluation.policy:
        _print_movement(console, evaluation.policy)
    if evaluation.answers:
        console.print(_wins_table(evaluation.name, evaluation.answers))
        for note in notes(evaluation.answers):
            console.print(note, highlight=False, markup=False)
    print_benchmarks(console, evaluation, unchanged=unchanged)
    print_annotations(console, evaluation.annotations)
    if evaluation.reward or evaluation.policy:
        _line(console, "pairs", _pairs(evaluation))
    if not unchanged:
        for what, judged in (("rewards", evaluation.reward), ("log-probs", evaluation.policy)):
            if judged:
                spend = judged.spend
                made = f"{spend.generated:,} made ({spend.tokens_generated:,} tokens)"
                _line(console, what, f"{made}, {spend.reused:,} reused from the ledger")
        if evaluation.answers:
            for what, spend in (("answers", evaluation.answers.completions), ("judged", evaluation.answers.judgements)):
                made = f"{spend.generated:,} made ({spend.tokens_generated:,} tokens)"
                _line(console, what, f"{made}, {spend.reused:,} reused from the ledger")
        _line(console, "seconds", f"{seconds:.0f}")
    _line(console, "report", f"{folder / 'evaluation.html'}   numbers {folder / 'evaluation.json'}")


def _accuracy_table(title: str, found: RewardEvaluation | PolicyEvaluation) -> Table:
    table = Table(title=_safe(title), title_justify="left")
    table.add_column("of")
    for name in ("pairs", "prompts", "accuracy", "95 % interval", "mean margin"):
        table.add_column(name, justify="right")
    alone = len({record.source for record in found.accuracy} - {ALL}) < 2
    # The page has the subsets that sections are made of; two dozen rows would push everything else away.
    shown = [record for record in found.accuracy if not found.sections or record.subset not in SUBSETS]
    for record in shown:
        prompts, margin = f"{record.prompts:,}", f"{record.margin:+.3f}"
        table.add_row(_name(record, alone=alone), f"{record.pairs:,}", prompts, *_share(record), margin)
    for section in found.sections:
        name = section.section if alone else f"{section.source}: {section.section}"
        name += " (parts missing)" if section.missing else ""
        table.add_row(f"[bold]{_safe(name)}[/]", f"{section.pairs:,}", "", *_share(section), "")
    return table


def _wins_table(name: str, found: AnswersEvaluation) -> Table:
    judge = f"{found.prompts:,} prompts, judged by {found.judge.name}"
    table = Table(title=_safe(f"{name}: answers that beat {found.baseline}'s; {judge}"), title_justify="left")
    table.add_column("model", no_wrap=True)
    for column in ("prompts", "win rate", "95 % interval", "at equal length", "characters", "ended"):
        table.add_column(column, justify="right")
    wins = {one.label: one for one in found.wins}
    for one in found.models:
        ended = f"{one.ends.get('ended', 0) / max(one.responses, 1):.0%}"
        mine, cells = wins.get(one.label), ["", "baseline", "", ""]
        if mine:
            equal = mine.at_equal_length
            cells = [f"{mine.rate.count:,}", f"{mine.rate.value:.1%}", f"[{mine.rate.low:.1%}, {mine.rate.high:.1%}]"]
            cells.append(f"{equal.value:.1%} [{equal.low:.1%}, {equal.high:.1%}]" if equal else "–")
        table.add_row(_safe(one.label), *cells, f"{one.characters.mean:,.0f}", ended)
    for win in found.wins:
        if own := win.alpaca_eval:
            spread = "" if own.low is None else f"[{own.low:.1%}, {own.high:.1%}]"
            table.add_row(f"{_safe(win.label)} (AlpacaEval 2, LC)", f"{own.instructions:,}", f"{own.rate:.1%}", spread)
    return table


def _kept_table(kept: Kept) -> Table:
    table = Table("kept", title="accuracy of the beginning alone", title_justify="left")
    table.add_column("accuracy", justify="right")
    table.add_column("95 % interval", justify="right")
    rows = [(f"{point.at:.0%}", point) for point in kept.by_ratio]
    rows += [(f"{point.at:,.0f} tokens", point) for point in kept.by_tokens]
    for name, point in rows:
        table.add_row(name, *_point(point))
    return table


def _print_movement(console: Console, policy: PolicyEvaluation) -> None:
    for one in policy.displacement:
        _line(console, f"log-prob {one.side}", _moved(one))
    if policy.distance:
        kl = _mean(policy.distance.kl, signed=False)
        _line(console, "KL", f"{kl} nats a token to the reference ({policy.distance.pairs:,} pairs)")


def _moved(one: Displacement) -> str:
    if one.before is None or one.change is None:
        return f"{_mean(one.after)} nats a token"
    return f"{one.before.value:+.3f} → {one.after.value:+.3f} nats a token, change {_mean(one.change)}"


def _pairs(evaluation: Evaluation) -> str:
    counts = evaluation.counts
    parts = [f"{counts.loaded:,} loaded", *(f"{number:,} left out: {why}" for why, number in counts.left_out.items())]
    parts.append(f"{counts.quarantined:,} quarantined")
    for what, judged in (("reward model", evaluation.reward), ("policy", evaluation.policy)):
        if judged:
            parts.append(f"{what} {_judged(judged.counts)}")
    return " · ".join(parts)


def _judged(counts: Judged) -> str:
    return f"judged {counts.judged:,}" + (f", quarantined {counts.quarantined:,}" if counts.quarantined else "")


def _name(record: AccuracyRecord, *, alone: bool) -> str:
    if record.subset is not None:
        return _safe(record.subset if alone else f"{record.source}: {record.subset}")
    return "[bold]all pairs[/]" if record.source == ALL else _safe(record.source)


def _safe(name: str) -> str:
    """A name of strangers as a terminal may show it."""
    return escape(visible_plain(name))


def _share(record: AccuracyRecord | SectionRecord) -> tuple[str, str]:
    return f"{record.value:.1%}", f"[{record.low:.1%}, {record.high:.1%}]"


def _point(point: CurvePoint) -> tuple[str, str]:
    return f"{point.mean:.1%}", f"[{point.low:.1%}, {point.high:.1%}]"


def _mean(mean: MeanRecord, *, signed: bool = True) -> str:
    sign = "+" if signed else ""
    if mean.low is None or mean.high is None:
        return f"{mean.value:{sign}.3f}"
    return f"{mean.value:{sign}.3f} [{mean.low:{sign}.3f}, {mean.high:{sign}.3f}]"


def _line(console: Console, name: str, text: str) -> None:
    console.print(f"{name:<18} {text}", highlight=False, markup=False)
