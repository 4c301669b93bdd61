"""Learning to score: a reward model from pairs, by Bradley and Terry's method of paired comparisons (methods §5)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from trainers.batches.layouts import Choice, choose_layout
from trainers.batches.logprobs import causal_parts, read_states
from trainers.batches.packing import STATES
from trainers.batches.tensors import Batch, Layout
from trainers.objectives.bradley_terry import bradley_terry, temporal_incoherence
from trainers.reading.examples import Example, examples_sha256
from trainers.reading.pair_tokens import some
from trainers.steps.order import cut_by_length
from trainers.steps.settings import BradleyTerry
from trainers.steps.task import Call, Read
from transforms.errors import SchemaError


class Comparisons:
    """A `trainers.steps.task.Task`.

    Args:
        pairs: of two responses each, the chosen one first; with rewards where the margin is made of them.
        objective: margin and centring.
        layout: of the batches.
        batch_tokens: of one forward pass, padding included.

    Raises:
        SchemaError: an example has not exactly two responses, or no rewards to make a margin of; names some.
    """

    def __init__(self, pairs: Sequence[Example], objective: BradleyTerry, *, layout: Layout, batch_tokens: int) -> None:
        self._margins = margins_of(pairs, objective)
        self._pairs, self._objective = pairs, objective
        self._layout, self._batch_tokens = layout, batch_tokens

    @property
    def size(self) -> int:
        """How many pairs there are."""
        return len(self._pairs)

    @property
    def identity(self) -> dict[str, Any]:
        """Objective, settings and the data's hash."""
        return comparisons_identity(self._objective, self._pairs)

    def cut(self, rows: Sequence[int]) -> list[list[int]]:
        """Micro-batches by length."""
        return cut_by_length(rows, lambda row: read_to_the_end(self._pairs[row]), self._layout, self._batch_tokens)

    def terms(self, rows: Sequence[int]) -> int:
        """A pair is a term."""
        return len(rows)

    def names(self, rows: Sequence[int]) -> list[str]:
        """Ids of the pairs."""
        return [self._pairs[row].name for row in rows]

    def read(self, call: Call, rows: Sequence[int], device: torch.device) -> Read:
        """Losses, and the figures that TRL's RewardTrainer logs.

        accuracy: share of pairs in the right order, a tie one half; margin: r_w − r_l; mean_reward: of both. Its
        min_reward and max_reward are of a batch and change with how a step is cut, so they are left out.
        """
        pairs = [self._pairs[row] for row in rows]
        batch = self._layout.batch([read_to_the_end(pair) for pair in pairs]).to(device)
        coherent = self._objective.regularizer is not None
        read = call(lambda model: values(model, batch) if coherent else rewards(model, batch))
        found = read[last_places(batch)] if coherent else read
        chosen, rejected = found[::2], found[1::2]
        margins = None if self._margins is None else found.new_tensor([self._margins[row] for row in rows])
        difference = (chosen - rejected).detach()
        losses = bradley_terry(chosen, rejected, margins, self._objective.centring)
        figures = {
            "accuracy": (difference.sign() + 1) / 2,
            "margin": difference,
            "mean_reward": found.detach(),
        }
        if coherent:
            ahead, steps = temporal_incoherence(read, batch.lengths)
            penalty = self._objective.lookahead * ahead + self._objective.smoothness * steps
            losses = losses + (penalty[::2] + penalty[1::2]) / 2
            figures |= {"lookahead": ahead.detach(), "smoothness": steps.detach()}
        return Read(
            losses=losses,
            names=[pair.name for pair in pairs],
            figures=figures,
            kept_tokens=sum(pair.kept_tokens for pair in pairs),
            read_tokens=batch.read_tokens,
            spread=("margin",),
        )


def rewards(model: Any, batch: Batch) -> torch.Tensor:
    """Rewards of the responses of `batch`, (responses,), fp32 or wider: the head's reading of each last token's state.

    Args:
        model: a transformers sequence classifier with a linear `score`, or a peft model of one.
        batch: of examples as `read_to_the_end` gives them, on the model's device.
    """
    parts = causal_parts(model)
    return _read(parts, read_states(parts, batch).states[batch.places[last_places(batch)]])


def values(model: Any, batch: Batch) -> torch.Tensor:
    """The head's reading after the prompt and after each token of the responses of `batch`, (places,).

    Those of one response follow one another: prompt alone, one token, …, all of them, which is the reward.
    """
    parts = causal_parts(model)
    return _read(parts, read_states(parts, batch).states[batch.places])


def last_places(batch: Batch) -> torch.Tensor:
    """Where in `batch.places` each response ends, (responses,)."""
    return torch.tensor(batch.lengths, device=batch.places.device).cumsum(0) - 1


def _read(parts: Any, states: torch.Tensor) -> torch.Tensor:
    # In bf16 a reward of 20 is known to 0.06 only, which margins of trained models do not stand.
    with torch.autocast(states.device.type, enabled=False):
        found: torch.Tensor = parts.model.score(states.to(torch.promote_types(states.dtype, torch.float32)))
    return found.squeeze(-1)


def read_to_the_end(pair: Example) -> Example:
    """`pair` for a batch in which the last kept token of each response is read.

    A batch reads a response up to the token before its last, which a policy only predicts. So each response goes in
    with one id more; that one is never read, and the state that would decide it is the last kept token's.
    """
    return replace(pair, responses=tuple(np.append(ids, ids[-1]) for ids in pair.responses))


def reward_layout(model: Any, pairs: Sequence[Example]) -> Choice:
    """The layout that a reward model reads `pairs` in."""
    return choose_layout(model, [read_to_the_end(pair) for pair in pairs], probe=STATES)


def margins_of(pairs: Sequence[Example], objective: BradleyTerry) -> list[float] | None:
    """By how much each chosen response should win, None where the objective has no margin.

    Raises:
        SchemaError: an example has not exactly two responses, or no rewards to make a margin of; names some.
    """
    bad = [pair.name for pair in pairs if len(pair.responses) != 2]
    if bad:
        message = f"a reward model learns from pairs, but {len(bad)} examples have not two responses: {some(bad)}"
        raise SchemaError(message)
    if objective.margin is None or isinstance(objective.margin, float):
        return None if objective.margin is None else [objective.margin] * len(pairs)
    found = [pair.rewards for pair in pairs if pair.rewards is not None]
    if len(found) != len(pairs):
        bad = [pair.name for pair in pairs if pair.rewards is None]
        message = f"margin {objective.margin} is a difference of rewards, and {len(bad)} pairs have none: {some(bad)}"
        raise SchemaError(message)
    return [better - worse for better, worse in found]


def comparisons_identity(objective: BradleyTerry, pairs: Sequence[Example]) -> dict[str, Any]:
    """What decides the losses of `pairs`, as plain JSON."""
    return {
        "objective": {"name": "bradley_terry", "settings": objective.settings()},
        "data": {"examples": len(pairs), "sha256": examples_sha256(pairs)},
    }
