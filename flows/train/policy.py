"""A policy that is trained on preferences."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch

from flows.train.plan import TrainingPlan
from trainers.batches.layouts import Choice, choose_layout
from trainers.batches.tensors import Layout
from trainers.objectives import BoundObjective
from trainers.objectives.by_response import pushed_down
from trainers.policies.preferences import Preferences, preferences_identity
from trainers.reading.examples import Example, check_first_token, group_by_prompt, read_examples
from trainers.reading.references import References
from trainers.steps import value_head
from trainers.steps.task import Task
from trainers.steps.trained_model import save_policy, trainable
from transforms.engines.causal_model import load_causal
from transforms.engines.tokenizer import load_tokenizer

REWARDS: Final = ("reward_chosen", "reward_rejected")
logger = logging.getLogger(__name__)


class PolicyLearner:
    """A `flows.train.learner.Learner`, by one of the objectives.

    Args:
        plan: the recipe with everything found.
        objective: with its settings.
    """

    def __init__(self, plan: TrainingPlan, objective: BoundObjective) -> None:
        self._plan, self._objective = plan, objective

    @property
    def objective(self) -> dict[str, Any]:
        """Name and all settings."""
        return {"name": self._objective.objective.name, **self._objective.settings.model_dump()}

    @property
    def figures(self) -> Mapping[str, str]:
        """By the objective's own implicit reward; log-probs are of a token."""
        return {
            "loss": "loss",
            "accuracy": "rewards/accuracies",
            "margin": "rewards/margins",
            "log_prob_chosen": "mean_logps/chosen",
        }

    @property
    def chosen_alone(self) -> bool:
        """It reads both sides."""
        return False

    def examples(self, table: pa.Table, *, where: str) -> list[Example]:
        """Pairs, or prompts with all their responses for objectives of those."""
        found = read_examples(table, where=where, rewards=REWARDS if "reward" in self._objective.needs else None)
        return found if self._objective.objective.pairwise else group_by_prompt(found)

    def check(self, examples: Sequence[Example], *, where: str) -> None:
        """Where log Z_0 belongs to the first token, all prompts must begin with it."""
        if "prompt_ratio" in self._objective.needs:
            check_first_token(examples, where=where)
        if self._objective.objective.name == "rao":
            self._say_what_falls([one.rewards for one in examples if one.rewards])

    def _say_what_falls(self, rewards: Sequence[Sequence[float]]) -> None:
        """Warn where log Z_0 is too high for the rewards: likelihoods fall then, which RAO promises they do not."""
        settings = self._objective.settings.model_dump()
        low = pushed_down(rewards, **settings)
        if 2 * low > len(rewards):
            best = float(np.median([max(found) for found in rewards]))
            logger.warning(
                "rao: β log Z₀ is %.3g, above the best reward of %d of %d prompts (median %.3g): from the first step "
                "on even their best responses become less likely. With log_z0 below %.3g those of half of them rise",
                settings["beta"] * settings["log_z0"],
                low,
                len(rewards),
                best,
                best / settings["beta"],
            )

    def orders(self, examples: Sequence[Example]) -> bool:
        """By rewards, where responses are no pairs."""
        return self._objective.objective.pairwise or any(len(set(one.rewards or ())) > 1 for one in examples)

    def identity(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Objective, settings and the data's hash."""
        return preferences_identity(self._objective, examples)

    def load(self, examples: Sequence[Example]) -> Any:
        """The model, with LoRA and a value head where asked for."""
        model = load_policy(self._plan)
        if "value" in self._objective.needs:
            rewards = [reward for example in examples for reward in example.rewards or ()]
            value_head.attach(model, sum(rewards) / len(rewards))
        return model

    def layout(self, model: Any, examples: Sequence[Example]) -> Choice:
        """Packed where the model can read it."""
        return choose_layout(model, examples)

    def task(self, examples: Sequence[Example], *, layout: Layout, references: References | None) -> Task:
        """Preferences by the objective."""
        batch_tokens = self._plan.recipe.memory.batch_tokens
        return Preferences(examples, self._objective, layout=layout, batch_tokens=batch_tokens, references=references)

    def save(self, model: Any, folder: Path, *, examples: Sequence[Example]) -> None:
        """As AutoModelForCausalLM and vLLM load it."""
        save_trained_policy(self._plan, model, folder)

    def complete(self, folder: Path) -> None:
        """The tokenizer."""
        trained_tokenizer(self._plan).save_pretrained(folder)


def load_policy(plan: TrainingPlan) -> Any:
    """The model that training starts from, with LoRA where asked for."""
    recipe = plan.recipe
    loaded = load_causal(plan.model, trust_remote_code=False)
    return trainable(loaded, adapter=recipe.lora, seed=recipe.stepwise.seed)


def save_trained_policy(plan: TrainingPlan, model: Any, folder: Path) -> None:
    """Write the trained model, its tokenizer and the chat template that made the ids, as transformers and vLLM load it.

    Args:
        plan: of the training.
        model: as `load_policy` made it.
        folder: made here.
    """
    recipe = plan.recipe
    save_policy(
        model,
        trained_tokenizer(plan),
        folder,
        dtype=getattr(torch, recipe.memory.dtype),
        merge=recipe.lora is None or recipe.lora.merge,
    )


def trained_tokenizer(plan: TrainingPlan) -> Any:
    """That of the model that training starts from, with the template that made the ids."""
    start, template = plan.model, plan.template
    tokenizer = load_tokenizer(start.location, start.revision, needs_template=template is None)
    if template is not None:
        tokenizer.chat_template = template
    return tokenizer
