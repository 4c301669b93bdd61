"""The cached, batched loop of decoding against whole forward passes of single sequences."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from trainers.batches.logprobs import log_probs
from trainers.batches.tensors import padded
from trainers.policies.decoding import (
    Decoded,
    Decoder,
    Rule,
    Settings,
    divergence,
)
from trainers.reading.examples import Example
from transforms.errors import EngineError, ModelError

VOCAB = 61
SMALL = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
}


def llama(seed: int, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**SMALL | options)).eval()


def mistral(seed: int) -> Any:
    """With a window of attention that is shorter than the sequences."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MistralForCausalLM(MistralConfig(**SMALL, sliding_window=6)).eval()


def gpt2(seed: int) -> Any:
    config = GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.3)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="module")
def policy() -> Any:
    return llama(0)


@pytest.fixture(scope="module")
def reference() -> Any:
    return llama(1)


def ids(count: int) -> Any:
    return np.random.default_rng(count).integers(VOCAB, size=count, dtype=np.int32)


PROMPTS = [ids(7), ids(1), ids(13), ids(4)]
SEEDS = [11, 12, 13, 14]
STOP = tuple(range(6))  # a tenth of the vocabulary, so that responses end at different times


def some(kind: Any = "mix", value: float = 0.5, **options: Any) -> Settings:
    return Settings(**{"rule": Rule(kind, value), "stop": STOP, "max_tokens": 24} | options)


