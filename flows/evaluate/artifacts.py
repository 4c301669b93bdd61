"""What Prefect's UI shows of an evaluation: accuracies, win rates, and what a benchmark's judge said."""

from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from flows.evaluate.annotations_shown import value_in_words
from flows.evaluate.benchmark_tables import markdown_lines
from flows.runtime.artifacts import as_code, in_a_flow_run, slug
from transforms.records.answers import AnswersEvaluation
from transforms.records.evaluation import AccuracyRecord, Evaluation, SectionRecord


def show_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Accuracies and win rates of a finished evaluation."""
    if not in_a_flow_run():
        return
    lines = [f"# {evaluation.name}: evaluation", ""]
    if evaluation.answers:
        lines += _wins(evaluation.answers)
    if evaluation.reward or evaluation.policy:
        lines += ["| model | of | pairs | accuracy | 95 % interval |", "| --- | --- | ---: | ---: | --- |"]
    for what, found in (("reward model", evaluation.reward), ("policy", evaluation.policy)):
        if found:
            lines += [_accuracy(what, f"{r.source} {r.subset or ''}".rstrip(), r) for r in found.accuracy]
            lines += [_accuracy(what, f"{r.source} {r.section}", r) for r in found.sections]
    lines += markdown_lines(evaluation)
    if evaluation.annotations:
        lines += ["", "| benchmark | model | of | judged | value | 95 % interval |"]
        lines += ["| --- | --- | --- | ---: | ---: | --- |"]
        for record in evaluation.annotations:
            for score in record.scores:
                names = " | ".join(map(as_code, (record.benchmark, record.model, score.of)))
                lines.append(f"| {names} | {score.counts.judged} | {' | '.join(value_in_words(score))} |")
    lines += ["", f"Report: `{(folder / 'evaluation.html').resolve()}`"]
    create_markdown_artifact("\n".join(lines), key=f"{slug(evaluation.name)}-evaluation", description="Results.")


def _wins(found: AnswersEvaluation) -> list[str]:
    head = [f"Answers that beat those of {as_code(found.baseline)}, judged by {as_code(found.judge.name)}:", ""]
    head += ["| model | prompts | win rate | 95 % interval |", "| --- | ---: | ---: | --- |"]
    rows = [(one.label, one.rate) for one in found.wins]
    return [
        *head,
        *(f"| {as_code(label)} | {r.count} | {r.value:.1%} | {r.low:.1%} – {r.high:.1%} |" for label, r in rows),
        "",
    ]


def _accuracy(what: str, name: str, row: AccuracyRecord | SectionRecord) -> str:
    return f"| {what} | {as_code(name)} | {row.pairs} | {row.value:.1%} | {row.low:.1%} – {row.high:.1%} |"
