"""`python -m flows.generate`: prompts in, scored responses and preference pairs out."""

import sys
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from flows.recipe.generation import Generation
from flows.runtime.cli import prepare_process, run_command
from flows.runtime.config_files import CONFIGS, load_config

DEFAULT: Final = CONFIGS / "generate" / "starter.yaml"
PROGRAM: Final = "python -m flows.generate"
ABOUT: Final = (
    f"{__doc__} Every key of the file is a flag; see flows/configs/generate for examples. `--dry-run` prints the cost."
)


def main() -> int:
    """Parse, run, print."""
    start, argv = time.monotonic(), sys.argv[1:]
    dry = "--dry-run" in argv
    argv = [word for word in argv if word != "--dry-run"]
    config = load_config(Generation, argv, default=DEFAULT, program=PROGRAM, about=ABOUT)
    from flows.generate.plan import plan_generation  # without Prefect and without a model

    plan = plan_generation(config)
    finished = plan.finished is not None
    if dry and not finished:
        from flows.generate.dry_run import dry_run, print_dry_run

        print_dry_run(Console(soft_wrap=True), config.name, dry_run(plan))
        return 0
    if not finished:
        from flows.runtime.temporary_server import while_server_starts

        with while_server_starts():
            from flows.generate.flow import generate
        generate(config)
    elif config.output.copy_to:  # it may have been copied elsewhere, or not to the end
        from flows.versions.copies import copy_run

        copy_run(plan.folder, config.output.copy_to)
    from flows.generate.summary import print_summary

    folder = Path(config.output.dir)
    print_summary(Console(soft_wrap=True), folder, seconds=time.monotonic() - start, unchanged=finished)
    return 0


if __name__ == "__main__":
    prepare_process()
    run_command(main)
