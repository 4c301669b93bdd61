"""What the terminal shows of a run: what would be run, what it needs, and what came out."""

from collections import Counter
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from flows.reproduce.output import Places
from flows.reproduce.plan import Plan
from flows.reproduce.run import seconds_in_words, to_come_in_words
from flows.reproduce.steps import reads_data, sharded
from flows.reproduce.telling import Told

_AT_START: Final = 3  # texts of needs that are printed before a run; more would hide its first step


def print_dry_run(console: Console, plan: Plan) -> None:
    """Each step's command in order, what is finished already, and what the whole needs and takes."""
    for number, (name, step) in enumerate(plan.steps.items(), 1):
        done = plan.finished.get(name)
        state = f"  finished, {seconds_in_words(done.seconds)}" if done else ""
        console.print(Text(f"{number}. {name}", style="bold") + Text(state, style="green"))
        console.print(step.shown, highlight=False, markup=False)
        for path in step.edited:
            console.print(f"   {path} was changed by hand, and is used as it is", highlight=False, markup=False)
    entries = _counted(len(plan.chosen), "table or figure", "tables and figures")
    _say(
        console,
        f"Dry run: {entries}, {_counted(len(plan.steps), 'step', 'steps')}, {len(plan.finished)} of them finished. "
        f"To come: {to_come(plan)}.",
    )
    print_needs(console, plan)
    recipes = plan.places.out / "recipes"
    if plan.size == "paper":
        _say(
            console,
            f"The recipes are in {recipes}: change them as you like and run the commands above in that order, "
            "wherever you have the hardware. A changed recipe is kept, and the same command without --dry-run takes "
            "what is finished as it is and reads the numbers.",
        )
    else:
        _say(console, f"Nothing is written by a dry run of this size; {recipes} is written when it runs.")


def print_start(console: Console, plan: Plan) -> None:
    """Before a run at the papers' size, in a few lines: how long it takes, and what it needs."""
    steps = _counted(len(plan.steps) - len(plan.finished), "step", "steps")
    _say(console, f"{steps} to run. To come: {to_come(plan)}.")
    needs, notes = _needs(plan)
    if len(needs) > _AT_START:
        _say(console, f"{len(plan.chosen)} tables and figures; --dry-run says what each needs.")
        return
    for text, keys in needs.items():
        _say(console, f"{', '.join(keys)}: {text}")
    if notes:
        _say(console, f"Needed as well, and told by --dry-run: {', '.join(notes)}.")


def to_come(plan: Plan) -> str:
    """How long what is not finished takes, and of which hardware."""
    found = to_come_in_words(plan.hours(plan.finished))
    return f"{found} of one H100 (GPU-hours)" if plan.size == "paper" else found


def print_needs(console: Console, plan: Plan) -> None:
    """At the papers' size, what its entries need: each text once."""
    if plan.size != "paper":
        return
    needs, notes = _needs(plan)
    for text, keys in needs.items():
        _say(console, f"{', '.join(keys)}: {text}")
    for name, text in notes.items():
        _say(console, f"{name}: {text}")


def _needs(plan: Plan) -> tuple[dict[str, list[str]], dict[str, str]]:
    """What is needed → by which entries, and the notes that they name."""
    needs: dict[str, list[str]] = {}
    for one in plan.chosen:
        needs.setdefault(one.line.needs, []).append(f"{one.paper} {one.entry.id}")
    known = plan.catalogue.notes.get(plan.size, {})
    return needs, {name: known[name] for one in plan.chosen for name in one.line.notes}


def print_flags(console: Console, plan: Plan, data: Path | None, processes: int) -> None:
    """What flags would do for these steps, or do not."""
    steps = [plan.catalogue.steps[plan.size][name] for name in plan.steps]
    wide = sum(map(sharded, steps))
    if wide and processes == 1:
        _say(console, f"{_counted(wide, 'training wants', 'trainings want')} several GPUs: --processes 8.")
    if processes > 1 and not wide:
        _say(console, f"--processes {processes} is of no use here: no step is a sharded training.")
    reads = any(map(reads_data, steps))
    if reads and data is None:
        _say(console, "{data} stands for the folder that --data names.")
    if data is not None and not reads:
        _say(console, f"--data {data} is of no use here: no step reads it.")


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


def _counted(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False)
