"""A policy that is trained on completions alone: supervised fine-tuning."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.train.plan import TrainingPlan
from flows.train.policy import load_policy, save_trained_policy, trained_tokenizer
from trainers.batches.layouts import Choice, choose_layout
from trainers.batches.tensors import Layout
from trainers.policies.completions import Completions, completions_identity
from trainers.reading.examples import Example, read_examples
from trainers.reading.references import References
from trainers.steps.task import Task


class CompletionLearner:
    """A `flows.train.learner.Learner`.

    Args:
        plan: the recipe with everything found.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self._plan = plan

    @property
    def objective(self) -> dict[str, Any]:
        """Its name; there is nothing to set."""
        return {"name": "sft"}

    @property
    def figures(self) -> Mapping[str, str]:
        """The loss alone: there is no order that it could get right."""
        return {"loss": "loss"}

    @property
    def chosen_alone(self) -> bool:
        """Of pairs it reads the chosen side, each prompt's chosen response once."""
        return True

    def examples(self, table: pa.Table, *, where: str) -> list[Example]:
        """The chosen side of each pair."""
        pairs = read_examples(table, where=where)
        return [Example(pair.name, pair.prompt, pair.responses[:1]) for pair in pairs]

    def check(self, examples: Sequence[Example], *, where: str) -> None:
        """Nothing: any completion can be learned."""

    def orders(self, examples: Sequence[Example]) -> bool:
        """No: a completion is better than no other."""
        return False

    def identity(self, examples: Sequence[Example]) -> dict[str, Any]:
        """The objective's name and the data's hash."""
        return completions_identity(examples)

    def load(self, examples: Sequence[Example]) -> Any:
        """The model, with LoRA where asked for."""
        return load_policy(self._plan)

    def layout(self, model: Any, examples: Sequence[Example]) -> Choice:
        """Packed where the model can read it."""
        return choose_layout(model, examples)

    def task(self, examples: Sequence[Example], *, layout: Layout, references: References | None) -> Task:
        """Completions; there is no reference."""
        return Completions(examples, layout=layout, batch_tokens=self._plan.recipe.memory.batch_tokens)

    def save(self, model: Any, folder: Path, *, examples: Sequence[Example]) -> None:
        """As AutoModelForCausalLM and vLLM load it."""
        save_trained_policy(self._plan, model, folder)

    def complete(self, folder: Path) -> None:
        """The tokenizer."""
        trained_tokenizer(self._plan).save_pretrained(folder)
