"""`python -m flows.reproduce PAPER FIGURE`: a table or figure of a paper, by this project's commands, and beside it.

`--list` names all there are. What is finished is not run again, and a run that was stopped goes on.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast, get_args

from rich.console import Console

from flows.reproduce.asked import asked, check_out, choose_asked
from flows.reproduce.catalogue import read_catalogue
from flows.reproduce.edited import check_edited
from flows.reproduce.output import check_size, claimed
from flows.reproduce.plan import plan
from flows.runtime.cli import prepare_process, run_command
from transforms.errors import ConfigError
from transforms.records.reproduction import Size

if TYPE_CHECKING:
    from flows.reproduce.plan import Plan

OUT: Final = Path("runs") / "reproduce"


def main() -> int:
    """Parse, list or run, print; 1 where something cannot be shown."""
    arguments = _parse()
    size = cast(Size, arguments.size)
    catalogue = read_catalogue(steps=() if arguments.list else (size,))
    console = Console(soft_wrap=True)
    names = asked(catalogue, [one for one in (arguments.paper, *arguments.entries) if one is not None])
    if arguments.list:
        from flows.reproduce.listing import listed, print_details, print_list

        lines = listed(catalogue, size, names)
        if arguments.json:
            sys.stdout.write(json.dumps(lines, ensure_ascii=False, indent=2) + "\n")
        else:
            width = None if console.is_terminal or "COLUMNS" in os.environ else 100
            show = print_details if any(names.values()) else print_list
            show(Console(width=width), lines, size)
        return 0
    chosen = choose_asked(catalogue, size, names)
    out = arguments.out or OUT / size
    check_out(out)
    check_size(out, size)
    data: Path | None = arguments.data

    def planned(*, dry: bool) -> "Plan":
        found = plan(catalogue, size, chosen, out, data, dry=dry, processes=arguments.processes)
        check_edited(found.steps.values())
        return found

    from flows.reproduce.summary import print_dry_run, print_flags

    if not arguments.dry_run:
        found = planned(dry=False)  # what is wrong with the arguments is said before a folder is made
        print_flags(console, found, data, arguments.processes)
        with claimed(out, size):
            return _run(console, planned(dry=False))
    found = planned(dry=True)
    if size == "paper":
        with claimed(out, size):
            for step in found.steps.values():
                step.write()
    print_dry_run(console, found)
    print_flags(console, found, data, arguments.processes)
    return 0


def _run(console: Console, found: "Plan") -> int:
    from flows.reproduce.run import run_steps
    from flows.reproduce.summary import print_start, print_told
    from flows.reproduce.telling import tell

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    def say_failed(line: str, log: str) -> None:
        console.print(line, style="bold red", highlight=False, markup=False)
        console.print(log, style="dim", highlight=False, markup=False)

    if found.size == "paper":
        print_start(console, found)
    ran = run_steps(found, say, say_failed)
    told = tell(found, ran)
    print_told(console, told, found.places)
    return 1 if told.failed else 0


def _some(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        message = f"{text!r} is no number of processes; give 1 or more"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.reproduce", description=__doc__)
    parser.add_argument("paper", nargs="?", metavar="PAPER", help="one of those that --list names; or PAPER/FIGURE")
    parser.add_argument("entries", nargs="*", metavar="FIGURE", help="its tables and figures; all by default")
    parser.add_argument("--all", action="store_true", help="everything that is done at that size")
    parser.add_argument(
        "--list", action="store_true", help="every table and figure, a line each; with PAPER FIGURE all of it"
    )
    parser.add_argument("--json", action="store_true", help="--list as JSON")
    parser.add_argument(
        "--size", choices=get_args(Size), default="small", help="small: two cores, what ships (default)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"folder of everything; {OUT}/SIZE by default")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with data that some steps read")
    parser.add_argument(
        "--processes", type=_some, default=1, metavar="N", help="of a sharded training, one a GPU, by torchrun (1)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the commands; at the paper's size, write their recipes too"
    )
    arguments = parser.parse_intermixed_args()  # a flag may stand between the two names
    if arguments.all and arguments.paper:
        message = "--all or a paper, not both"
        raise ConfigError(message)
    if not (arguments.paper or arguments.all or arguments.list):
        message = "name a paper, with its figures or without, or say --all; --list names all there are"
        raise ConfigError(message)
    if arguments.json and not arguments.list:
        message = "--json is of --list; leave it out, or say --list"
        raise ConfigError(message)
    return arguments


if __name__ == "__main__":
    prepare_process()
    run_command(main)
