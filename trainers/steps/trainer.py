"""transformers' Trainer whose unit of work is an optimizer step, however that has to be cut to fit in memory.

The data loader gives a step's examples. They are cut into micro-batches of so many tokens, each is read and sent
back with its share of the step's loss, and what is applied is the gradient of the mean over all terms of the step,
in all processes. Optimizer, schedule, clipping, accelerate, PEFT and loggers are the Trainer's.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import rotate_checkpoints

from trainers.steps import value_head
from trainers.steps.activations import Budget, hold_within
from trainers.steps.checkpoints import PARTIAL, check_same_run, saving, write_identity
from trainers.steps.log import StepLog, displacement, perplexity
from trainers.steps.order import Order
from trainers.steps.quantiles import Quantiles
from trainers.steps.shares import Step, Steps, share
from trainers.steps.task import Read, Task
from trainers.steps.watch import check_gradient, check_loss, check_trend
from trainers.steps.wrapping import call_through, own_outputs
from transforms.errors import OutputError

Result = TypeVar("Result")


class StepTrainer(Trainer):  # type: ignore[misc]
    """Trains `model` on a task.

    Args:
        model: a transformers or peft model; on return from `train` it is the trained one.
        arguments: as `trainers.steps.arguments` makes them.
        task: what to learn from.
        order: which examples each step sees.
        identity: what else decides the result (model, optimizer), as plain JSON; a checkpoint of another is refused.
        test: examples to measure on, not to learn from.
        steps_log: told of every step and measurement.
        value_learning_rate: of the model's value head, where it has one.
        activations: what layers may hold of a forward pass, None for all of it.
    """

    def __init__(
        self,
        model: Any,
        arguments: TrainingArguments,
        *,
        task: Task,
        order: Order,
        identity: Mapping[str, Any],
        test: Task | None = None,
        steps_log: StepLog | None = None,
        value_learning_rate: float = 1e-3,
        activations: Budget | None = None,
    ) -> None:
        # Several GPUs in one process would mean DataParallel, which knows nothing of steps.
        arguments._n_gpu = min(arguments.n_gpu, 1)
        use_cache = model.config.use_cache  # the Trainer turns it off, and it would be saved so
        ranks = {"process": arguments.process_index, "processes": arguments.world_size}
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=Steps(order, task.cut, **ranks),
            eval_dataset=None if test is None else range(test.size),
        )
        model.config.use_cache = use_cache
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)
        self._task, self._test, self._order, self._ranks = task, test, order, ranks
        self._log = steps_log or StepLog()
        self._value_learning_rate = value_learning_rate
        self._activations = activations
        self._step: Step | None = None
        self.identity = {**identity, **task.identity, "order": order.identity}

    def get_train_dataloader(self) -> DataLoader[dict[str, Step]]:
        """One step at a time; the Trainer skips to a step by its number."""
        return DataLoader(self.train_dataset, batch_size=1, collate_fn=itemgetter(0))

    def training_step(self, model: Any, inputs: dict[str, Step], num_items_in_batch: Any = None) -> torch.Tensor:
        """Add the gradient of this process's share of the step; the loss whose mean over processes is the step's."""
        model.train()
        self._step = step = inputs["step"]
        terms = self._task.terms(step.rows)
        if self._activations is not None:
            self._hold_within(self._activations, model, step)
            self._activations = None
        total = torch.zeros((), device=self.args.device)
        # One region for the step: weights are cast once, not in every micro-batch and again on its way back.
        with self._casting():
            for number, batch in enumerate(step.micro_batches):
                with self._gradients_in_step(model, last=number + 1 == len(step.micro_batches)):
                    read = self._read(self._task, batch.rows)
                    check_loss(read.losses, step.number + 1, read.names)
                    # Gradients are averaged over processes, hence the factor.
                    part = read.losses.sum() * (self._ranks["processes"] * batch.counts / terms)
                    with torch.autocast(self.args.device.type, enabled=False):
                        self.accelerator.backward(part)
                self._log.add(read, counts=batch.counts, examples=len(batch.rows))
                total += part.detach()
        return total

    def train(self, resume_from_checkpoint: str | Path | None = None, **options: Any) -> Any:
        """Train, from the start or from a checkpoint of the same run.

        Where the arguments name a best measurement, the model is then that of its step (`kept_step`).

        Raises:
            ConfigError: the checkpoint is of other settings or data.
            ModelError: a loss or a gradient is not finite or runs away; that step was not applied.
            OutputError: a checkpoint cannot be written, or that of the best measurement is gone.
        """
        if resume_from_checkpoint is not None:
            check_same_run(Path(resume_from_checkpoint), self.identity)
            self.args.eval_on_start = False
        self._log.start()
        done = super().train(None if resume_from_checkpoint is None else str(resume_from_checkpoint), **options)
        if self._best is not None and self.kept_step != self.state.global_step:
            if not self._best.is_dir():
                message = f"{self._best}, the checkpoint of the best measurement, is gone; start anew without resume"
                raise OutputError(message)
            self._load_from_checkpoint(str(self._best))
        return done

    def trained(self, load: Callable[[], Any]) -> Any:
        """The trained model, whole: in the first process at least.

        Args:
            load: the model as it was before training, on the CPU; not called where the weights are whole already.
        """
        return self.accelerator.unwrap_model(self.model)

    @property
    def kept_step(self) -> int:
        """The step whose model this is, once it is trained: the last one, or that of the best measurement."""
        step: int = self.state.global_step
        return step if self._best is None else int(self.state.best_global_step)

    @property
    def _best(self) -> Path | None:
        """The checkpoint of the best measurement so far."""
        step = self.state.best_global_step
        return None if step is None else Path(self.args.output_dir) / f"checkpoint-{step}"

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Mean loss and figures over the test examples, and how some of them are spread, logged."""
        if self._test is None:
            return {}
        self.model.eval()
        measured, spread = StepLog(), Quantiles(**self._ranks)
        with torch.no_grad(), self._casting():
            for batch in share(range(self._test.size), self._test.cut, **self._ranks):
                read = self._read(self._test, batch.rows)
                measured.add(read, counts=batch.counts, examples=len(batch.rows))
                spread.add({name: read.figures[name] for name in read.spread}, counts=batch.counts)
        found = measured.means(self._total) | spread.found(self._total)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self._log.start()  # its seconds are no training's
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log what the Trainer says of a step together with the task's figures."""
        if "loss" in logs:
            logs |= self._log.step(self._total, self.state.log_history)
            self.state.epoch = self._order.passes(self.state.global_step)
        logs |= displacement(logs, self.state.log_history) | perplexity(logs)
        super().log(logs, start_time)
        if self.is_world_process_zero():
            self._log.write(self.state.log_history)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The Trainer's, with a learning rate of its own for a value head: 1e-6 would not move one."""
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        head = getattr(self.accelerator.unwrap_model(model or self.model), value_head.NAME, None)
        if head is not None:
            own = list(head.parameters())  # in their order, by which a checkpoint numbers their moments
            numbers = {id(parameter) for parameter in own}
            for group in optimizer.param_groups:
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in numbers]
            optimizer.add_param_group({"params": own, "lr": self._value_learning_rate, "weight_decay": 0.0})
        return optimizer

    def floating_point_ops(self, inputs: dict[str, Step]) -> int:
        """Not counted: the Trainer's formula reads a batch of tokens that there is none of."""
        return 0

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> float:
        """The norm before clipping; the last thing the Trainer asks for before it applies a gradient."""
        found = super()._get_grad_norm(model, grad_norm=grad_norm)
        norm = float(found.full_tensor() if isinstance(found, DTensor) else found)
        if self._step is not None:
            steps = [line for line in self.state.log_history if "loss" in line]
            names = self._task.names(self._step.rows)
            check_gradient(norm, [line["grad_norm"] for line in steps], self._step.number + 1, names)
            check_trend([line["loss"] for line in steps], self._step.number + 1, names)
        return norm

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """The Trainer's checkpoint and whose it is, under a name that says nothing until all of it is there."""
        folder, name = Path(self.args.output_dir), f"checkpoint-{self.state.global_step}"
        with saving(name, folder):
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                if self.state.best_model_checkpoint is not None:
                    # The Trainer notes the folder that it wrote to, which is about to have another name.
                    self.state.best_model_checkpoint = None
                    self.state.save_to_json(folder / PARTIAL / name / TRAINER_STATE_NAME)
                write_identity(folder / PARTIAL / name, self.identity)
                # A run that goes on from an earlier checkpoint comes by here again.
                shutil.rmtree(folder / name, ignore_errors=True)
                (folder / PARTIAL / name).rename(folder / name)
                shutil.rmtree(folder / PARTIAL)
                best = None if self._best is None else str(self._best)
                rotate_checkpoints(str(folder), save_total_limit=self.args.save_total_limit, best_model_checkpoint=best)
            self.accelerator.wait_for_everyone()
        self._log.start()

    def _get_output_dir(self, trial: Any) -> str:
        """Where the Trainer puts a checkpoint's folder together."""
        return str(Path(self.args.output_dir) / PARTIAL)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Weights and value head; the Trainer would add its arguments as a pickle."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        inside = self.accelerator.unwrap_model(self.model)
        weights = self.model.state_dict() if state_dict is None else state_dict
        inside.save_pretrained(folder, state_dict=value_head.without(weights))
        value_head.save(weights, folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        value_head.load(self.accelerator.unwrap_model(model or self.model), Path(resume_from_checkpoint))

    def _total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over processes."""
        found: torch.Tensor = self.accelerator.reduce(values.to(self.args.device), reduction="sum")
        return found

    @contextmanager
    def _gradients_in_step(self, model: Any, *, last: bool) -> Iterator[None]:
        """Gradients are exchanged with the last micro-batch of a step and not before."""
        self.accelerator.gradient_state._set_sync_gradients(last)
        if last or self.accelerator.distributed_type == DistributedType.DEEPSPEED:
            yield
        else:
            with self.accelerator.no_sync(model):
                yield

    def _hold_within(self, budget: Budget, model: Any, step: Step) -> None:
        """Measure by the example of middle length of the first step."""
        by_length = [row for batch in self._task.cut(step.rows) for row in batch]
        row = by_length[len(by_length) // 2]

        def read(times: int) -> Read:
            with self._casting(), self._gradients_in_step(model, last=False):
                return self._read(self._task, (row,) * times)

        inside, offload = self.accelerator.unwrap_model(self.model), self.args.device.type != "cpu"
        hold_within(budget, inside, read, offload=offload)

    def _read(self, task: Task, rows: tuple[int, ...]) -> Read:
        inside = self.accelerator.unwrap_model(self.model)

        def call(work: Callable[[Any], Result]) -> Result:
            return call_through(self.model_wrapped, inside, work)

        return task.read(call, rows, self.args.device)

    @contextmanager
    def _casting(self) -> Iterator[None]:
        """Inside, the model computes in the dtype of the run and says what it computed."""
        inside = self.accelerator.unwrap_model(self.model)
        with self._autocast(), own_outputs(inside), self._adapters_as_computed(inside):
            yield

    def _autocast(self) -> AbstractContextManager[None]:
        """The Trainer's."""
        found: AbstractContextManager[None] = self.accelerator.autocast()
        return found

    def _adapters_as_computed(self, model: Any) -> AbstractContextManager[None]:
        """Inside, adapters take their input in the dtype it has.

        peft makes it fp32, as an adapter's weights are, and automatic casting makes it bf16 again: the same numbers,
        for two copies of every linear layer's input and two of its gradient.
        """
        if not (hasattr(model, "peft_config") and (self.args.bf16 or self.args.fp16)):
            return nullcontext()
        from peft.helpers import disable_input_dtype_casting

        found: AbstractContextManager[None] = disable_input_dtype_casting(model)
        return found
