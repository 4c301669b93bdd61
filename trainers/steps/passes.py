"""Measurements and checkpoints at the end of each pass over the examples, which the Trainer knows nothing of."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.steps.order import Order


class AtPassEnds(TrainerCallback):  # type: ignore[misc]
    """Asks for them; those of the last step are asked for by the Trainer.

    Args:
        order: of all steps.
        measure: whether to measure.
        save: whether to write a checkpoint.
    """

    def __init__(self, order: Order, *, measure: bool, save: bool) -> None:
        self._ends = frozenset(order.pass_ends)
        self._measure, self._save = measure, save

    def on_step_end(self, _: TrainingArguments, state: TrainerState, control: TrainerControl, **__: Any) -> None:
        """After each step."""
        if state.global_step in self._ends:
            control.should_evaluate |= self._measure
            control.should_save |= self._save
