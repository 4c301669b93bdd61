"""What policy and reference say token by token, against the plainest computation there is."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

import trainers.policies.token_readings as module
from trainers.batches.logprobs import log_probs
from trainers.batches.tensors import PADDED
from trainers.policies.token_readings import FrozenModel, compare_tokens
from trainers.reading.examples import Example
from transforms.errors import ModelError
from transforms.evaluation.implicit_rewards import ImplicitRewards, PairLogProbs

SMALL = {
    "vocab_size": 37,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "initializer_range": 0.5,
}


def llama(seed: int, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**SMALL | options)).eval()


def pairs(count: int = 5) -> list[Example]:
    draw = np.random.default_rng(1)

    def ids(least: int) -> Any:
        return draw.integers(37, size=least + int(draw.integers(6)), dtype=np.int32)

    return [Example(str(i), ids(2), (ids(1), ids(1))) for i in range(count)]


def ignore(_examples: int, _tokens: int) -> None:
    pass


def no_progress(_tokens: int) -> None:
    pass


def naive(model: Any, prompt: Any, response: Any) -> torch.Tensor:
    """log π(· | x, y_<t) of every position of the response, (tokens, vocabulary), from the whole logits."""
    ids = torch.from_numpy(np.concatenate([prompt, response]).astype(np.int64))
    with torch.no_grad():
        logits = model(input_ids=ids[None]).logits[0].double()
    return logits.log_softmax(-1)[len(prompt) - 1 : -1]


def test_log_probs_of_kept_prefixes_are_cumulative_sums_of_the_whole_reading() -> None:
    policy, examples = llama(0), pairs()
    whole = FrozenModel(policy, batch_tokens=40).token_log_probs(examples, no_progress)
    for keep in range(1, 7):
        cut = [Example(e.name, e.prompt, tuple(r[:keep] for r in e.responses)) for e in examples]
        with torch.no_grad():
            direct = log_probs(policy, PADDED.batch(cut)).responses.numpy()
        summed = [tokens[:keep].sum() for example in whole for tokens in example]
        np.testing.assert_allclose(summed, direct, rtol=2e-5)


def test_implicit_margins_at_every_keep_are_those_of_the_cut_responses_read_anew() -> None:
    policy, reference, examples = llama(0), llama(1), pairs()

    def read(model: Any, some: list[Example]) -> PairLogProbs:
        found = FrozenModel(model).token_log_probs(some, no_progress)
        return PairLogProbs([chosen for chosen, _ in found], [rejected for _, rejected in found])

    rewards = ImplicitRewards(read(policy, examples), read(reference, examples), measure="log_ratio", beta=0.3)
    for keep in range(1, 7):
        kept = [[min(keep, len(r)) for r in e.responses] for e in examples]
        cut = [
            Example(e.name, e.prompt, tuple(r[:k] for r, k in zip(e.responses, ks, strict=True)))
            for e, ks in zip(examples, kept, strict=True)
        ]
        with torch.no_grad():
            ours, theirs = (log_probs(model, PADDED.batch(cut)).responses.numpy() for model in (policy, reference))
        delta = 0.3 * (ours - theirs).reshape(-1, 2)
        chosen, rejected = np.array(kept).T
        found = rewards.margins({"chosen": chosen, "rejected": rejected})
        np.testing.assert_allclose(found, delta[:, 0] - delta[:, 1], atol=2e-5)


@pytest.mark.parametrize("chunk", [5 * 37, 1 << 20])
def test_kl_and_entropies_are_exact_over_the_vocabulary(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(module, "LOGITS_PER_CHUNK", chunk)
    policy, reference, examples = llama(0), llama(1), pairs()
    found = compare_tokens(policy, reference, examples, batch_tokens=30, advance=ignore)
    for example, both in zip(examples, found, strict=True):
        for response, one in zip(example.responses, both, strict=True):
            log_p, log_q = (naive(model, example.prompt, response) for model in (policy, reference))
            p = log_p.exp()
            at = torch.arange(len(response)), torch.from_numpy(response.astype(np.int64))
            expected = [
                log_p[at],
                -(p * log_p).sum(-1),
                log_q[at],
                -(log_q.exp() * log_q).sum(-1),
                (p * (log_p - log_q)).sum(-1),
            ]
            for measure, numbers in zip(one, expected, strict=True):
                np.testing.assert_allclose(measure, numbers.numpy(), rtol=1e-4, atol=1e-5)


def test_a_policy_is_at_no_distance_from_itself() -> None:
    policy, examples = llama(0), pairs(2)
    found = compare_tokens(policy, policy, examples, batch_tokens=100, advance=ignore)
    assert all((one.kl == 0).all() and (one.log_prob == one.reference_log_prob).all() for e in found for one in e)


def test_a_head_that_caps_its_logits_is_asked_and_not_copied() -> None:
    capped = Gemma2ForCausalLM(
        Gemma2Config(**SMALL, head_dim=8, query_pre_attn_scalar=8, final_logit_softcapping=2.0)
    ).eval()
    [example] = pairs(1)
    [[one, _]] = compare_tokens(capped, llama(1), [example], batch_tokens=100, advance=ignore)
    log_p = naive(capped, example.prompt, example.responses[0])
    np.testing.assert_allclose(one.entropy, -(log_p.exp() * log_p).sum(-1).numpy(), rtol=1e-4)


def test_the_order_is_that_of_the_examples_and_progress_counts_them_all() -> None:
    seen: list[int] = []
    examples = pairs(7)
    found = FrozenModel(llama(0), batch_tokens=20).token_log_probs(examples, seen.append)
    assert [[len(tokens) for tokens in one] for one in found] == [[len(r) for r in e.responses] for e in examples]
    assert len(seen) > 1
    assert sum(seen) == sum(e.kept_tokens for e in examples)
    compared: list[tuple[int, int]] = []
    compare_tokens(llama(0), llama(1), examples, batch_tokens=20, advance=lambda *counts: compared.append(counts))
    assert tuple(map(sum, zip(*compared, strict=True))) == (7, sum(e.kept_tokens for e in examples))


def test_two_vocabularies_have_no_kl() -> None:
    with pytest.raises(ModelError, match="a vocabulary of 37 and its reference one of 41"):
        compare_tokens(llama(0), llama(0, vocab_size=41), pairs(1), batch_tokens=100, advance=ignore)


def test_a_reference_that_casts_as_a_trainer_does_says_what_the_untrained_policy_says() -> None:
    model, [pair] = llama(0), pairs(1)
    [found] = FrozenModel(model, cast_to=torch.bfloat16).token_log_probs([pair], no_progress)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        policy = log_probs(model, PADDED.batch([pair])).tokens
    assert np.concatenate(found).tolist() == policy.tolist()
    [rounded] = FrozenModel(llama(0).bfloat16()).token_log_probs([pair], no_progress)
    assert np.concatenate(rounded).tolist() != policy.tolist()