def whole(model: Any, prompt: Any, response: list[int], temperature: float = 1.0) -> torch.Tensor:
    """Log-probs at every response token from one forward pass without a cache, (tokens, vocabulary)."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt.tolist(), *response]]), use_cache=False).logits[0]
    return (logits[len(prompt) - 1 : -1] / temperature).log_softmax(-1)


def check_against_whole_passes(
    found: list[Decoded], policy: Any, reference: Any, settings: Settings, prompts: Any = PROMPTS
) -> None:
    for prompt, one in zip(prompts, found, strict=True):
        of_policy, of_reference = (
            whole(model, prompt, one.token_ids, settings.temperature) for model in (policy, reference)
        )
        drawn = torch.cat(
            [
                settings.rule.log_probs(of_policy[t : t + 1], of_reference[t : t + 1], t)
                for t in range(len(one.token_ids))
            ]
        )
        at = torch.arange(len(one.token_ids)), torch.tensor(one.token_ids)
        assert one.log_ratio == pytest.approx((drawn - of_reference)[at].sum().item(), abs=1e-3)
        np.testing.assert_allclose(one.kl, divergence(drawn, of_reference), atol=1e-4)
        np.testing.assert_allclose(one.policy_kl, divergence(of_policy, of_reference), atol=1e-4)


@pytest.mark.parametrize(("kind", "value"), [("mix", 0.5), ("mix", 1.5), ("length", 3), ("kl", 1.0)])
def test_cached_ragged_batches_have_the_numbers_of_whole_single_passes(
    policy: Any, reference: Any, kind: Any, value: float
) -> None:
    chosen = some(kind, value, temperature=0.8)
    found = Decoder(policy, reference).decode(PROMPTS, chosen, SEEDS)
    assert len({len(one.token_ids) for one in found}) > 1  # some rows left the batch before others
    check_against_whole_passes(found, policy, reference, chosen)


def test_windows_of_attention_are_cached_right() -> None:
    models, chosen = (mistral(0), mistral(1)), some()
    found = Decoder(*models).decode(PROMPTS, chosen, SEEDS)
    assert max(len(one.token_ids) for one in found) > 6
    check_against_whole_passes(found, *models, chosen)


def test_positions_count_from_the_first_real_token() -> None:
    # Learned positions: rotary ones do not change when a whole row is shifted.
    models, chosen = (gpt2(0), gpt2(1)), some()
    found = Decoder(*models).decode(PROMPTS, chosen, SEEDS)
    check_against_whole_passes(found, *models, chosen)


@pytest.mark.parametrize("rule", [("mix", 0.7), ("length", 5), ("kl", 1.0)])
def test_a_batch_decodes_what_each_prompt_alone_does(policy: Any, reference: Any, rule: tuple[Any, float]) -> None:
    decoder, chosen = Decoder(policy, reference), some(*rule)
    together = decoder.decode(PROMPTS, chosen, SEEDS)
    for prompt, seed, one in zip(PROMPTS, SEEDS, together, strict=True):
        [alone] = decoder.decode([prompt], chosen, [seed])
        assert alone.token_ids == one.token_ids
        assert alone.log_ratio == pytest.approx(one.log_ratio, abs=1e-4)


@pytest.mark.parametrize(
    ("rule", "model"),
    [
        (("mix", 0), "reference"),
        (("mix", 1), "policy"),
        (("length", 0), "reference"),
        (("length", math.inf), "policy"),
        (("kl", 0), "policy"),
        (("kl", math.inf), "reference"),
    ],
)
def test_the_ends_of_every_rule_are_the_models_themselves(
    policy: Any, reference: Any, rule: tuple[Any, float], model: str
) -> None:
    found = Decoder(policy, reference).decode(PROMPTS, some(*rule), SEEDS)
    other = {"policy": policy, "reference": reference}[model]
    plain = Decoder(other, other).decode(PROMPTS, some("mix", 0), SEEDS)
    assert [one.token_ids for one in found] == [one.token_ids for one in plain]
    if model == "reference":
        assert all(one.log_ratio == 0 and not one.kl.any() for one in found)
    else:
        for one in found:
            np.testing.assert_array_equal(one.kl, one.policy_kl)


def test_the_sum_of_log_ratios_is_that_of_the_training_log_probs(policy: Any, reference: Any) -> None:
    found = Decoder(policy, reference).decode(PROMPTS, some("mix", 1), SEEDS)
    examples = [
        Example("", prompt, (np.array(one.token_ids, np.int32),)) for prompt, one in zip(PROMPTS, found, strict=True)
    ]
    with torch.no_grad():
        of_policy, of_reference = (log_probs(model, padded(examples)).responses for model in (policy, reference))
    assert [one.log_ratio for one in found] == pytest.approx((of_policy - of_reference).tolist(), abs=1e-3)


def test_the_mean_log_ratio_of_one_token_is_the_exact_divergence(policy: Any, reference: Any) -> None:
    # E log(π/π_ref) under π is the KL: 4,000 first tokens of one prompt.
    decoder, prompt = Decoder(policy, reference), ids(5)
    found = decoder.decode([prompt] * 4000, some("mix", 1, max_tokens=1), range(4000))
    ratios = np.array([one.log_ratio for one in found])
    assert abs(ratios.mean() - found[0].kl[0]) < 4 * ratios.std() / 4000**0.5


def test_equal_seeds_give_equal_responses_and_others_others(policy: Any, reference: Any) -> None:
    decoder = Decoder(policy, reference)
    one, again, other = (
        [found.token_ids for found in decoder.decode(PROMPTS, some(), seeds)] for seeds in (SEEDS, SEEDS, range(4))
    )
    assert one == again
    assert one != other


def test_a_response_ends_at_a_stop_token_or_at_its_last_token(policy: Any, reference: Any) -> None:
    found = Decoder(policy, reference).decode(PROMPTS * 4, some(max_tokens=6), range(16))
    assert {one.finished for one in found} == {True, False}
    for one in found:
        assert len(one.kl) == len(one.policy_kl) == len(one.token_ids) <= 6
        assert not set(one.token_ids[:-1]) & set(STOP)
        assert one.finished == (one.token_ids[-1] in STOP)
        assert one.finished or len(one.token_ids) == 6


def test_a_nucleus_draws_only_its_tokens_and_is_renormalised(policy: Any, reference: Any) -> None:
    chosen = some("mix", 1, top_p=0.3, stop=(), max_tokens=8)
    [one] = Decoder(policy, reference).decode([ids(5)], chosen, [0])
    of_policy, of_reference = (whole(model, ids(5), one.token_ids).exp() for model in (policy, reference))
    ratio = 0.0
    for t, token in enumerate(one.token_ids):
        order = of_policy[t].argsort(descending=True)
        before = of_policy[t][order].cumsum(-1) - of_policy[t][order]
        nucleus = order[before < 0.3]
        assert token in nucleus
        ratio += math.log(of_policy[t, token] / of_policy[t, nucleus].sum() / of_reference[t, token])
    assert one.log_ratio == pytest.approx(ratio, abs=1e-3)


def test_models_of_different_vocabularies_are_refused(policy: Any) -> None:
    with pytest.raises(ModelError, match="the policy has 61 tokens and the reference 60"):
        Decoder(policy, llama(1, vocab_size=60))


def test_probabilities_that_are_not_numbers_are_refused(reference: Any) -> None:
    broken = llama(0)
    with torch.no_grad():
        broken.lm_head.weight[3] = float("nan")
    with pytest.raises(EngineError, match="probabilities of token 1 of a response are not numbers"):
        Decoder(broken, reference).decode(PROMPTS, some(), SEEDS)


def test_a_model_that_fails_is_an_engine_error(policy: Any, reference: Any) -> None:
    with pytest.raises(EngineError, match="decoding 1 prompts failed: IndexError"):
        Decoder(policy, reference).decode([np.array([99], np.int32)], some(), [0])
