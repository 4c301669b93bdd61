"""`python -m flows.compare`: does curation help? One training recipe on raw, cut and curated pairs of one run."""

import sys
import time
from typing import Final

from rich.console import Console

from flows.compare.config import ComparisonConfig
from flows.runtime.cli import prepare_process, run_command
from flows.runtime.config_files import CONFIGS, load_config

DEFAULT: Final = CONFIGS / "compare" / "starter.yaml"
PROGRAM: Final = "python -m flows.compare"
ABOUT: Final = (
    f"{__doc__} Every key of the file is a flag; see flows/configs/compare for examples. `--dry-run` prints the cost."
)


def main() -> int:
    """Parse, compare, print; 1 where a training failed."""
    start = time.monotonic()
    dry = "--dry-run" in sys.argv[1:]
    argv = [word for word in sys.argv[1:] if word != "--dry-run"]
    config = load_config(ComparisonConfig, argv, default=DEFAULT, program=PROGRAM, about=ABOUT)
    console = Console(soft_wrap=True)
    from flows.compare.plan import plan_comparison  # without Prefect and without a model
    from flows.compare.summary import print_comparison, print_estimate

    plan = plan_comparison(config)
    if dry and plan.finished is None:
        print_estimate(console, plan)
        return 0
    found = plan.finished
    if found is None:
        from flows.runtime.temporary_server import while_server_starts

        with while_server_starts():
            from flows.compare.flow import compare
        found = compare(config)
    seconds = time.monotonic() - start
    print_comparison(console, found, plan.folder, seconds=seconds, unchanged=plan.finished is not None)
    return 1 if found.failures else 0


if __name__ == "__main__":
    prepare_process()
    run_command(main)
