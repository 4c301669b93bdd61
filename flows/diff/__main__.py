"""`python -m flows.diff A B`: what became other between two versions of a curated dataset, and why."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from flows.runtime.cli import prepare_process, run_command
from flows.versions.place import place
from transforms.errors import ConfigError


def main() -> int:
    """Parse, compare, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.diff",
        description=__doc__,
        epilog="A is the old version, B the new one; each the folder of a run, a published folder, or a Hub dataset as "
        "org/name@revision. Where there is a folder of that name, the folder is meant.",
    )
    parser.add_argument("old", metavar="A", help="the version before")
    parser.add_argument("new", metavar="B", help="the version now")
    parser.add_argument("--revision-a", help="branch, tag or commit of A on the Hub")
    parser.add_argument("--revision-b", help="likewise of B")
    parser.add_argument("--out", type=Path, help="folder for diff.html, diff.json and changes.jsonl")
    parser.add_argument("--json", action="store_true", help="print diff.json instead of text")
    arguments = parser.parse_args()
    places = [place(arguments.old, arguments.revision_a), place(arguments.new, arguments.revision_b)]
    if arguments.out is not None and arguments.out.is_file():
        message = f"--out {arguments.out} is a file; name a folder"
        raise ConfigError(message)
    # Seconds of imports that --help and a wrong argument need not wait for.
    from flows.diff.difference import difference
    from flows.diff.output import print_difference, write_difference
    from flows.versions.version import open_version

    old, new = (open_version(where, revision) for where, revision in places)
    found = difference(old, new)
    if arguments.out is not None:
        write_difference(found, old, new, arguments.out)
    if arguments.json:
        sys.stdout.write(found.record.model_dump_json(indent=2) + "\n")
    else:
        print_difference(Console(soft_wrap=True), found.record, arguments.out)
    return 0


if __name__ == "__main__":
    prepare_process()
    run_command(main)
