"""The command line of `python -m flows.curate`: recipe in, funnel out."""

import logging
import sys
import time
from pathlib import Path

from rich.console import Console

from flows.cli import CONFIGS, load_recipe, prepare_process, run_command
from flows.config import Recipe
from flows.summary import print_summary

logger = logging.getLogger(__name__)


def curate_command() -> None:
    """Parse, run, print, exit."""
    prepare_process()
    run_command(lambda: _curate(sys.argv[1:]))


def _curate(argv: list[str]) -> int:
    start = time.monotonic()
    recipe = load_recipe(argv, default=CONFIGS / "starter.yaml", program="python -m flows.curate")
    console = Console(soft_wrap=True)
    finished = _unchanged(recipe)
    if not finished:
        from flows.curate import curate

        curate(recipe)
    print_summary(console, Path(recipe.output.dir), seconds=time.monotonic() - start, unchanged=finished)
    return 0


def _unchanged(recipe: Recipe) -> bool:
    """Whether the output folder holds exactly this run already; found out without Prefect or a model."""
    from flows.plan import plan_run

    return plan_run(recipe).finished is not None
