"""The stages of a training: read, check, reference log-probs, train, evaluate, write."""

import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers.trainer_utils import get_last_checkpoint

from flows.models.engine_calls import Pay
from flows.models.recipe_models import model_record
from flows.runtime.environment import PROJECT
from flows.runtime.progress import Advance, Progress
from flows.runtime.trackers import tensorboard_folder
from flows.train.examples import TrainingExamples
from flows.train.learner import find_learner
from flows.train.output import CHECKPOINTS, METRICS, MODEL
from flows.train.plan import TrainingPlan
from flows.train.record import DataRecord, KeptRecord, Outcome, StepsRecord, TrainingRecord
from flows.train.reference_log_probs import reading_together, reference_log_probs
from flows.train.reward_head import fit_head_alone
from flows.train.rows import FoundRows
from flows.versions.fingerprint import git_commit, package_versions
from flows.versions.run_record import QUARANTINE, quarantine_line
from trainers.batches.tensors import PACKED, Layout
from trainers.reading.examples import Example, check_readable, examples_sha256
from trainers.reading.references import References
from trainers.steps.activations import GIB, Budget
from trainers.steps.arguments import CHECKPOINTS_KEPT, Best, training_arguments, training_order
from trainers.steps.checkpoints import check_same_run, checkpoints_in, saving
from trainers.steps.compiled import compile_layers
from trainers.steps.log import StepLog
from trainers.steps.passes import AtPassEnds
from trainers.steps.processes import is_first, meet, met, processes
from trainers.steps.reports import reporting
from trainers.steps.settings import Memory
from trainers.steps.sharded_trainer import trainer_for
from trainers.steps.trainer import StepTrainer
from transforms.errors import ConfigError
from transforms.precision import warn_if_slow
from transforms.records.manifest import SpendRecord

logger = logging.getLogger(__name__)


class Trained(NamedTuple):
    """What came of all steps, in one of the processes."""

    trainer: StepTrainer
    layout: Layout  # of the examples
    model: Any  # with all its weights; None in other processes than the first, where it was sharded


