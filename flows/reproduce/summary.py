"""What the terminal shows: every table and figure there is, what would be run, and what came out."""

from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.reproduce.catalogue import Catalogue
from flows.reproduce.config import Entry
from flows.reproduce.output import Places
from flows.reproduce.plan import Plan, why_not
from flows.reproduce.run import seconds_in_words, to_come_in_words
from flows.reproduce.telling import Told
from transforms.records.reproduction import Size


def listed(catalogue: Catalogue, size: Size, paper: str | None) -> list[dict[str, Any]]:
    """Every table and figure of a paper, or of all, as `--list --json` prints them.

    Raises:
        ConfigError: no paper is called so.
    """
    found = []
    for name in catalogue.papers if paper is None else [catalogue.paper(paper).paper]:
        for entry in catalogue.papers[name].entries:
            line = None if entry.nothing else catalogue.sizes[size][f"{name}/{entry.id}"]
            found.append(
                {
                    "paper": name,
                    "entry": entry.id,
                    "shows": entry.shows,
                    "size": size,
                    "why_not": why_not(catalogue, size, name, entry),
                    "needs": line.needs if line else None,
                    "hours": line.hours if line else None,
                    "printed_numbers": _printed(entry),
                }
            )
    return found


def print_list(console: Console, catalogue: Catalogue, lines: list[dict[str, Any]], size: Size) -> None:
    """A table a paper."""
    hours_of = "of two cores" if size == "small" else "of one H100"
    for name in dict.fromkeys(one["paper"] for one in lines):
        paper = catalogue.papers[name]
        console.print(Text(f"{name}  ", style="bold cyan") + Text(f"{paper.title}, {paper.source}", style="bold"))
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column("", no_wrap=True)
        table.add_column("shows", ratio=5)
        table.add_column("needs, or why it is not done", ratio=6)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("printed", justify="right", no_wrap=True)
        for one in (one for one in lines if one["paper"] == name):
            needs = Text(one["why_not"], style="dim") if one["why_not"] else Text(one["needs"])
            time = "" if one["why_not"] else _time(one["hours"])
            table.add_row(Text(one["entry"]), Text(one["shows"]), needs, time, str(one["printed_numbers"] or ""))
        console.print(table)
        console.print()
    done = sum(one["why_not"] is None for one in lines)
    console.print(
        f"{done} of {len(lines)} are done at the {size} size. time: {hours_of}, with all steps that an entry rests "
        "on, which others share; ? where nobody knows. printed: numbers that the paper prints for it.",
        highlight=False,
    )


def print_dry_run(console: Console, plan: Plan, *, written: bool, data: Path | None) -> None:
    """Each step's command in order, and what is finished already."""
    for number, (name, step) in enumerate(plan.steps.items(), 1):
        done = plan.finished.get(name)
        state = f"  finished, {seconds_in_words(done.seconds)}" if done else ""
        console.print(Text(f"{number}. {name}", style="bold") + Text(state, style="green"))
        console.print(step.shown, highlight=False, markup=False)
        for path in step.edited:
            console.print(f"   {path} was changed by hand, and is used as it is", highlight=False, markup=False)
    entries = (
        f"{len(plan.chosen)} table or figure" if len(plan.chosen) == 1 else f"{len(plan.chosen)} tables and figures"
    )
    console.print(
        f"Dry run: {entries}, {len(plan.steps)} steps, {len(plan.finished)} of them finished. To come: "
        f"{to_come_in_words(plan.hours(plan.finished))}.",
        highlight=False,
    )
    if written:
        out = plan.places.out
        console.print(
            f"The recipes are in {out / 'recipes'}: change them as you like and run the commands above in that order, "
            "wherever you have the hardware. A changed recipe is kept, and the same command without --dry-run takes "
            "what is finished as it is and reads the numbers.",
            highlight=False,
            markup=False,
        )
    if data is None and any(
        "{data}" in text for step in plan.steps.values() for text in (*step.texts.values(), *step.words)
    ):
        console.print("{data} stands for the folder that --data names.", highlight=False, markup=False)


def print_told(console: Console, told: Told, places: Places) -> None:
    """Each entry's claims, its seconds and its file; then what cannot be shown."""
    rows = [("entry", "hold", "do not hold", "not told", "time", "numbers")] if told.found else []
    for key, one in told.found.items():
        claims = Counter(claim.outcome for claim in one.claims)
        counts = (str(claims["holds"]), str(claims["does not hold"]), str(claims["not told"]))
        time = seconds_in_words(sum(one.steps.values()))
        rows.append((key, *counts, time, str(places.entry(one.paper, one.entry))))
    first = max((len(row[0]) for row in rows), default=0)
    for key, hold, fail, open_, time, path in rows:
        # No rich table, which would break a path that is to be copied.
        line = f"{key:<{first}}  {hold:>4}  {fail:>11}  {open_:>8}  {time:>7}  {path}"
        console.print(line, highlight=False, markup=False)
    for key, why in told.failed.items():
        console.print(Text(f"{key} cannot be shown: {why}", style="red"))
    console.print(f"page         {told.page}", highlight=False, markup=False)


def _printed(entry: Entry) -> int:
    return sum(len(series.points) for series in entry.printed)


def _time(hours: float | None) -> str:
    return "?" if hours is None else seconds_in_words(hours * 3600)
