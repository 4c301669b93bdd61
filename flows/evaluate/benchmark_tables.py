"""What terminal and Prefect's UI show of RewardBench 2 and of tasks."""

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.runtime.artifacts import as_code
from transforms.records.evaluation import Evaluation
from transforms.records.rewardbench2 import RewardBench2Evaluation
from transforms.records.tasks import TaskScore, TasksEvaluation
from transforms.sources.kinds.rewardbench2 import is_ties
from transforms.text import visible_plain


def print_benchmarks(console: Console, evaluation: Evaluation, *, unchanged: bool) -> None:
    """A table each, and what became of the rows."""
    for found in evaluation.rewardbench2:
        console.print(_subsets_table(f"{evaluation.name}: reward model {found.model.name} on {found.source}", found))
        counts, spend = found.counts, found.spend
        rows = f"{counts.raw_rows:,} rows, judged {counts.judged:,}, quarantined {counts.quarantined:,}"
        _line(console, "RewardBench 2", rows)
        if not unchanged:
            made = f"{spend.generated:,} made ({spend.tokens_generated:,} tokens)"
            _line(console, "rewards", f"{made}, {spend.reused:,} reused from the ledger")
    if evaluation.tasks:
        tasks = evaluation.tasks
        console.print(_tasks_table(f"{evaluation.name}: policy {tasks.model.name} on tasks", tasks))
        trial = "" if tasks.limit is None else f", limited to {tasks.limit:g} documents a task: a trial"
        _line(console, "tasks", f"lm_eval {tasks.lm_eval}{trial}, {tasks.seconds:.0f} s, all of it {tasks.results}")


def markdown_lines(evaluation: Evaluation) -> Iterator[str]:
    """Tables for an artifact."""
    for found in evaluation.rewardbench2:
        yield from ("", "| RewardBench 2 | rows | score | 95 % interval |", "| --- | ---: | ---: | --- |")
        for row in found.subsets:
            share = f"{row.value:.1%} | {row.low:.1%} – {row.high:.1%}"
            yield f"| {as_code(f'{found.source} {row.subset}')} | {row.rows} | {share} |"
        if found.total is not None and found.low is not None and found.high is not None:
            yield f"| **mean of six** | | {found.total:.1%} | {found.low:.1%} – {found.high:.1%} |"
    if evaluation.tasks:
        yield from ("", "| task | metric | value | standard error | documents |", "| --- | --- | ---: | ---: | ---: |")
        for score in evaluation.tasks.scores:
            name = as_code(f"{score.metric} {'' if score.filter == 'none' else score.filter}".rstrip())
            numbers = f"{number(score.value)} | {number(score.stderr)}"
            yield f"| {as_code(score.task)} | {name} | {numbers} | {score.n or '–'} |"


def number(value: float | None) -> str:
    """Four digits: metrics have scales of their own."""
    return "–" if value is None else f"{value:.4g}"


def _subsets_table(title: str, found: RewardBench2Evaluation) -> Table:
    table = Table(title=_safe(title), title_justify="left")
    table.add_column("subset")
    for name in ("rows", "responses", "score", "95 % interval", "level with a wrong one"):
        table.add_column(name, justify="right")
    for row in found.subsets:
        share = f"{row.value:.1%}", f"[{row.low:.1%}, {row.high:.1%}]"
        level = "" if is_ties(row.subset) else f"{row.level:,}"
        table.add_row(_safe(row.subset), f"{row.rows:,}", f"{row.responses:,}", *share, level)
    if found.total is not None and found.low is not None and found.high is not None:
        table.add_row("[bold]mean of six[/]", "", "", f"{found.total:.1%}", f"[{found.low:.1%}, {found.high:.1%}]", "")
    else:
        table.add_row(f"[bold]no total[/]: no score of {', '.join(found.missing)}", "", "", "", "", "")
    return table


def _tasks_table(title: str, tasks: TasksEvaluation) -> Table:
    table = Table(title=_safe(title), title_justify="left")
    for name in ("task", "metric", "filter"):
        table.add_column(name)
    for name in ("value", "± stderr", "documents", "few-shot", "version"):
        table.add_column(name, justify="right")
    for score in tasks.scores:
        table.add_row(*map(_safe, _cells(score)))
    return table


def _cells(score: TaskScore) -> tuple[str, ...]:
    better = {True: " ↑", False: " ↓", None: ""}[score.higher_is_better]
    counted = ["–" if one is None else f"{one:,}" for one in (score.n, score.num_fewshot)]
    name = f"{score.task} (group)" if score.group else score.task
    numbers = number(score.value), number(score.stderr), *counted
    return (name, f"{score.metric}{better}", score.filter, *numbers, score.version or "–")


def _safe(name: str) -> str:
    """A name of strangers as a terminal may show it."""
    return escape(visible_plain(name))


def _line(console: Console, name: str, text: str) -> None:
    console.print(f"{name:<18} {text}", highlight=False, markup=False)
