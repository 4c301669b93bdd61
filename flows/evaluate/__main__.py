"""`python -m flows.evaluate`: models on labelled pairs, by their answers, on tasks and on chat benchmarks."""

import sys
import time
from typing import TYPE_CHECKING, Final

from rich.console import Console

from flows.evaluate.config import EvaluationConfig
from flows.runtime.cli import prepare_process, run_command
from flows.runtime.config_files import CONFIGS, load_config

if TYPE_CHECKING:
    from transforms.records.evaluation import Evaluation

DEFAULT: Final = CONFIGS / "evaluate" / "starter.yaml"
PROGRAM: Final = "python -m flows.evaluate"
ABOUT: Final = f"{__doc__} Every key of the file is a flag; see flows/configs/evaluate for examples."


def main() -> int:
    """Parse, evaluate, print, write."""
    start = time.monotonic()
    config = load_config(EvaluationConfig, sys.argv[1:], default=DEFAULT, program=PROGRAM, about=ABOUT)
    from flows.evaluate.plan import plan_evaluation  # without Prefect and without a model

    plan = plan_evaluation(config)
    found = plan.finished or _run(config)
    from flows.evaluate.summary import print_evaluation

    seconds = time.monotonic() - start
    print_evaluation(Console(soft_wrap=True), found, plan.folder, seconds=seconds, unchanged=plan.finished is not None)
    return 0


def _run(config: EvaluationConfig) -> "Evaluation":
    from flows.runtime.temporary_server import while_server_starts

    with while_server_starts():
        from flows.evaluate.flow import evaluate
    return evaluate(config)


if __name__ == "__main__":
    prepare_process()
    run_command(main)
