"""`--list`: every table and figure there is, a line each, or all that is known of some of them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.reproduce.catalogue import Catalogue
from flows.reproduce.plan import why_not
from flows.reproduce.run import seconds_in_words
from transforms.records.reproduction import Size

HOURS_OF: Final[dict[Size, str]] = {"small": "of two cores", "paper": "hours of one H100 (GPU-hours)"}
_NOT_KNOWN: Final = "Not known here."
_SENTENCE: Final = re.compile(r"(?<=[\w)])\. (?=[A-Z0-9])")
_BRACKETS: Final = re.compile(r" \([^()]*\)")
_NUMBERED: Final = re.compile(r"(?P<kind>\w+)-(?P<number>\d+)")


def listed(catalogue: Catalogue, size: Size, names: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Tables and figures as `--list --json` prints them.

    Args:
        catalogue: of all there are.
        size: at which they are redone.
        names: paper → its entries, none for all of them; empty for all papers.
    """
    found = []
    for name in names or catalogue.papers:
        paper = catalogue.papers[name]
        wanted = names.get(name) or [one.id for one in paper.entries]
        for entry in (catalogue.entry(name, one) for one in wanted):
            line = None if entry.nothing else catalogue.sizes[size][f"{name}/{entry.id}"]
            notes = catalogue.notes.get(size, {})
            found.append(
                {
                    "paper": name,
                    "title": paper.title,
                    "source": paper.source,
                    "known": paper.known,
                    "entry": entry.id,
                    "shows": entry.shows,
                    "size": size,
                    "why_not": why_not(catalogue, size, name, entry),
                    "needs": line.needs if line else None,
                    "notes": {one: notes[one] for one in line.notes} if line else {},
                    "hours": line.hours if line else None,
                    "printed_numbers": sum(len(series.points) for series in entry.printed),
                    "printed_in": entry.printed_in,
                    "steps": line.reads if line else [],
                    "claims": [claim.says for claim in line.claims] if line else [],
                }
            )
    return found


