"""From a batch and what models say of it to what an objective reads."""

from collections.abc import Sequence
from dataclasses import fields

import torch

from trainers.batches.logprobs import LogProbs
from trainers.batches.tensors import Batch
from trainers.objectives import Responses
from trainers.reading.examples import Example
from transforms.errors import SchemaError


def all_responses(
    batch: Batch,
    policy: LogProbs,
    *,
    reference: torch.Tensor | None = None,
    reference_prompts: torch.Tensor | None = None,
    rewards: torch.Tensor | None = None,
    values: torch.Tensor | None = None,
) -> Responses:
    """The responses of `batch` in a row; what belongs to a prompt is repeated for each of its responses.

    Args:
        batch: what was read.
        policy: its log-probs by the policy, with prompts where `reference_prompts` is given.
        reference: ℓ by the reference, (responses,).
        reference_prompts: log π_ref(x∖t0|t0), (examples,).
        rewards: (responses,).
        values: V(x), (examples,).
    """
    counts = torch.tensor(batch.counts, device=policy.responses.device)
    ratio = None
    if policy.prompts is not None and reference_prompts is not None:
        ratio = (policy.prompts - reference_prompts).repeat_interleave(counts)
    return Responses(
        log_prob=policy.responses,
        tokens=torch.tensor(batch.lengths, device=policy.responses.device),
        reference=reference,
        reward=rewards,
        value=None if values is None else values.repeat_interleave(counts),
        prompt_ratio=ratio,
    )


def pair_sides(batch: Batch, responses: Responses) -> tuple[Responses, Responses]:
    """The chosen and the rejected ones of `responses`, (pairs,) each.

    Raises:
        SchemaError: an example has not exactly two responses.
    """
    if set(batch.counts) != {2}:
        message = f"a pairwise objective got prompts with {sorted(set(batch.counts))} responses, expected 2 each"
        raise SchemaError(message)
    total = sum(batch.counts)
    return _select(responses, range(0, total, 2)), _select(responses, range(1, total, 2))


def extremes(batch: Batch, responses: Responses) -> tuple[Responses, Responses]:
    """The responses of the highest and of the lowest reward of each prompt, (prompts,) each; for diagnostics.

    Only prompts with two rewards or more are among them; without rewards there is no order to speak of.
    """
    rewards = [0.0] * sum(batch.counts) if responses.reward is None else responses.reward.tolist()
    best, worst, start = [], [], 0
    for count in batch.counts:
        ranked = sorted(range(start, start + count), key=rewards.__getitem__)
        if rewards[ranked[0]] < rewards[ranked[-1]]:
            best.append(ranked[-1])
            worst.append(ranked[0])
        start += count
    return _select(responses, best), _select(responses, worst)


def rewards_of(examples: Sequence[Example], device: torch.device) -> torch.Tensor | None:
    """Rewards of the examples' responses in a row, (responses,), fp32; None where the examples have none."""
    found = [reward for example in examples for reward in example.rewards or ()]
    return torch.tensor(found, dtype=torch.float32, device=device) if found else None


def _select(responses: Responses, places: Sequence[int]) -> Responses:
    index = torch.tensor(places, dtype=torch.long, device=responses.log_prob.device)
    values = {field.name: getattr(responses, field.name) for field in fields(responses)}
    return Responses(**{name: None if value is None else value[index] for name, value in values.items()})
