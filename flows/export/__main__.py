"""`python -m flows.export RUN --to trl kto nemo_rl openrlhf`: a run or a generation, for other people's trainers.

`--to alpaca_eval`, `arena_hard` or `mt_bench`: a generation's answers, for the benchmark's own tool.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Final

from rich.console import Console

from flows.runtime.cli import prepare_process, run_command
from flows.versions.place import place
from transforms.errors import ConfigError
from transforms.exports.layouts import ANSWER_LAYOUTS, KTO, LAYOUTS
from transforms.exports.pairs import SCORE_COLUMNS
from transforms.exports.thresholds import METHODS

# Flag → the layouts that it is of.
_OF_ANSWERS: Final[dict[str, tuple[str, ...]]] = {
    "policy": ANSWER_LAYOUTS,
    "model": ANSWER_LAYOUTS[:3],
    "benchmark": ANSWER_LAYOUTS,
    "second": ("mt_bench",),
    "allow_missing": ("alpaca_eval", "arena_hard"),
    "style_metadata": ("arena_hard",),
}


def main() -> int:
    """Parse, export, print."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.export",
        description=__doc__,
        epilog="RUN is the folder of a run or a generation, a published folder, or a Hub dataset as org/name@revision. "
        "Where there is a folder of that name, the folder is meant.",
    )
    parser.add_argument("run", metavar="RUN", help="the version whose pairs are exported")
    layouts = (*LAYOUTS, *ANSWER_LAYOUTS)
    parser.add_argument("--to", nargs="+", choices=layouts, required=True, metavar="LAYOUT", help=", ".join(layouts))
    parser.add_argument("--revision", help="branch, tag or commit of a Hub dataset")
    parser.add_argument("--out", type=Path, help="folder to write; RUN/exports by default. An export there is replaced")
    of_kto = parser.add_argument_group("kto: which responses are desirable")
    scores = tuple(SCORE_COLUMNS)
    of_kto.add_argument("--score", choices=scores, help="the reward model's or the source's; generations have one")
    of_kto.add_argument("--threshold", type=threshold, metavar="X", help="otsu (default), median, or a score")
    of_kto.add_argument("--margin", type=float, metavar="M", help="leave out what is less than M away from it (0)")
    of_answers = parser.add_argument_group("alpaca_eval, arena_hard, mt_bench: answers for the benchmark's own tool")
    of_answers.add_argument("--policy", metavar="LABEL", help="whose answers; needed where the generation has several")
    of_answers.add_argument("--model", metavar="NAME", help="what the benchmark calls it; its label by default")
    of_answers.add_argument("--benchmark", metavar="FILE", help="its questions: alpaca_eval.json or question.jsonl")
    of_answers.add_argument("--second", metavar="RUN", help="mt_bench: the generation that answered the second turns")
    of_answers.add_argument("--allow-missing", action="store_true", help="write what there is, where its tool takes it")
    of_answers.add_argument("--style-metadata", action="store_true", help="arena_hard: what style control reads")
    parser.add_argument("--json", action="store_true", help="print export.json instead of text")
    arguments = parser.parse_args()
    where, revision = place(arguments.run, arguments.revision)
    margin = 0.0 if arguments.margin is None else arguments.margin
    _check(arguments, margin)
    if arguments.to[0] in ANSWER_LAYOUTS:
        return _export_answers(arguments, where, revision)
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


def _export_answers(arguments: argparse.Namespace, where: str, revision: str | None) -> int:
    from flows.export.answers import Wanted, export_answers, print_answers
    from flows.versions.version import open_any

    wanted = Wanted(
        arguments.to[0],
        arguments.policy,
        arguments.model,
        arguments.benchmark,
        allow_missing=arguments.allow_missing,
        style_metadata=arguments.style_metadata,
    )
    version = open_any(where, revision)
    second = None if arguments.second is None else open_any(*place(arguments.second, None))
    record, folder = export_answers(version, wanted, second, arguments.out)
    if arguments.json:
        sys.stdout.write(record.model_dump_json(indent=2) + "\n")
    else:
        print_answers(Console(soft_wrap=True), record, folder)
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
    answers = [layout for layout in arguments.to if layout in ANSWER_LAYOUTS]
    if answers and len(set(arguments.to)) > 1:
        message = f"--to {answers[0]} is of one benchmark's questions and stands alone; found {' '.join(arguments.to)}"
        raise ConfigError(message)
    for name, of in _OF_ANSWERS.items():
        if getattr(arguments, name) and arguments.to[0] not in of:
            message = f"--{name.replace('_', '-')} is of --to {' or '.join(of)}; take that, or leave out the flag"
            raise ConfigError(message)
    if not 0 <= margin < math.inf:
        message = f"--margin is {margin:g}, expected a distance from the threshold, 0 or more"
        raise ConfigError(message)


if __name__ == "__main__":
    prepare_process()
    run_command(main)
