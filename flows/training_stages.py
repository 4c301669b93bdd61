"""The stages of a training: read, check, reference log-probs, train, evaluate, write."""

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers.trainer_utils import get_last_checkpoint

from flows.calls import Pay
from flows.fingerprint import git_commit, package_versions
from flows.models import model_record
from flows.progress import Advance, Progress
from flows.references import reference_log_probs
from flows.training_examples import TrainingExamples
from flows.training_output import CHECKPOINTS, METRICS, MODEL
from flows.training_plan import TrainingPlan
from flows.training_record import DataRecord, StepsRecord, TrainingRecord
from trainers import value_head
from trainers.arguments import training_arguments, training_order
from trainers.batches import PACKED
from trainers.checkpoints import check_same_run, saving
from trainers.examples import check_first_token, check_readable
from trainers.layouts import choose_layout
from trainers.policies import save_policy, trainable
from trainers.preferences import Preferences, examples_sha256, preferences_identity
from trainers.references import References
from trainers.step_log import StepLog
from trainers.step_trainer import StepTrainer
from transforms.engines.causal_model import load_causal
from transforms.engines.tokenizer import load_tokenizer
from transforms.errors import ConfigError
from transforms.manifest import SpendRecord

logger = logging.getLogger(__name__)


class Training:
    """The state that stages share. A plain class, so that Prefect hands it on without looking inside.

    Args:
        plan: the recipe with everything found.
        work: an empty folder on the disk of the output folder.
    """

    def __init__(self, plan: TrainingPlan, work: Path) -> None:
        self.plan, self.recipe, self.work = plan, plan.recipe, work
        self.progress = Progress()
        self.seconds: dict[str, float] = {}
        self.data = TrainingExamples(plan)
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
        return self.recipe.identity() | {"model": self.plan.model.identity.fingerprint}

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
        if "train" not in self.data.by_split:
            message = f"{path} has no training pairs: see its report for what became of them"
            raise ConfigError(message)
        for split, examples in self.data.by_split.items():
            limits = {"vocabulary": self.plan.vocabulary, "context": self.plan.context}
            check_readable(examples, where=f"{path}, {split}", **limits)
        if "prompt_ratio" in self.plan.objective.needs:
            check_first_token(self.data.every, where=path)
        if self.newest:
            train = self.data.by_split["train"]
            order = training_order(self.recipe.optimisation, len(train))
            own = preferences_identity(self.plan.objective, train) | {"order": order.identity}
            check_same_run(self.newest, self.identity | own)

    def refer(self, pay: Pay) -> None:
        """Reference log-probs of all examples, from the ledger or by the reference model."""
        reference = self.plan.reference
        if reference is None:
            return
        with self.timed("reference log-probs"):
            counts = {split: len(examples) for split, examples in self.data.by_split.items()}
            found = reference_log_probs(
                self.data.every,
                self.data.whole,
                reference,
                ledger=self.plan.ledger,
                pay=pay,
                progress=self.progress,
                prompts="prompt_ratio" in self.plan.objective.needs,
                longest=self.plan.context,
                batch_tokens=self.recipe.memory.batch_tokens,
            )
            self.spend = found.spend
            responses, prompts = found.log_probs
            start = 0
            for split, count in counts.items():
                part = slice(start, start + count)
                self.references[split] = References(responses[part], None if prompts is None else prompts[part])
                start += count

    def train(self) -> TrainingRecord:
        """Train, measure before and after, and write the model to the work folder; the record of all of it."""
        with self.timed("load model"):
            model = self._load()
        train = self.data.by_split["train"]
        layout, reason = choose_layout(model, train)
        logger.info(reason)
        tasks = {
            split: Preferences(
                examples,
                self.plan.objective,
                layout=layout,
                batch_tokens=self.recipe.memory.batch_tokens,
                references=self.references.get(split),
            )
            for split, examples in self.data.by_split.items()
        }
        order = training_order(self.recipe.optimisation, len(train))
        log = self.work / METRICS
        with self.timed("train"), self.progress.bar("train", unit="pairs", total=order.seen) as advance:
            trainer = StepTrainer(
                model,
                training_arguments(
                    self.checkpoints,
                    self.recipe.optimisation,
                    self.recipe.memory,
                    order,
                    save_steps=self.recipe.save_steps,
                    eval_first="test" in tasks,
                    eval_steps=self.recipe.eval_steps if "test" in tasks else None,
                    report_to=self.recipe.report_to,
                ),
                task=tasks["train"],
                test=tasks.get("test"),
                order=order,
                identity=self.identity,
                steps_log=StepLog(log, _Advance(advance)),
            )
            trainer.train(self.newest)
        with self.timed("evaluate"):
            if "test" in tasks and not _measured(log, order.steps):
                trainer.evaluate()
        with self.timed("write"), saving("the model", self.work):
            self._save(trainer)
        return self._record(trainer, "packed" if layout is PACKED else "padded")

    def _load(self) -> Any:
        recipe = self.recipe
        loaded = load_causal(self.plan.model, trust_remote_code=False)
        model = trainable(loaded, adapter=recipe.lora, seed=recipe.optimisation.seed)
        if "value" in self.plan.objective.needs:
            rewards = [reward for example in self.data.by_split["train"] for reward in example.rewards or ()]
            value_head.attach(model, sum(rewards) / len(rewards))
        return model

    def _save(self, trainer: StepTrainer) -> None:
        recipe, model = self.recipe, self.plan.model
        shutil.rmtree(self.work / MODEL, ignore_errors=True)
        save_policy(
            trainer.accelerator.unwrap_model(trainer.model),
            load_tokenizer(model.location, model.revision),
            self.work / MODEL,
            dtype=getattr(torch, recipe.memory.dtype),
            merge=recipe.lora is None or recipe.lora.merge,
        )

    def _record(self, trainer: StepTrainer, layout: str) -> TrainingRecord:
        lines = [json.loads(line) for line in (self.work / METRICS).read_text(encoding="utf-8").splitlines()]
        steps = [line for line in lines if "loss" in line]
        measured = [line for line in lines if "eval_loss" in line] or steps
        train, last = self.data.by_split["train"], steps[-1]
        objective = self.plan.objective
        return TrainingRecord(
            name=self.recipe.name,
            fingerprint=self.plan.fingerprint,
            config=self.recipe.model_dump(mode="json"),
            objective={"name": objective.objective.name, **objective.settings.model_dump()},
            data=DataRecord(
                path=self.recipe.dataset.path,
                revision=self.plan.run.revision,
                version=self.plan.run.manifest.version,
                kept=self.recipe.dataset.kept,
                examples=len(train),
                responses=sum(len(example.responses) for example in train),
                kept_tokens=sum(example.kept_tokens for example in train),
                cut_by_context=self.data.cut_by_context,
                test_examples=len(self.data.by_split.get("test", [])),
                sha256=examples_sha256(train),
            ),
            model=model_record(self.plan.model.identity),
            trained=StepsRecord(
                steps=last["step"],
                examples=last["examples"],
                kept_tokens=last["kept_tokens"],
                read_tokens=last["read_tokens"],
                layout=layout,
            ),
            before=measured[0],
            after=measured[-1],
            rewards=self.data.rewards,
            reference=self.spend,
            packages=package_versions(),
            git_commit=git_commit(),
            device=_device(trainer.args.device),
            seconds={stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


class _Advance:
    """Moves a progress bar by what a step's line adds to the one before."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._examples = self._tokens = 0

    def __call__(self, line: Mapping[str, Any]) -> None:
        if "examples" in line:
            self._advance(line["examples"] - self._examples, tokens=line["read_tokens"] - self._tokens)
            self._examples, self._tokens = line["examples"], line["read_tokens"]


def _measured(log: Path, step: int) -> bool:
    last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    return "eval_loss" in last and last["step"] == step


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
