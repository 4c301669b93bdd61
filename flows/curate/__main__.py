"""The command line of `python -m flows.curate`: recipe in, funnel out."""

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":  # before the imports below, which take a second: a new run's server gets ready meanwhile
    from flows.runtime.early_server import start_server_early

    start_server_early(sys.argv[1:])

from rich.console import Console

from flows.recipe.command_line import load_recipe
from flows.runtime.cli import prepare_process, run_command
from flows.runtime.config_files import CONFIGS

if TYPE_CHECKING:
    from flows.curate.plan import Plan

logger = logging.getLogger(__name__)


def main() -> int:
    """Parse, run, print."""
    start, argv = time.monotonic(), sys.argv[1:]
    dry = "--dry-run" in argv
    argv = [word for word in argv if word != "--dry-run"]
    recipe = load_recipe(argv, default=CONFIGS / "starter.yaml", program="python -m flows.curate")
    console = Console(soft_wrap=True)
    from flows.curate.plan import load_ahead, plan_run  # without Prefect and without a model

    plan = plan_run(recipe)
    finished = plan.finished is not None
    if dry and not finished:
        _print_bill(console, plan)
        return 0
    if not finished:
        from flows.runtime.temporary_server import while_server_starts

        with while_server_starts():
            load_ahead(plan)
            from flows.runtime.prefect_imports import import_prefect

            import_prefect()
            import matplotlib.figure  # noqa: F401 - drawn with at the end; while the server starts it costs no time

            from flows.curate.flow import curate
        curate(recipe)
    elif recipe.output.copy_to:  # it may have been copied elsewhere, or not to the end
        from flows.versions.copies import copy_run

        copy_run(plan.folder, recipe.output.copy_to)
    from flows.curate.summary import print_summary

    print_summary(console, Path(recipe.output.dir), seconds=time.monotonic() - start, unchanged=finished)
    return 0


def _print_bill(console: Console, plan: "Plan") -> None:
    if plan.generation:
        from flows.generate.dry_run import dry_run as dry_generation
        from flows.generate.dry_run import print_dry_run as print_generation

        print_generation(console, plan.recipe.name, dry_generation(plan.generation))
        console.print("What curating the pairs costs is known once they are generated.")
        return
    from flows.curate.dry_run import dry_run, print_dry_run

    print_dry_run(console, plan.recipe, dry_run(plan))


if __name__ == "__main__":
    prepare_process()
    run_command(main)
