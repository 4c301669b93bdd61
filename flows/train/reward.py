"""A reward model that is trained on comparisons: all weights, or an adapter, and its head."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import torch

from flows.train.plan import TrainingPlan
from flows.train.policy import REWARDS
from trainers.batches.layouts import Choice
from trainers.batches.tensors import Layout
from trainers.reading.examples import Example, read_examples
from trainers.reading.references import References
from trainers.rewards.checkpoint import new_head, open_policy, save_trained
from trainers.rewards.comparisons import Comparisons, comparisons_identity, reward_layout
from trainers.steps.settings import BradleyTerry
from trainers.steps.task import Task
from trainers.steps.trained_model import trainable

SCORES: Final = ("chosen_score", "rejected_score")


class RewardLearner:
    """A `flows.train.learner.Learner`.

    Args:
        plan: the recipe with everything found.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self._plan = plan
        self._terms = plan.recipe.reward or BradleyTerry()

    @property
    def objective(self) -> dict[str, Any]:
        """Name and all settings."""
        return {"name": "bradley_terry", **self._terms.settings()}

    @property
    def figures(self) -> Mapping[str, str]:
        """By its rewards."""
        return {"loss": "loss", "accuracy": "accuracy", "margin": "margin"}

    @property
    def chosen_alone(self) -> bool:
        """It reads both sides."""
        return False

    def examples(self, table: pa.Table, *, where: str) -> list[Example]:
        """Pairs, with the rewards or scores that the margin is made of."""
        columns = {"reward": REWARDS, "score": SCORES}
        return read_examples(table, where=where, rewards=columns.get(str(self._terms.margin)))

    def check(self, examples: Sequence[Example], *, where: str) -> None:
        """Nothing: any two responses can be compared."""

    def orders(self, examples: Sequence[Example]) -> bool:
        """All of them are pairs."""
        return True

    def identity(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Margin, centring and the data's hash."""
        return comparisons_identity(self._terms, examples)

    def load(self, examples: Sequence[Example]) -> Any:
        """The model with a new head, and LoRA where asked for."""
        start, recipe = self._plan.model, self._plan.recipe
        dtype = getattr(torch, start.identity.dtype)
        opened = open_policy(
            start.location,
            start.revision,
            dtype=dtype,
            device=torch.device("cpu"),
            template=self._plan.template,
        )
        seed = recipe.stepwise.seed
        new_head(opened.model, seed=seed)
        return trainable(opened.model, adapter=recipe.lora, seed=seed, task="SEQ_CLS")

    def layout(self, model: Any, examples: Sequence[Example]) -> Choice:
        """Packed where that pays and the model can read it."""
        return reward_layout(model, examples)

    def task(self, examples: Sequence[Example], *, layout: Layout, references: References | None) -> Task:
        """Comparisons; there is no reference."""
        return Comparisons(examples, self._terms, layout=layout, batch_tokens=self._plan.recipe.memory.batch_tokens)

    def save(self, model: Any, folder: Path, *, examples: Sequence[Example]) -> None:
        """As AutoModelForSequenceClassification and vLLM load it."""
        start = self._plan.model
        save_trained(
            model,
            start.location,
            start.revision,
            dtype=self._plan.recipe.memory.dtype,
            last_ids={int(ids[-1]) for example in examples for ids in example.responses},
            record={"policy": asdict(start.identity), **self.identity(examples)},
            out=folder,
            template=self._plan.template,
        )

    def complete(self, folder: Path) -> None:
        """Nothing: tokenizer and padding token belong to the model that is saved, and are read from there."""
