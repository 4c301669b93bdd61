"""`python -m flows.export RUN --to trl kto nemo_rl openrlhf`: a run or a generation, for other people's trainers."""

import argparse
import math
import sys
from pathlib import Path

from rich.console import Console

from flows.runtime.cli import prepare_process, run_command
from flows.versions.place import place
from transforms.errors import ConfigError
from transforms.exports.layouts import KTO, LAYOUTS
from transforms.exports.pairs import SCORE_COLUMNS
from transforms.exports.thresholds import METHODS


def main() -> int:
    """Parse, export, print."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.export",
        description=__doc__,
        epilog="RUN is the folder of a run or a generation, a published folder, or a Hub dataset as org/name@revision. "
        "Where there is a folder of that name, the folder is meant.",
    )
    parser.add_argument("run", metavar="RUN", help="the version whose pairs are exported")
    parser.add_argument("--to", nargs="+", choices=LAYOUTS, required=True, metavar="LAYOUT", help=", ".join(LAYOUTS))
    parser.add_argument("--revision", help="branch, tag or commit of a Hub dataset")
    parser.add_argument("--out", type=Path, help="folder to write; RUN/exports by default. An export there is replaced")
    of_kto = parser.add_argument_group("kto: which responses are desirable")
    scores = tuple(SCORE_COLUMNS)
    of_kto.add_argument("--score", choices=scores, help="the reward model's or the source's; generations have one")
    of_kto.add_argument("--threshold", type=threshold, metavar="X", help="otsu (default), median, or a score")
    of_kto.add_argument("--margin", type=float, metavar="M", help="leave out what is less than M away from it (0)")
    parser.add_argument("--json", action="store_true", help="print export.json instead of text")
    arguments = parser.parse_args()
    where, revision = place(arguments.run, arguments.revision)
    margin = 0.0 if arguments.margin is None else arguments.margin
    _check(arguments, margin)
    # Imports that --help and a wrong argument need not wait for.
    from flows.export.export import Choices
    from flows.export.output import export, print_export
    from flows.versions.version import open_any

    choices = Choices(tuple(dict.fromkeys(arguments.to)), arguments.score, arguments.threshold or METHODS[0], margin)
    record, folder = export(open_any(where, revision), choices, arguments.out)
    if arguments.json:
        sys.stdout.write(record.model_dump_json(indent=2) + "\n")
    else:
        print_export(Console(soft_wrap=True), record, folder)
    return 0


def threshold(text: str) -> str | float:
    if text in METHODS:
        return text
    value = float(text)  # argparse says what it was given
    if not math.isfinite(value):
        raise ValueError
    return value


def _check(arguments: argparse.Namespace, margin: float) -> None:
    given = [name for name in ("score", "threshold", "margin") if getattr(arguments, name) is not None]
    if given and KTO not in arguments.to:
        message = f"--{given[0]} decides labels of {KTO}, which --to does not name; add it or leave out --{given[0]}"
        raise ConfigError(message)
    if not 0 <= margin < math.inf:
        message = f"--margin is {margin:g}, expected a distance from the threshold, 0 or more"
        raise ConfigError(message)


if __name__ == "__main__":
    prepare_process()
    run_command(main)
