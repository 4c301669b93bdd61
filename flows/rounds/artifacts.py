"""What Prefect's UI shows of rounds: each round's win rate over the start, and the best policy."""

from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from flows.rounds.verdict import best_of
from flows.runtime.artifacts import in_a_flow_run, slug
from transforms.records.rounds import Rounds
from transforms.report.rounds_page import headline, win_in_words


def show_rounds(found: Rounds, folder: Path) -> None:
    """The rounds at a glance."""
    if not in_a_flow_run():
        return
    lines = [f"# {found.name}: {headline(found, best_of(found.rounds))}", ""]
    lines += ["| round | pairs | over the start | over the round before |", "| ---: | ---: | --- | --- |"]
    lines += [
        f"| {one.number} | {one.data.train:,} | {win_in_words(one.over_start.rate)} "
        f"| {win_in_words(one.over_previous.rate)} |"
        for one in found.rounds
    ]
    lines += ["", f"Report: `{(folder / 'report.html').resolve()}`"]
    key = f"{slug(found.name)}-rounds"
    create_markdown_artifact("\n".join(lines), key=key, description="What each round brought.")
