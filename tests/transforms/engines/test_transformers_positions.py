"""Log-probabilities and entropies against a full softmax, and against distributions known by hand."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from transforms.engines.models import resolve_model
from transforms.engines.protocol import PositionEngine, PositionRequest
from transforms.engines.transformers_positions import TransformersPositions
from transforms.errors import EngineError, ModelError

PAIRS = [([5, 6, 7], [8, 9, 2]), ([20], [*range(30, 70)]), ([9] * 12, [10]), ([4, 3], [2])]
VOCAB = 320


def opened(folder, dtype="float32", **options):
    return TransformersPositions(resolve_model(folder, engine="transformers", dtype=dtype), **options)


@pytest.fixture
def engine(tiny_policy):
    return opened(tiny_policy)


def requests(pairs=PAIRS):
    return [PositionRequest(f"p{i}", prompt, response) for i, (prompt, response) in enumerate(pairs)]


def assert_equal(found, expected, tolerance=1e-5):
    for one, other in zip(found, expected, strict=True):
        assert one.request_id == other.request_id
        assert one.log_prob == pytest.approx(other.log_prob, abs=tolerance)
        assert one.entropy == pytest.approx(other.entropy, abs=tolerance)


def full_softmax(engine, prompt, response):
    """Both numbers from one row's complete logits."""
    with torch.inference_mode():
        log_p = engine._model(torch.tensor([[*prompt, *response]])).logits[0].float().log_softmax(-1)
    log_p = log_p[len(prompt) - 1 : -1]
    return log_p[torch.arange(len(response)), response], -(log_p.exp() * log_p).sum(-1)


def test_both_numbers_equal_those_of_the_full_softmax(engine):
    for (prompt, response), found in zip(PAIRS, engine.positions(requests()), strict=True):
        log_prob, entropy = full_softmax(engine, prompt, response)
        assert found.log_prob == pytest.approx(log_prob.numpy(), abs=1e-5)
        assert found.entropy == pytest.approx(entropy.numpy(), abs=1e-5)
        assert found.log_prob.dtype == found.entropy.dtype == np.float32
        assert found.log_prob.shape == found.entropy.shape == (len(response),)


def test_the_log_probs_of_all_tokens_at_one_position_are_a_distribution_with_that_entropy(engine):
    found = engine.positions(requests([([5, 6], [token]) for token in range(VOCAB)]))
    log_prob = np.array([one.log_prob[0] for one in found], np.float64)
    assert np.exp(log_prob).sum() == pytest.approx(1, abs=1e-5)
    assert found[0].entropy[0] == pytest.approx(-(np.exp(log_prob) * log_prob).sum(), abs=1e-4)


def test_a_batch_of_different_lengths_equals_one_by_one_in_the_order_asked(engine):
    together = engine.positions(requests())
    assert_equal(together, [engine.positions([request])[0] for request in requests()])


def test_small_batches_and_small_chunks_change_nothing(engine, tiny_policy):
    small = opened(tiny_policy, max_tokens_per_batch=1, logits_per_chunk=1)
    uneven = opened(tiny_policy, logits_per_chunk=7 * VOCAB + 5)
    assert (small._chunk, uneven._chunk) == (1, 7)
    assert_equal(small.positions(requests()), engine.positions(requests()))
    assert_equal(uneven.positions(requests()), engine.positions(requests()))


def test_never_more_logits_at_once_than_a_chunk_holds(tiny_policy):
    engine = opened(tiny_policy, logits_per_chunk=4 * VOCAB)
    seen = []
    engine._model.lm_head.register_forward_hook(lambda _module, _inputs, logits: seen.append(tuple(logits.shape)))
    engine.positions(requests())
    responses = sum(len(response) for _, response in PAIRS)
    assert max(seen) == (1, 4, VOCAB)
    assert sum(positions for _, positions, _ in seen) == responses


def test_a_model_that_knows_nothing_is_uniform(engine):
    engine._model.lm_head.weight.data.zero_()
    for found in engine.positions(requests()):
        assert found.log_prob == pytest.approx(-math.log(VOCAB), abs=1e-5)
        assert found.entropy == pytest.approx(math.log(VOCAB), abs=1e-5)


