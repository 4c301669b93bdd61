"""A training's other processes: they take their share of the steps, and leave everything else to the first.

The run, the ledger and the output folder have to be on a disk that all of them see.
"""

import logging
import signal
from collections.abc import Callable

from flows.train.plan import TrainingPlan
from flows.train.stages import Training
from flows.versions.output_folder import WORK
from trainers.steps.processes import met


def follow(plan: TrainingPlan) -> None:
    """Train beside the first process; nothing is written, and what the first one says is not said again.

    Raises:
        CurationError: as the first process raises it.
    """
    if plan.recipe.head is not None:
        return  # it is fitted without steps
    logging.getLogger().setLevel(logging.WARNING)
    # There is nothing to clean up, and Python would hear the launcher only after torch has waited for the others: that
    # was 30 s, until the launcher killed it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    training = Training(plan, plan.folder / WORK)
    with met():  # the first one has read, checked and paid when it gets here
        training.read()
        training.reward(_call)
        training.refer(_call)
        training.steps()


def _call(_name: str, work: Callable[[], None]) -> None:
    work()
