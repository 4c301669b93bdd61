"""Trackers of a training, by transformers' own loggers: they may fail, and the training goes on.

The loggers speak in the first process alone. What they are told of a training are its figures, transformers' arguments
with tokens masked, and the model's config.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.integrations import INTEGRATION_TO_CALLBACK

from transforms.choices import Tracker
from transforms.errors import first_line, without_secrets

logger = logging.getLogger(__name__)


@contextmanager
def reporting(trainer: Trainer, report_to: Sequence[Tracker], events: Path) -> Iterator[None]:
    """Inside, trackers are told what the trainer logs, measurements after the last step too; then they are closed.

    Args:
        trainer: before it trains.
        report_to: trackers, each told once.
        events: folder of TensorBoard's event files. Its own place would be among the checkpoints, which go in the end.
    """
    trackers = [_Careful(name, events) for name in dict.fromkeys(report_to)]
    if trackers:
        trainer.add_callback(_Reports(trackers))
    try:
        yield
    finally:
        for one in trackers:
            one.end()


class _Careful:
    """One of transformers' loggers, which is left alone once it has failed.

    It is told of the training's end later than the Trainer says so: MLflow's would put what comes after it into a new
    run without a name.
    """

    def __init__(self, name: Tracker, events: Path) -> None:
        self._name = name
        self._failed = False
        self._last: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._logger: Any = None
        self._try(lambda: self._open(events))

    def tell(self, event: str, *state: Any, **more: Any) -> None:
        """Hand an event of the Trainer on, but keep its last one."""
        if event == "on_train_end":
            self._last = (state, more)
        else:
            self._try(lambda: getattr(self._logger, event)(*state, **more))

    def end(self) -> None:
        """Close it; W&B's is left open by transformers, and the next training would write into this one's run."""
        if self._last is not None:
            state, more = self._last
            self._try(lambda: self._logger.on_train_end(*state, **more))
        if self._name == "wandb":
            self._try(lambda: self._logger._wandb.finish(exit_code=1 if self._last is None else 0))

    def _open(self, events: Path) -> None:
        self._logger = INTEGRATION_TO_CALLBACK[self._name]()
        if self._name == "tensorboard":
            self._logger.logging_dir = os.fspath(events)

    def _try(self, tell: Callable[[], Any]) -> None:
        if self._failed:
            return
        try:
            tell()
        except Exception as error:  # noqa: BLE001 - what other people's clients raise has no common class
            self._failed = True
            what = without_secrets(first_line(error))
            logger.warning("%s failed and is told no more; the training goes on: %s", self._name, what)


class _Reports(TrainerCallback):  # type: ignore[misc]
    """The events of a training that loggers listen to."""

    def __init__(self, trackers: Sequence[_Careful]) -> None:
        self._trackers = trackers

    def _tell(self, event: str, *state: Any, **more: Any) -> None:
        for one in self._trackers:
            one.tell(event, *state, **more)

    on_train_begin = partialmethod(_tell, "on_train_begin")
    on_log = partialmethod(_tell, "on_log")
    on_save = partialmethod(_tell, "on_save")
    on_train_end = partialmethod(_tell, "on_train_end")