class Training:
    """The state that stages share. A plain class, so that Prefect hands it on without looking inside.

    Args:
        plan: the recipe with everything found.
        work: an empty folder on the disk of the output folder.
    """

    def __init__(self, plan: TrainingPlan, work: Path) -> None:
        self.plan, self.recipe, self.work = plan, plan.recipe, work
        self.learner = find_learner(plan)
        self.progress = Progress()
        self.seconds: dict[str, float] = {}
        self.data = TrainingExamples(plan, self.learner)
        self.references: dict[str, References] = {}
        self.spend: SpendRecord | None = None

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.plan.folder / CHECKPOINTS

    @property
    def newest(self) -> Path | None:
        """The checkpoint to go on from."""
        found = get_last_checkpoint(str(self.checkpoints))
        return None if found is None else Path(found)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the weights, beside the task's own."""
        found = self.recipe.identity() | {"model": self.plan.model.identity.fingerprint}
        reads = self.plan.objective is not None and "reference" in self.plan.objective.needs
        if reads and self.recipe.reference is not None and self.plan.reference is not None:
            found["reference"] = self.plan.reference.model.identity.fingerprint
        return found

    @property
    def best(self) -> Best | None:
        """Which measurement's model is saved; None: that of the last step."""
        if self.recipe.keep_best is None:
            return None
        return Best(f"eval_{self.learner.figures[self.recipe.keep_best]}", self.recipe.keep_best != "loss")

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds of the block to a stage."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - start

    def read(self) -> None:
        """Shards to examples."""
        with self.timed("read"):
            self.data.read()

    def reward(self, pay: Pay) -> None:
        """Rewards, where those of all responses are asked for."""
        if self.plan.reward:
            with self.timed("rewards"):
                self.data.reward(pay, self.progress)

    def check(self) -> None:
        """Refuse what cannot be trained on before anything heavy is loaded.

        Raises:
            SchemaError: ids or lengths that the model does not know, or prompts that begin with unlike tokens.
            ConfigError: no training pairs, or a checkpoint of other settings.
        """
        path = self.recipe.dataset.path
        if isinstance(self.plan.data, FoundRows):
            lines = "".join(map(quarantine_line, self.data.quarantined))
            (self.work / QUARANTINE).write_text(lines, encoding="utf-8")
        if "train" not in self.data.by_split and isinstance(self.plan.data, FoundRows):
            message = (
                f"none of the {self.data.rows:,} rows of {path} can be trained on: {self.data.first_problem()}. See "
                f"{self.work / QUARANTINE}"
            )
            raise ConfigError(message)
        if "train" not in self.data.by_split:
            message = f"{path} has no training pairs: see its report for what became of them"
            raise ConfigError(message)
        if self.best and "test" not in self.data.by_split:
            message = (
                f"keep_best: {self.recipe.keep_best} chooses among measurements on test, and {path} held out no "
                "prompts: hold some out with --dataset.test_size 0.05"
            )
            raise ConfigError(message)
        if self.best and self.best.figure != "eval_loss" and not self.learner.orders(self.data.by_split["test"]):
            message = (
                f"keep_best: {self.recipe.keep_best} is of a prompt's better and worse response, and no prompt of "
                f"{path}, test, has two of different rewards: use keep_best: loss"
            )
            raise ConfigError(message)
        for split, examples in self.data.by_split.items():
            limits = {"vocabulary": self.plan.vocabulary, "context": self.plan.context}
            check_readable(examples, where=f"{path}, {split}", **limits)
        self.learner.check(self.data.every, where=path)
        if self.recipe.head is None and self.newest:
            train = self.data.by_split["train"]
            order = training_order(self.recipe.stepwise, len(train))
            own = self.learner.identity(train) | {"order": order.identity}
            check_same_run(self.newest, self.identity | own)

    def refer(self, pay: Pay, *, every: bool = False) -> None:
        """Reference log-probs, from the ledger or by the reference model: of examples that are trained or measured on.

        Args:
            pay: calls a batch of expensive work by a name, and again if its engine fails.
            every: read all others too, for trainings that come after this one.
        """
        reference, objective = self.plan.reference, self.plan.objective
        if reference is None or objective is None:
            return
        together = self.recipe.memory.shard is not None and processes() > 1 and self.recipe.cluster is None
        if together and is_first():
            meet()  # the others are here already, or will be
        elif together:
            reading_together(reference, self.recipe.memory.batch_tokens).follow()
        with self.timed("reference log-probs"):
            wanted: dict[str, Sequence[int]] = {
                split: range(len(examples)) for split, examples in self.data.by_split.items()
            }
            if not every:
                wanted["train"] = training_order(self.recipe.stepwise, len(wanted["train"])).rows
            found = reference_log_probs(
                [examples[row] for split, examples in self.data.by_split.items() for row in wanted[split]],
                self.data.whole,
                reference,
                ledger=self.plan.ledger,
                pay=pay,
                progress=self.progress,
                prompts="prompt_ratio" in objective.needs,
                longest=self.plan.context,
                batch_tokens=self.recipe.memory.batch_tokens,
                cluster=self.recipe.cluster,
                together=together and is_first(),
            )
            self.spend = found.spend
            start = 0
            for split, examples in self.data.by_split.items():
                rows = wanted[split]
                self.references[split] = found.log_probs.part(start, start + len(rows)).as_rows(rows, examples)
                start += len(rows)

    def train(self) -> TrainingRecord:
        """Train, measure before and after, and write the model to the work folder; the record of all of it."""
        head = self.recipe.head
        if head is None:
            return self._record(self._step())
        with self.timed("train"):
            outcome = fit_head_alone(self.plan, head, self.data.by_split, self.work, self.progress)
        return self._record(outcome)

    def _step(self) -> Outcome:
        """Train in steps and save."""
        with met():
            trainer, layout, model = self.steps()
        with self.timed("write"), saving("the model", self.work):
            shutil.rmtree(self.work / MODEL, ignore_errors=True)
            self.learner.save(model, self.work / MODEL, examples=self.data.every)
            if self.recipe.keep_checkpoints:
                for folder in checkpoints_in(self.checkpoints):
                    self.learner.complete(folder)
        log = trainer.state.log_history
        layout_name, device = "packed" if layout is PACKED else "padded", _device(trainer.args.device)
        return _outcome(log, layout_name, device, best=self.best, kept_step=trainer.kept_step)

    def steps(self) -> Trained:
        """Take every step and measurement, in each process that met."""
        recipe, train, learner = self.recipe, self.data.by_split["train"], self.learner
        warn_if_slow(recipe.memory.dtype, recipe.name)  # weights that are trained are float32, so loading says nothing
        with self.timed("load model"):
            model = learner.load(train)
        layout, reason = learner.layout(model, train)
        logger.info(reason)
        if recipe.memory.compile:
            compile_layers(model)
        tasks = {
            split: learner.task(examples, layout=layout, references=self.references.get(split))
            for split, examples in self.data.by_split.items()
        }
        order = training_order(recipe.stepwise, len(train))
        eval_steps = recipe.eval_steps if "test" in tasks else None
        save_steps = recipe.eval_steps if self.best else recipe.save_steps
        with ExitStack() as reports:
            unit = "completions" if recipe.kind == "sft" else "pairs"
            with self.timed("train"), self.progress.bar("train", unit=unit, total=order.seen) as advance:
                trainer = trainer_for(recipe.memory)(
                    model,
                    training_arguments(
                        self.checkpoints,
                        recipe.stepwise,
                        recipe.memory,
                        order,
                        save_steps=save_steps,
                        eval_first="test" in tasks,
                        eval_steps=eval_steps,
                        best=self.best,
                        keep=recipe.keep_checkpoints or CHECKPOINTS_KEPT,
                        run_name=recipe.name,
                        project=PROJECT,
                    ),
                    task=tasks["train"],
                    test=tasks.get("test"),
                    order=order,
                    identity=self.identity,
                    steps_log=StepLog(self.work / METRICS, _Advance(advance)),
                    activations=_budget(recipe.memory, train, layout),
                )
                if "epoch" in (eval_steps, save_steps):
                    trainer.add_callback(AtPassEnds(order, measure=eval_steps == "epoch", save=save_steps == "epoch"))
                events = tensorboard_folder(self.plan.folder, recipe.name, self.plan.fingerprint)
                reports.enter_context(reporting(trainer, recipe.report_to, events))
                trainer.train(self.newest)
            with self.timed("evaluate"):
                if "test" in tasks and not _measured(trainer.state.log_history, order.steps):
                    trainer.evaluate()
        with self.timed("write"):
            return Trained(trainer, layout, trainer.trained(partial(learner.load, train)))

    def _record(self, outcome: Outcome) -> TrainingRecord:
        train = self.data.by_split["train"]
        return TrainingRecord(
            name=self.recipe.name,
            fingerprint=self.plan.fingerprint,
            config=self.recipe.model_dump(mode="json"),
            objective=self.learner.objective,
            data=DataRecord(
                path=self.recipe.dataset.path,
                revision=self.plan.data.commit,
                version=self.plan.data.content_version,
                kept=self.recipe.dataset.kept,
                examples=len(train),
                responses=sum(len(example.responses) for example in train),
                kept_tokens=sum(example.kept_tokens for example in train),
                cut_by_context=self.data.cut_by_context,
                test_examples=len(self.data.by_split.get("test", [])),
                sha256=examples_sha256(train),
                rows=self.data.rows,
                left_out=dict(+self.data.left_out),
                quarantined=len(self.data.quarantined),
            ),
            model=model_record(self.plan.model.identity),
            trained=outcome.trained,
            before=outcome.before,
            after=outcome.after,
            kept=outcome.kept,
            rewards=self.data.rewards,
            reference=self.spend,
            packages=package_versions(),
            git_commit=git_commit(),
            device=outcome.device,
            seconds={stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _outcome(
    lines: Sequence[dict[str, Any]], layout: str, device: str, *, best: Best | None, kept_step: int
) -> Outcome:
    """What the log says of a training in steps."""
    steps = [line for line in lines if "loss" in line]
    measured = [line for line in lines if "eval_loss" in line] or steps
    last = steps[-1]
    trained = StepsRecord(
        steps=last["step"],
        examples=last["examples"],
        kept_tokens=last["kept_tokens"],
        read_tokens=last["read_tokens"],
        layout=layout,
    )
    if best is None:
        return Outcome(trained, measured[0], measured[-1], device)
    after = [line for line in measured if line["step"] > 0]
    [of_kept] = [line for line in after if line["step"] == kept_step]
    kept = KeptRecord(step=kept_step, figure=best.figure, value=of_kept[best.figure], measurements=len(after))
    return Outcome(trained, measured[0], of_kept, device, kept)


def _budget(memory: Memory, examples: Sequence[Example], layout: Layout) -> Budget | None:
    """What layers may hold of the longest forward pass; an example that is longer than `batch_tokens` goes alone."""
    if memory.activations_gib is None:
        return None
    longest = max(map(layout.tokens, examples))
    return Budget(round(memory.activations_gib * GIB), max(memory.batch_tokens, longest))


class _Advance:
    """Moves a progress bar by what a step's line adds to the one before."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._examples = self._tokens = 0

    def __call__(self, line: Mapping[str, Any]) -> None:
        if "examples" in line:
            self._advance(line["examples"] - self._examples, tokens=line["read_tokens"] - self._tokens)
            self._examples, self._tokens = line["examples"], line["read_tokens"]


def _measured(lines: Sequence[Mapping[str, Any]], step: int) -> bool:
    return any("eval_loss" in line and line["step"] == step for line in lines)


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
