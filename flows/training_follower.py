"""A training's other processes: they take their share of the steps, and leave everything else to the first.

The run, the ledger and the output folder have to be on a disk that all of them see.
"""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

from flows.training_plan import TrainingPlan
from flows.training_stages import Training
from trainers.processes import met


def follow(plan: TrainingPlan) -> None:
    """Train beside the first process; nothing is written, and what the first one says is not said again.

    Raises:
        CurationError: as the first process raises it.
    """
    logging.getLogger().setLevel(logging.WARNING)
    if plan.recipe.head is not None:
        return  # it is fitted without steps
    with tempfile.TemporaryDirectory() as work:
        training = Training(plan, Path(work))
        with met():  # the first one has read, checked and paid when it gets here
            training.read()
            training.reward(_call)
            training.refer(_call)
            training.steps()


def _call(_name: str, work: Callable[[], None]) -> None:
    work()
