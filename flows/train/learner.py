"""What a training makes of its model: which examples it reads, what it learns from them, and how it is saved."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from flows.train.completions import CompletionLearner
from flows.train.plan import TrainingPlan
from flows.train.policy import PolicyLearner
from flows.train.reward import RewardLearner
from trainers.batches.layouts import Choice
from trainers.batches.tensors import Layout
from trainers.reading.examples import Example
from trainers.reading.references import References
from trainers.steps.task import Task


class Learner(Protocol):
    """A policy, from preferences or from completions, or a reward model."""

    @property
    def objective(self) -> dict[str, Any]:
        """Name and all settings of what it minimises."""
        ...

    @property
    def figures(self) -> Mapping[str, str]:
        """What metrics.jsonl calls the measures that a best one can be chosen by, without `eval_`."""
        ...

    @property
    def chosen_alone(self) -> bool:
        """Whether of pairs it reads the chosen side only."""
        ...

    def examples(self, table: pa.Table, *, where: str) -> list[Example]:
        """Pairs with the keeps that training asks for, as it reads them."""
        ...

    def check(self, examples: Sequence[Example], *, where: str) -> None:
        """Refuse examples of all splits that it cannot learn from."""
        ...

    def orders(self, examples: Sequence[Example]) -> bool:
        """Whether some of them have a response that is better than another, by which more than the loss is measured."""
        ...

    def identity(self, examples: Sequence[Example]) -> dict[str, Any]:
        """What decides the losses, as its task will say."""
        ...

    def load(self, examples: Sequence[Example]) -> Any:
        """The model as it starts, on the CPU."""
        ...

    def layout(self, model: Any, examples: Sequence[Example]) -> Choice:
        """Of its batches."""
        ...

    def task(self, examples: Sequence[Example], *, layout: Layout, references: References | None) -> Task:
        """What it learns from these examples."""
        ...

    def save(self, model: Any, folder: Path, *, examples: Sequence[Example]) -> None:
        """Write the trained model to `folder`, which is made."""
        ...

    def complete(self, folder: Path) -> None:
        """Write beside the weights of a checkpoint that stays what its model is read with."""
        ...


def find_learner(plan: TrainingPlan) -> Learner:
    """The one that the recipe asks for."""
    if plan.recipe.kind == "sft":
        return CompletionLearner(plan)
    return RewardLearner(plan) if plan.objective is None else PolicyLearner(plan, plan.objective)
