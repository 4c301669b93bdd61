"""What the terminal shows of rounds: a row a round, and which policy is the best."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.rounds.output import PAGE
from flows.rounds.verdict import best_of
from transforms.records.rounds import AnswersRecord, Rounds
from transforms.report.rounds_page import headline, policy_of, win_in_words


def print_rounds(console: Console, found: Rounds, folder: Path, *, seconds: float, unchanged: bool) -> None:
    """Print what lies in `folder`; says so where nothing had to be done."""
    if unchanged:
        console.print(f"Nothing changed since {found.finished_at}: no model was loaded.", style="bold green")
    best = best_of(found.rounds)
    table = Table(title=f"{found.name}: {headline(found, best)}", title_justify="left")
    for name in ("round", "over the start", "at equal length", "over the one before"):
        table.add_column(name, justify="right")
    for one in found.rounds:
        table.add_row(
            f"[bold]{one.number}[/]" if one.number == best else str(one.number),
            win_in_words(one.over_start.rate),
            win_in_words(one.over_start.at_equal_length),
            win_in_words(one.over_previous.rate),
        )
    console.print(table)
    answered = [("start", found.start_answers), *((f"round {one.number}", one.answers) for one in found.rounds)]
    for label, answers in answered:
        if answers is not None:
            console.print(f"{label:<12} {_answers(answers)}", markup=False, highlight=False)
    prompts = found.prompts
    if prompts:
        console.print(
            f"prompts      {prompts.found:,} to train on, {prompts.overlap:,} of them left out as held out; "
            f"{prompts.held:,} held out",
            highlight=False,
        )
    model = policy_of(found, best)
    console.print(
        f"best         {'the start' if best == 0 else f'round {best}'}: {model}", markup=False, highlight=False
    )
    if not unchanged:
        console.print(f"seconds      {seconds:.0f} in all", highlight=False)
    console.print(f"report       {folder / PAGE}")


def _answers(answers: AnswersRecord) -> str:
    means = [("held-out judge", answers.judge), *answers.annotators.items()]
    scores = [f"{name} {mean.mean:+.3f}" for name, mean in means if mean is not None]
    share = f"{answers.finished / answers.responses:.0%} finished, {answers.tokens:.0f} tokens an answer"
    return f"held-out answers: {', '.join(scores)}; {share}"