def print_list(console: Console, lines: Sequence[dict[str, Any]], size: Size) -> None:
    """A table a paper, a line an entry as far as the terminal is wide enough, and what many need below."""
    common = _common(lines)
    for name in dict.fromkeys(one["paper"] for one in lines):
        of_paper = [one for one in lines if one["paper"] == name]
        _print_paper(console, of_paper[0])
        table = _table()
        # A name is copied from here: it stands in one piece where the terminal has room for it.
        name_width = min(max(len(one["entry"]) for one in of_paper), console.width // 3)
        table.add_column("", overflow="fold", min_width=name_width)
        for head in ("time", "printed"):
            table.add_column(head, justify="right", no_wrap=True)
        table.add_column("shows", ratio=5, overflow="fold")
        table.add_column("needs, or why it is not done", ratio=4, overflow="fold")
        for one in (one for one in of_paper if not _not_known(one)):
            reason = one["why_not"] and one["why_not"].replace(f"not done at the {size} size", "not done")
            needs = Text(_short(reason), style="dim") if reason else Text(_needs_in_short(one, common))
            time = "" if one["why_not"] else _time(one["hours"])
            table.add_row(
                Text(one["entry"]), time, str(one["printed_numbers"] or ""), Text(_first(one["shows"])), needs
            )
        console.print(table)
        if unknown := [one["entry"] for one in of_paper if _not_known(one)]:
            console.print(Text(f"{_together(unknown)}: not known here", style="dim"))
        console.print()
    print_notes(console, lines)
    done = sum(one["why_not"] is None for one in lines)
    console.print(
        f"{done} of {len(lines)} can be done at the {size} size. time: {HOURS_OF[size]}, with all steps that an entry "
        "rests on, which others share; ? where nobody knows. printed: how many numbers of the paper are known here, "
        "which may be a third party's transcription. --list PAPER FIGURE says all of one: where its numbers were read, "
        "what it needs, its steps and its claims.",
        highlight=False,
        markup=False,
    )


def print_details(console: Console, lines: Sequence[dict[str, Any]], size: Size) -> None:
    """All that is known of each entry."""
    for name in dict.fromkeys(one["paper"] for one in lines):
        of_paper = [one for one in lines if one["paper"] == name]
        _print_paper(console, of_paper[0])
        for one in of_paper:
            console.print(Text(f"{one['paper']} {one['entry']}", style="bold"))
            table = _table()
            table.add_column("", no_wrap=True)
            table.add_column("", ratio=1, overflow="fold")
            table.show_header = False
            for label, texts in _details(one, size):
                for number, text in enumerate(texts):
                    table.add_row(Text(label if number == 0 else "", style="dim"), Text(text))
            console.print(table)
            console.print()
    print_notes(console, lines)


def print_notes(console: Console, lines: Sequence[dict[str, Any]]) -> None:
    """What several entries need, each once."""
    notes = {name: text for one in lines for name, text in one["notes"].items()}
    common = _common(lines)
    for name, text in notes.items():
        console.print(Text(f"{'all' if name in common else name}: ", style="bold") + Text(text))
    if notes:
        console.print()


def _details(one: Mapping[str, Any], size: Size) -> list[tuple[str, list[str]]]:
    numbers = one["printed_numbers"]
    printed = f"{numbers} {'number' if numbers == 1 else 'numbers'}, read in {one['printed_in']}" if numbers else "none"
    found = [("shows", [one["shows"]])]
    if one["why_not"]:
        found += [("why not", [one["why_not"]])]
    if one["needs"]:
        notes = f" See below: {', '.join(one['notes'])}." if one["notes"] else ""
        found += [("needs", [f"{one['needs']}{notes}"])]
    if not one["why_not"]:
        hours = f"{_time(one['hours'])} {HOURS_OF[size].removeprefix('hours ')}"
        found += [("time", ["nobody knows" if one["hours"] is None else hours])]
    found += [("printed", [printed])]
    if one["steps"]:
        found += [("steps", [f"{', '.join(one['steps'])}, and those that they build on"])]
    if one["claims"]:
        found += [("claims", one["claims"])]
    return found


def _print_paper(console: Console, line: Mapping[str, Any]) -> None:
    console.print(Text(f"{line['paper']}  ", style="bold cyan") + Text(f"{line['title']}, {line['source']}", "bold"))
    console.print(Text(line["known"], style="dim"))


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)


def _common(lines: Sequence[Mapping[str, Any]]) -> set[str]:
    """Notes of every entry that is done, which need no mark on each."""
    of_each = [set(one["notes"]) for one in lines if one["why_not"] is None]
    return set.intersection(*of_each) if len(of_each) > 1 else set()


def _needs_in_short(line: Mapping[str, Any], common: set[str]) -> str:
    marks = [name for name in line["notes"] if name not in common]
    return _short(line["needs"]) + (f" [{', '.join(marks)}]" if marks else "")


def _first(text: str) -> str:
    first, *more = _SENTENCE.split(text, maxsplit=1)
    return f"{first} …" if more else first.rstrip(".")


def _short(text: str) -> str:
    """Its first sentence, without what stands in brackets: licences, and where to read on."""
    return _BRACKETS.sub("", _first(text))


def _not_known(line: Mapping[str, Any]) -> bool:
    return line["needs"] is None and bool(line["shows"] == _NOT_KNOWN)


def _together(names: Sequence[str]) -> str:
    """`figure-1, 4 to 6, table-2` of names in order."""
    found: list[tuple[str, list[int]]] = []  # kind, and numbers that follow each other; none of a name without one
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if match is None:
            found.append((name, []))
            continue
        kind, number = match["kind"], int(match["number"])
        if found and found[-1][0] == kind and found[-1][1] and found[-1][1][-1] == number - 1:
            found[-1][1].append(number)
        else:
            found.append((kind, [number]))
    parts, before = [], ""
    for kind, numbers in found:
        if not numbers:
            parts.append(kind)
        else:
            last = f" to {numbers[-1]}" if len(numbers) > 1 else ""
            parts.append(f"{'' if kind == before else f'{kind}-'}{numbers[0]}{last}")
        before = kind
    return ", ".join(parts)


def _time(hours: float | None) -> str:
    return "?" if hours is None else seconds_in_words(hours * 3600)
