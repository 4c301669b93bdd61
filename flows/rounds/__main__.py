"""`python -m flows.rounds`: generate with the newest policy, curate, train on it, and once more."""

import sys
import time
from typing import Final

from rich.console import Console

from flows.rounds.config import RoundsConfig
from flows.runtime.cli import prepare_process, run_command
from flows.runtime.config_files import CONFIGS, load_config

DEFAULT: Final = CONFIGS / "rounds" / "starter.yaml"
PROGRAM: Final = "python -m flows.rounds"
ABOUT: Final = f"{__doc__} Every key of the file is a flag; see flows/configs/rounds for examples."


def main() -> int:
    """Parse, run, print."""
    start = time.monotonic()
    config = load_config(RoundsConfig, sys.argv[1:], default=DEFAULT, program=PROGRAM, about=ABOUT)
    from flows.rounds.plan import plan_rounds  # without Prefect and without a model

    plan = plan_rounds(config)
    found = plan.finished
    if found is None:
        from flows.runtime.temporary_server import while_server_starts

        with while_server_starts():
            from flows.rounds.flow import rounds
        found = rounds(config)
    from flows.rounds.summary import print_rounds

    seconds = time.monotonic() - start
    print_rounds(Console(soft_wrap=True), found, plan.folder, seconds=seconds, unchanged=plan.finished is not None)
    return 0


if __name__ == "__main__":
    prepare_process()
    run_command(main)
