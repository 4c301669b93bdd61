"""The Trainer's arguments for a run of steps: what it may decide, and what it must leave alone."""

import math
from pathlib import Path
from typing import Final, Literal, NamedTuple

import torch
from transformers import TrainingArguments

from trainers.steps.order import Order
from trainers.steps.settings import Memory, Optimisation

CHECKPOINTS_KEPT: Final = 2  # the newest, and one more in case the disk fails under it
Every = int | Literal["epoch"]  # steps between two, or the end of each pass


class Best(NamedTuple):
    """Which of the measurements on test examples is the best."""

    figure: str  # as metrics.jsonl calls it: eval_loss
    highest: bool


def training_order(settings: Optimisation, examples: int) -> Order:
    """Which examples each step sees."""
    epochs = settings.epochs or 1.0
    if settings.steps is not None:
        epochs = settings.steps * settings.pairs_per_step / examples
    return Order(examples, settings.pairs_per_step, epochs, settings.seed)


def training_arguments(
    folder: Path,
    optimisation: Optimisation,
    memory: Memory,
    order: Order,
    *,
    save_steps: Every | None = None,
    eval_first: bool = False,
    eval_steps: Every | None = None,
    best: Best | None = None,
    keep: int | Literal["all"] = CHECKPOINTS_KEPT,
    run_name: str | None = None,
    project: str | None = None,
) -> TrainingArguments:
    """What `trainers.steps.trainer.StepTrainer` takes.

    Args:
        folder: for checkpoints.
        optimisation: learning rate, schedule and so on.
        memory: dtype and checkpointing of activations.
        order: how many steps there are.
        save_steps: between checkpoints; None: none is written. One is written after the last step, too.
            `epoch` is for `trainers.steps.passes`, and so it is in `eval_steps`.
        eval_first: whether to measure on the test examples before any step.
        eval_steps: between measurements after that; None: none is made.
        best: of these measurements, whose model training ends with; None: it ends with the last step's. A checkpoint
            is then written with every measurement, so `save_steps` must be `eval_steps`.
        keep: the newest checkpoints that are left, the best one among them; it and the newest are left always.
        run_name: what the training is called in trackers; `trainers.steps.reports` says which are told.
        project: under which Trackio puts it; W&B and MLflow have variables for that.
    """
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=order.steps,
        learning_rate=optimisation.learning_rate,
        lr_scheduler_type=optimisation.schedule if optimisation.schedule != "constant" else "constant_with_warmup",
        warmup_steps=math.ceil(optimisation.warmup * order.steps),
        weight_decay=optimisation.weight_decay,
        max_grad_norm=optimisation.max_gradient_norm,
        seed=optimisation.seed,
        # Weights that are trained are fp32 and computed with in bf16 (DECISIONS.md).
        use_cpu=not torch.accelerator.is_available(),  # said, or bf16 is refused on a CPU
        bf16=memory.dtype == "bfloat16",
        gradient_checkpointing=memory.gradient_checkpointing,
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would log a NaN as the mean of the losses before
        save_strategy="no" if save_steps is None else "steps",
        save_steps=_steps(save_steps, order) or 1,
        save_total_limit=None if keep == "all" else keep,
        eval_strategy="no" if eval_steps is None else "steps",
        eval_steps=_steps(eval_steps, order),
        eval_on_start=eval_first,
        # The Trainer keeps the count; StepTrainer loads the checkpoint, whose place the Trainer does not know.
        metric_for_best_model=best.figure if best else None,
        greater_is_better=best.highest if best else None,
        report_to="none",
        run_name=run_name,
        **({} if project is None else {"project": project}),
        disable_tqdm=True,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
    )


def _steps(every: Every | None, order: Order) -> int | None:
    """Between two, as the Trainer counts them: the last step is all that it knows of passes."""
    return order.steps if every == "epoch" else every
