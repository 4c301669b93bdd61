"""What a comparison prints: the bill before it, and the table after it."""

from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.compare.plan import ComparisonPlan
from transforms.records.comparison import AnswersCompared, Budget, Comparison
from transforms.report.comparison_words import AT, headline, points, share
from transforms.text import one_line, visible_plain

VERDICTS: Final = {"higher": "[green]higher[/]", "lower": "[red]lower[/]", "unclear": "unclear"}


def print_estimate(console: Console, plan: ComparisonPlan) -> None:
    """Trainings, tokens, time and disk; the model is loaded for a few seconds if none of them is finished."""
    from flows.compare.estimate import answers_in_words, estimate, in_words, known_speed, tried_speed
    from flows.compare.held_out import hold_out
    from flows.compare.schedule import schedule

    planned, held = schedule(plan), hold_out(plan)
    table = Table(title=f"{plan.config.name}: what would be trained", title_justify="left")
    table.add_column("variant")
    for name in ("pairs", "tokens a pass", *(AT[budget] for budget in plan.config.budgets)):
        table.add_column(name, justify="right")
    for variant in planned.variants:
        cells = []
        for budget in plan.config.budgets:
            mine = [one for one in planned.trainings if one.variant.name == variant.name and budget in one.budgets]
            steps = sorted({one.steps for one in mine})
            cells.append(f"{'–'.join(f'{n:,}' for n in (steps[0], steps[-1])[: len(steps)])} steps" if mine else "–")
        counts = ["–" if number is None else f"{number:,}" for number in (variant.examples, variant.tokens)]
        table.add_row(variant.name, *counts, *cells)
    console.print(table)
    speed = known_speed(plan, planned.trainings) or tried_speed(plan, held)
    for line in in_words(estimate(plan, planned, held, speed)) + answers_in_words(plan, planned, held):
        console.print(line, highlight=False, markup=False)
    for variant in planned.variants:
        if variant.error:
            console.print(f"{variant.name} cannot be trained: {variant.error}", style="red", markup=False)


def _answers_table(found: Comparison, answers: AnswersCompared, budget: Budget) -> Table:
    judge = escape(visible_plain(answers.judge.name))
    title = f"answers that beat those of {escape(found.model.name)}, {AT[budget]}: {answers.compared:,} prompts"
    table = Table(title=f"{title}, judged by {judge}", title_justify="left")
    table.add_column("variant", no_wrap=True)
    for name in ("win rate", f"minus {found.first}", "at equal length", "characters", "ended"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for variant in found.variants:
        row = answers.standing(budget, variant.name)
        if row is None:
            table.add_row(variant.name, "–", "–", "–", "–", "–", "[red]no result[/]")
            continue
        equal = escape(share(row.at_equal_length)) if row.at_equal_length else "–"
        difference = escape(points(row.difference.rate)) if row.difference else "–"
        said = VERDICTS[row.difference.verdict] if row.difference else ""
        cells = [escape(share(row.rate)), difference, equal, f"{row.characters:,.0f}", f"{row.ended:.0%}"]
        table.add_row(variant.name, *cells, said)
    return table


def print_comparison(console: Console, found: Comparison, folder: Path, *, seconds: float, unchanged: bool) -> None:
    """The answer, a table a budget, what failed and where the page is."""
    if unchanged:
        console.print(f"Nothing changed since {found.finished_at}: no model was loaded.", style="bold green")
    console.print(headline(found), style="bold", highlight=False, markup=False)
    for budget in found.budgets:
        test = f"{found.test.pairs:,} held-out pairs of {found.test.prompts:,} prompts"
        table = Table(title=f"{escape(found.name)}: {AT[budget]}, {test}", title_justify="left")
        table.add_column("variant", no_wrap=True)
        other = "tokens" if budget == "steps" else "steps"  # what was not held equal
        for name in (other, "accuracy", f"minus {found.first}"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("")
        for variant in found.variants:
            row = found.standing(budget, variant.name)
            if row is None:
                table.add_row(variant.name, "–", "–", "–", "[red]no result[/]")
                continue
            difference = escape(points(row.difference.accuracy)) if row.difference else "–"
            said = VERDICTS[row.difference.verdict] if row.difference else ""
            table.add_row(variant.name, f"{getattr(row, other):,.0f}", escape(share(row.accuracy)), difference, said)
        console.print(table)
    if found.answers:
        for budget in found.budgets:
            console.print(_answers_table(found, found.answers, budget))
    console.print("accuracy     share of held-out pairs ordered as labelled; 95 % intervals over seeds and prompts")
    for what, error in found.failures:
        console.print(f"failed       {what}: {one_line(visible_plain(error), 300)}", style="red", markup=False)
    if not unchanged:
        console.print(f"seconds      {seconds:.0f}", highlight=False)
    where = f"report       {folder / 'comparison.html'}   numbers {folder / 'comparison.json'}"
    console.print(where, highlight=False, markup=False)