def test_tokens_that_cannot_come_add_nothing_to_the_entropy(engine):
    def half_and_two_quarters(_module, _inputs, logits):
        known = torch.full_like(logits, -math.inf)
        known[..., 5:8] = torch.tensor([0.5, 0.25, 0.25]).log()
        return known

    engine._model.lm_head.register_forward_hook(half_and_two_quarters)
    [found] = engine.positions(requests([([1], [5, 7])]))
    assert found.log_prob == pytest.approx([-math.log(2), -2 * math.log(2)], abs=1e-6)
    assert found.entropy == pytest.approx(1.5 * math.log(2), abs=1e-6)  # ½ ln 2 + 2 · ¼ ln 4


def test_weights_in_bfloat16_give_numbers_near_those_in_float32(tiny_policy, engine):
    found = opened(tiny_policy, dtype="bfloat16").positions(requests())
    assert found[0].log_prob.dtype == np.float32
    # bfloat16 keeps 8 bits, and logits of this model go to about 10.
    assert_equal(found, engine.positions(requests()), tolerance=0.5)


def other_models():
    from transformers import Gemma2Config, GPT2Config, MixtralConfig

    size = {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    wide = {"intermediate_size": 48, "num_key_value_heads": 1, "max_position_embeddings": 64, "initializer_range": 0.5}
    return [
        Gemma2Config(**size, **wide, head_dim=16, final_logit_softcapping=2.0, pad_token_id=0, bos_token_id=1),
        MixtralConfig(**size, **wide, num_local_experts=2, output_router_logits=True, pad_token_id=0),
        GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.5),
    ]


@pytest.mark.parametrize("config", other_models(), ids=lambda config: config.model_type)
def test_what_a_model_does_beside_its_output_matrix_is_done_too(config, tmp_path):
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    engine = opened(tmp_path, logits_per_chunk=3 * VOCAB)
    for (prompt, response), found in zip(PAIRS, engine.positions(requests()), strict=True):
        log_prob, entropy = full_softmax(engine, prompt, response)
        assert found.log_prob == pytest.approx(log_prob.numpy(), abs=1e-5)
        assert found.entropy == pytest.approx(entropy.numpy(), abs=1e-5)


def test_progress_counts_rows_and_tokens(engine):
    seen = Counter()
    engine.positions(requests(), lambda n, tokens: seen.update(requests=n, tokens=tokens))
    assert seen == {"requests": 4, "tokens": sum(len(prompt) + len(response) for prompt, response in PAIRS)}


def test_nothing_asked_is_nothing_answered(engine):
    assert engine.positions([]) == []


def test_a_response_that_exactly_fills_the_context_is_read(engine):
    [found] = engine.positions(requests([([5] * 500, [6] * 12)]))
    assert len(found.log_prob) == 12


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (([5] * 500, [6] * 13), "p1 has 500 prompt and 13 response tokens, but the model's context is 512"),
        (([5], [VOCAB]), "p1 has the token id 320, expected 0 to 319"),
        (([-1], [5]), "p1 has the token id -1"),
        (([], [5]), "p1 has no prompt tokens"),
        (([5], []), "p1 has no response tokens"),
    ],
)
def test_a_request_that_cannot_be_read_is_named_before_any_is(engine, pair, message):
    seen = []
    with pytest.raises(EngineError, match=message):
        engine.positions(requests([PAIRS[0], pair]), lambda *counts: seen.append(counts))
    assert seen == []


def test_logits_that_are_no_numbers_are_an_error_that_names_request_and_position(engine):
    def break_state(_module, _args, kwargs, output):
        output.last_hidden_state[kwargs["input_ids"] == 33] = math.nan
        return output

    engine._backbone.register_forward_hook(break_state, with_kwargs=True)
    with pytest.raises(EngineError, match=r"gave request p1 the log-probability nan.* at response token 5, expected"):
        engine.positions(requests())


def test_a_model_that_fails_in_the_middle_is_an_engine_error(engine, monkeypatch):
    def broken(**inputs):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine, "_backbone", broken)
    with pytest.raises(EngineError, match="tiny-policy failed: RuntimeError: out of memory"):
        engine.positions(requests())


def test_a_head_that_reads_something_else_is_refused(engine):
    engine._model.lm_head.register_forward_hook(lambda _module, _inputs, logits: logits[:, :1])
    with pytest.raises(ModelError, match=r"shape \(1, 1, 320\) for 45 positions: its head does not read"):
        engine.positions(requests())


def test_a_closed_engine_says_so(tiny_policy):
    engine: PositionEngine = opened(tiny_policy)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.positions(requests())
