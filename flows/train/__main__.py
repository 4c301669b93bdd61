"""`python -m flows.train`: a policy or a reward model from a curated run, token for token as it was curated."""

import sys
import time
from typing import TYPE_CHECKING, Final

from rich.console import Console

from flows.runtime.cli import prepare_process, run_command
from flows.runtime.config_files import CONFIGS, load_config
from flows.train.config import TrainingRecipe
from trainers.steps.processes import is_first, refuse_sharding

if TYPE_CHECKING:
    from flows.train.plan import TrainingPlan
    from flows.train.record import TrainingRecord

DEFAULT: Final = CONFIGS / "train" / "starter-dpo.yaml"
PROGRAM: Final = "python -m flows.train"


def main() -> int:
    """Parse, train, print."""
    start = time.monotonic()
    recipe = load_config(TrainingRecipe, sys.argv[1:], default=DEFAULT, program=PROGRAM)
    refuse_sharding()
    from flows.train.plan import plan_training  # without Prefect and without a model

    plan = plan_training(recipe)
    if not is_first():
        return 0 if plan.finished else _follow(plan)
    record = plan.finished or _run(recipe)
    from flows.train.summary import print_training

    seconds = time.monotonic() - start
    print_training(Console(soft_wrap=True), record, plan.folder, seconds=seconds, unchanged=plan.finished is not None)
    return 0


def _run(recipe: TrainingRecipe) -> "TrainingRecord":
    from flows.runtime.temporary_server import while_server_starts

    with while_server_starts():
        from flows.train.flow import train
    return train(recipe)


def _follow(plan: "TrainingPlan") -> int:
    from flows.train.other_processes import follow

    follow(plan)
    return 0


if __name__ == "__main__":
    prepare_process()
    sys.argv[0] = PROGRAM
    run_command(main)
