"""Learning from preferences: what a policy and its frozen reference say of responses, by one objective."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import torch

from trainers.batches.logprobs import LogProbs, log_probs
from trainers.batches.tensors import Batch, Layout
from trainers.objectives import BoundObjective, Responses
from trainers.policies.sides import all_responses, extremes, pair_sides, rewards_of
from trainers.reading.examples import Example, examples_sha256
from trainers.reading.references import References
from trainers.steps.order import cut_by_length
from trainers.steps.task import Call, Read
from trainers.steps.value_head import NAME as VALUE_HEAD
from transforms.errors import ConfigError

# A token's and a response's log-probs, their margin, and the objective's own rewards (AlphaPO, figures 2, 7 and 13-16).
SPREAD: Final = (
    "logps/chosen", "logps/rejected", "mean_logps/chosen", "mean_logps/rejected", "mean_logps/margins",
    "rewards/chosen", "rewards/rejected", "rewards/margins",
)  # fmt: skip


class Preferences:
    """A `trainers.steps.task.Task`.

    Args:
        examples: pairs, or prompts with any number of responses for an objective of those.
        objective: with its settings.
        layout: of the batches.
        batch_tokens: of one forward pass, padding included.
        references: of `examples`, in their order; needed by objectives that read a reference, and for others what the
            log tells the distance to. Those never see it.

    Raises:
        ConfigError: the objective reads a reference and there is none, or there is one of other examples.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        objective: BoundObjective,
        *,
        layout: Layout,
        batch_tokens: int,
        references: References | None = None,
    ) -> None:
        self.examples = examples
        self.objective = objective
        self._layout, self._batch_tokens = layout, batch_tokens
        self._references = references
        if "reference" in objective.needs or references is not None:
            _check_references(references, examples, objective)

    @property
    def size(self) -> int:
        """How many examples there are."""
        return len(self.examples)

    @property
    def identity(self) -> dict[str, Any]:
        """Objective, settings and the data's hash."""
        return preferences_identity(self.objective, self.examples)

    def cut(self, rows: Sequence[int]) -> list[list[int]]:
        """Micro-batches by length."""
        return cut_by_length(rows, self.examples.__getitem__, self._layout, self._batch_tokens)

    def terms(self, rows: Sequence[int]) -> int:
        """Pairs, responses or prompts, by what the objective's mean is over."""
        if self.objective.objective.over == "responses":
            return sum(len(self.examples[row].responses) for row in rows)
        return len(rows)

    def names(self, rows: Sequence[int]) -> list[str]:
        """Ids of the examples."""
        return [self.examples[row].name for row in rows]

    def read(self, call: Call, rows: Sequence[int], device: torch.device) -> Read:
        """Losses by the objective, and the diagnostics of methods §6."""
        examples = [self.examples[row] for row in rows]
        batch = self._layout.batch(examples).to(device)
        found, values = call(lambda policy: self._forward(policy, batch))
        responses = self._responses(batch, found, values, rows, examples)
        sides = pair_sides(batch, responses) if self.objective.objective.pairwise else None
        losses = self.objective.losses(*(sides or (responses,)))
        names = [example.name for example in examples]
        if self.objective.objective.over == "responses":
            names = [example.name for example in examples for _ in example.responses]
        return Read(
            losses=self.objective.terms(losses, batch.counts),
            names=names,
            figures=self._figures(batch, responses, self._reference(rows, like=found.responses)),
            kept_tokens=batch.kept_tokens,
            read_tokens=batch.read_tokens,
            spread=SPREAD,
        )

    def _forward(self, policy: Any, batch: Batch) -> tuple[LogProbs, torch.Tensor | None]:
        found = log_probs(policy, batch, prompts="prompt_ratio" in self.objective.needs)
        head = getattr(policy, VALUE_HEAD, None)
        return found, None if head is None else head(found.prompt_states)

    def _responses(
        self,
        batch: Batch,
        found: LogProbs,
        values: torch.Tensor | None,
        rows: Sequence[int],
        examples: Sequence[Example],
    ) -> Responses:
        reference = prompts = None
        if "reference" in self.objective.needs:
            reference = self._reference(rows, like=found.responses)
        if self._references is not None and self._references.prompts is not None:
            prompts = found.responses.new_tensor([self._references.prompts[row] for row in rows])
        rewards = rewards_of(examples, found.responses.device)
        return all_responses(
            batch, found, reference=reference, reference_prompts=prompts, rewards=rewards, values=values
        )

    def _reference(self, rows: Sequence[int], *, like: torch.Tensor) -> torch.Tensor | None:
        """ℓ_ref of the examples' responses in a row, (responses,), of the dtype and device of `like`."""
        if self._references is None:
            return None
        return like.new_tensor([value for row in rows for value in self._references.responses[row]])

    def _figures(self, batch: Batch, responses: Responses, reference: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """What is logged, under TRL's names where TRL has one.

        rewards/…: the objective's own implicit reward, a tie one half accurate (all of them are before the first step
        of an objective with a reference). beta_log_ratio/…: βΔ, of objectives with a reference. logps/…: ℓ;
        mean_logps/…: ℓ̄. displacement: Δ̄ of the chosen responses, how far they rose or fell a token since the policy
        was the reference. kl: −Δ̄ over all responses, an estimate of KL(π_ref ‖ π) a token as far as the reference
        would have given these responses.
        """
        with torch.no_grad():
            known = replace(responses, reference=reference)
            split = pair_sides if self.objective.objective.pairwise else extremes
            chosen, rejected = sides = split(batch, known)
            rewards = [self.objective.implicit_reward(side) for side in sides]
            margins = rewards[0] - rewards[1]
            figures = {
                "rewards/chosen": rewards[0],
                "rewards/rejected": rewards[1],
                "rewards/margins": margins,
                "rewards/accuracies": (margins.sign() + 1) / 2,
                "logps/chosen": chosen.log_prob,
                "logps/rejected": rejected.log_prob,
                "mean_logps/chosen": chosen.mean,
                "mean_logps/rejected": rejected.mean,
                "mean_logps/margins": chosen.mean - rejected.mean,
            }
            if reference is not None:
                figures |= {"displacement": chosen.mean_delta, "kl": -known.mean_delta}
            if "reference" in self.objective.needs:
                ratios = [self.objective.beta_log_ratio(side) for side in sides]
                figures |= {"beta_log_ratio/chosen": ratios[0], "beta_log_ratio/rejected": ratios[1]}
        return figures


def preferences_identity(objective: BoundObjective, examples: Sequence[Example]) -> dict[str, Any]:
    """What decides the losses of `examples` by `objective`, as plain JSON."""
    return {
        "objective": {"name": objective.objective.name, "settings": objective.settings.model_dump()},
        "data": {"examples": len(examples), "sha256": examples_sha256(examples)},
    }


def _check_references(references: References | None, examples: Sequence[Example], objective: BoundObjective) -> None:
    name = objective.objective.name
    if references is None:
        message = f"objective {name} reads a reference's log-probs, but there are none"
        raise ConfigError(message)
    shape = [len(found) for found in references.responses]
    if shape != [len(example.responses) for example in examples]:
        message = f"the reference's log-probs are of {len(shape)} other examples than the {len(examples)} to train on"
        raise ConfigError(message)
    if "prompt_ratio" in objective.needs and references.prompts is None:
        message = f"objective {name} reads log π_ref of the prompts, but there are none"
        raise ConfigError(message)
