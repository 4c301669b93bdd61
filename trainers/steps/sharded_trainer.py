"""A `StepTrainer` whose model is spread over all processes.

What it writes is what one process writes: checkpoints are whole and of the same files, so a run goes on with any
number of processes, sharded or not.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import AutocastKwargs
from transformers import TrainingArguments
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from trainers.steps.processes import processes
from trainers.steps.settings import Memory
from trainers.steps.sharding import copy_whole, let_go, own_optimizer_state, shard, whole
from trainers.steps.trainer import StepTrainer

logger = logging.getLogger(__name__)


def trainer_for(memory: Memory) -> type[StepTrainer]:
    """The class that holds the weights where `memory` wants them, in as many processes as there are."""
    if memory.shard is None:
        return StepTrainer
    if processes() == 1:
        logger.info("memory.shard: %s does nothing in one process, which holds all weights", memory.shard)
        return StepTrainer
    return ShardedStepTrainer


class ShardedStepTrainer(StepTrainer):
    """Trains `model` on a task, each process with a part of its weights, gradients and moments.

    accelerate's own FSDP computes with weights that are bf16, norms included, and reduces gradients in bf16; on a CPU
    it does nothing. Here the model is sharded first, and transformers and accelerate treat it as they do one that came
    sharded from `from_pretrained`: neither wraps it again.

    Args:
        model: a transformers or peft model, whole and the same in every process; sharded in place.
        arguments: as `trainers.steps.arguments` makes them.
        options: as of `StepTrainer`.
    """

    def __init__(self, model: Any, arguments: TrainingArguments, **options: Any) -> None:
        super().__init__(shard(model, arguments.device), arguments, **options)
        self.is_distributed_loading_by_transformers = True

    def evaluate(self, *positional: Any, **keywords: Any) -> dict[str, float]:
        """As `StepTrainer` does."""
        found = super().evaluate(*positional, **keywords)
        let_go(self.model)
        return found

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Gather the weights, and write them in the first process."""
        weights = whole(self.model.state_dict(keep_vars=True), keep=self.args.should_save)
        if self.args.should_save:
            self._save(output_dir, state_dict=weights)

    def trained(self, load: Callable[[], Any]) -> Any:
        """The trained model, whole and on the CPU: in the first process, None in the others, which all call this."""
        model = load() if self.args.should_save else None
        copy_whole(self.model, model)
        return model

    def _move_model_to_device(self, model: Any, device: torch.device) -> None:
        """It is there: `to` would not take it."""

    def _autocast(self) -> AbstractContextManager[None]:
        """Cast weights are let go with what was gathered; a cache of them would be the whole model."""
        found: AbstractContextManager[None] = self.accelerator.autocast(AutocastKwargs(cache_enabled=False))
        return found

    @contextmanager
    def _gradients_in_step(self, model: Any, *, last: bool) -> Iterator[None]:
        """Gradients are exchanged with every micro-batch: those that wait for the last one are the whole model's."""
        self.accelerator.gradient_state._set_sync_gradients(last)
        yield

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        state = whole(self.optimizer.state_dict(), keep=self.args.should_save)
        if self.args.should_save:
            torch.save(state, Path(output_dir) / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        # Mapped, not read: the Trainer would put all moments on every GPU.
        state = torch.load(Path(checkpoint) / OPTIMIZER_NAME, map_location="cpu", mmap=True, weights_only=True)
        self.optimizer.load_state_dict(own_optimizer_state(state, self.optimizer))
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))
