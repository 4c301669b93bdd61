"""From token ids to losses: both layouts, every objective."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from objectives_support import PAIRWISE, POINTWISE
from transformers import LlamaConfig, LlamaForCausalLM

from trainers.batches.logprobs import LogProbs, log_probs
from trainers.batches.tensors import Batch, packed, padded
from trainers.objectives import objective
from trainers.policies.sides import all_responses, extremes, pair_sides, rewards_of
from trainers.reading.examples import Example
from transforms.errors import SchemaError

VOCAB = 61


def example(prompt: int, *responses: int, seed: int = 0) -> Example:
    draw = np.random.default_rng(seed)
    ids, *rest = (draw.integers(VOCAB, size=n, dtype=np.int32) for n in (prompt, *responses))
    return Example(str(seed), ids, tuple(rest), tuple(draw.normal(size=len(rest)).tolist()))


PAIRS = [example(5, 4, 7, seed=1), example(2, 1, 3, seed=2), example(9, 6, 6, seed=3)]
# β that keep all terms of like size.
SETTINGS = {"cal_dpo": {"beta": 0.1}, "sppo": {"beta": 0.1}, "sppo_soft": {"beta": 0.1}}


@pytest.fixture(scope="module")
def models() -> list[Any]:
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [LlamaForCausalLM(config).eval() for _ in range(2)]


def mean_loss(name: str, models: list[Any], layout: Callable[..., Batch]) -> torch.Tensor:
    policy, reference = models
    batch = layout(PAIRS)
    with torch.no_grad():
        frozen = log_probs(reference, batch, prompts=True)
    found = log_probs(policy, batch, prompts=True)
    responses = all_responses(
        batch,
        found,
        reference=frozen.responses,
        reference_prompts=frozen.prompts,
        rewards=rewards_of(PAIRS, torch.device("cpu")),
        values=found.prompt_states.mean(-1),
    )
    sides = pair_sides(batch, responses) if name in PAIRWISE else (responses,)
    bound = objective(name, **SETTINGS.get(name, {}))
    return bound.terms(bound.losses(*sides), batch.counts).mean()


@pytest.mark.parametrize("name", PAIRWISE + POINTWISE)
def test_packed_and_padded_batches_give_the_same_loss_and_gradients(name: str, models: list[Any]) -> None:
    found = []
    for layout in (packed, padded):
        models[0].zero_grad()
        loss = mean_loss(name, models, layout)
        loss.backward()
        found.append((loss.item(), {key: p.grad.clone() for key, p in models[0].named_parameters()}))
    (one, gradients), (other, expected) = found
    assert one == pytest.approx(other, rel=1e-5, abs=1e-5)
    for key, gradient in gradients.items():
        scale = expected[key].abs().max().item()
        torch.testing.assert_close(gradient, expected[key], atol=2e-5 * scale, rtol=0, msg=key)
    assert max(gradient.abs().max().item() for gradient in gradients.values()) > 0


def test_chosen_responses_come_first_and_each_keeps_its_own_numbers() -> None:
    batch = packed(PAIRS)
    policy = LogProbs(torch.zeros(0), torch.arange(6.0), torch.tensor([1.0, 2.0, 3.0]), torch.zeros(0))
    both = all_responses(
        batch,
        policy,
        reference=torch.arange(6.0) * 10,
        reference_prompts=torch.tensor([0.5, 0.5, 0.5]),
        rewards=rewards_of(PAIRS, torch.device("cpu")),
        values=torch.tensor([7.0, 8.0, 9.0]),
    )
    chosen, rejected = pair_sides(batch, both)
    assert chosen.log_prob.tolist() == [0, 2, 4]
    assert rejected.log_prob.tolist() == [1, 3, 5]
    assert (chosen.tokens.tolist(), rejected.tokens.tolist()) == ([4, 1, 6], [7, 3, 6])
    assert rejected.reference.tolist() == [10, 30, 50]
    assert chosen.reward.tolist() == pytest.approx([one.rewards[0] for one in PAIRS])
    assert rejected.value.tolist() == [7, 8, 9]
    assert both.prompt_ratio.tolist() == [0.5, 0.5, 1.5, 1.5, 2.5, 2.5]


def test_what_was_not_given_stays_none() -> None:
    batch = packed(PAIRS)
    policy = LogProbs(torch.zeros(0), torch.arange(6.0), None, torch.zeros(0))
    chosen, _ = pair_sides(batch, all_responses(batch, policy))
    assert (chosen.reference, chosen.reward, chosen.value, chosen.prompt_ratio) == (None, None, None, None)
    assert rewards_of([Example("a", PAIRS[0].prompt, PAIRS[0].responses)], torch.device("cpu")) is None


def test_three_responses_are_no_pair() -> None:
    batch = packed([example(3, 2, 2, 2), *PAIRS])
    policy = LogProbs(torch.zeros(0), torch.arange(9.0), None, torch.zeros(0))
    with pytest.raises(SchemaError, match=r"got prompts with \[2, 3\] responses, expected 2 each"):
        pair_sides(batch, all_responses(batch, policy))


def test_extremes_are_the_best_and_the_worst_of_each_prompt_that_has_both() -> None:
    examples = [example(2, 1, 1, 1), example(2, 1), example(2, 1, 1), example(2, 1, 1)]
    rewards = [0.5, 2.0, -1.0, 9.0, 3.0, 3.0, 0.0, 1.0]
    batch = padded(examples)
    numbers = torch.arange(8.0)
    found = LogProbs(torch.zeros(8), numbers, None, torch.zeros(4, 1))
    responses = all_responses(batch, found, rewards=torch.tensor(rewards))
    best, worst = extremes(batch, responses)
    assert best.log_prob.tolist() == [1, 7]
    assert worst.log_prob.tolist() == [2, 6]
    without = extremes(batch, all_responses(batch, found))
    assert [len(side.log_prob) for side in without] == [0, 0]
