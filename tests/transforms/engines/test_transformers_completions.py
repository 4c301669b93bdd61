from collections import Counter

import pytest
import torch

from transforms.engines.models import resolve_model
from transforms.engines.protocol import CompletionRequest, Sampling
from transforms.engines.transformers_completions import TransformersCompletions, _next_tokens
from transforms.errors import EngineError, ModelError

GREEDY = Sampling(0.0, 1.0, ())
PROMPTS = [[5, 6, 7], [9, 10, 11, 12, 13, 14, 15], [20]]


@pytest.fixture(scope="module")
def engine(tiny_policy):
    return TransformersCompletions(resolve_model(tiny_policy, engine="transformers", dtype="float32"))


def requests(prompts=PROMPTS, *, seed=0, max_tokens=12):
    return [CompletionRequest(f"r{i}", ids, seed + i, 0, max_tokens) for i, ids in enumerate(prompts)]


def test_greedy_equals_generate_for_prompts_of_different_lengths(engine):
    found = engine.complete(requests(), GREEDY)
    for prompt, completion in zip(PROMPTS, found, strict=True):
        expected = engine._model.generate(
            torch.tensor([prompt]), max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0
        )[0, len(prompt) :].tolist()
        assert completion.token_ids == expected
        assert completion.finish_reason == "length"


def test_a_stop_token_ends_a_completion_and_is_its_last_token(engine):
    free = engine.complete(requests(), GREEDY)[1].token_ids
    stop = free[4]
    completion = engine.complete(requests(), Sampling(0.0, 1.0, (stop,)))[1]
    assert completion.token_ids == free[: free.index(stop) + 1]
    assert completion.finish_reason == "stop"


def test_a_row_sampled_in_a_batch_equals_the_row_sampled_alone(engine):
    sampling = Sampling(1.0, 0.9, (2,))
    together = engine.complete(requests(seed=7), sampling)
    alone = [engine.complete([request], sampling)[0] for request in requests(seed=7)]
    assert together == alone


def test_the_same_batch_twice_gives_the_same_tokens_and_another_seed_gives_others(engine):
    sampling = Sampling(1.0, 1.0, (2,))
    assert engine.complete(requests(seed=1), sampling) == engine.complete(requests(seed=1), sampling)
    assert engine.complete(requests(seed=1), sampling) != engine.complete(requests(seed=2), sampling)


def test_small_batches_give_what_one_batch_gives_in_the_order_asked(engine, tiny_policy):
    small = TransformersCompletions(resolve_model(tiny_policy, engine="transformers", dtype="float32"), max_num_seqs=2)
    sampling = Sampling(1.0, 1.0, (2,))
    seen = Counter()
    found = small.complete(requests(), sampling, lambda n, tokens: seen.update(requests=n, tokens=tokens))
    assert found == engine.complete(requests(), sampling)
    assert seen == {"requests": 3, "tokens": sum(len(c.token_ids) for c in found)}


def test_the_nucleus_is_the_smallest_set_that_reaches_top_p():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    generators = [torch.Generator().manual_seed(0)]
    drawn = Counter(_next_tokens(logits, Sampling(1.0, 0.7, ()), generators)[0] for _ in range(2000))
    assert set(drawn) == {0, 1}
    assert drawn[0] / 2000 == pytest.approx(0.625, abs=0.03)  # 0.5 / 0.8


def test_temperature_sharpens_the_distribution():
    logits = torch.log(torch.tensor([[0.8, 0.2]]))
    generators = [torch.Generator().manual_seed(0)]
    drawn = Counter(_next_tokens(logits, Sampling(0.5, 1.0, ()), generators)[0] for _ in range(2000))
    assert drawn[0] / 2000 == pytest.approx(0.64 / 0.68, abs=0.02)


def test_a_checkpoint_that_lacks_weights_is_refused(save_tiny, tmp_path):
    from safetensors.torch import load_file, save_file
    from transformers import LlamaForCausalLM

    folder = save_tiny(LlamaForCausalLM, tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks weights: model\.layers\.1\.mlp\.up_proj\.weight"):
        TransformersCompletions(resolve_model(folder, engine="transformers"))


def test_a_model_that_fails_in_the_middle_is_an_engine_error(engine, monkeypatch):
    def broken(**inputs):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine, "_model", broken)
    with pytest.raises(EngineError, match="tiny-policy failed: RuntimeError: out of memory"):
        engine.complete(requests(), GREEDY)


def test_a_closed_engine_says_so(tiny_policy):
    engine = TransformersCompletions(resolve_model(tiny_policy, engine="transformers", dtype="float32"))
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.complete(requests(), GREEDY)


def test_a_checkpoint_with_cut_weights_is_a_model_error(tiny_policy, tmp_path, cache):
    for file in tiny_policy.iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(content[: len(content) // 2] if file.suffix == ".safetensors" else content)
    with pytest.raises(ModelError, match=r"transformers cannot load .*: SafetensorError: "):
        TransformersCompletions(resolve_model(tmp_path, engine="transformers", dtype="float32"))


@pytest.mark.parametrize(
    ("settings", "drawable"),
    [
        ({"top_k": 2}, {0, 1}),
        ({"min_p": 0.5}, {0, 1}),  # 0.25 and more of 0.5
        ({"min_p": 0.3}, {0, 1, 2}),
        # min_p leaves 0.5, 0.25 and 0.15: of 0.9 the first two are 0.83, so top_p 0.8 needs no third.
        ({"min_p": 0.3, "top_p": 0.8}, {0, 1}),
        ({"top_k": 3, "top_p": 0.5}, {0}),
        ({}, {0, 1, 2, 3}),
    ],
)
def test_tokens_come_only_from_what_top_k_min_p_and_top_p_leave_in_this_order(settings, drawable):
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.15, 0.1]])).repeat(400, 1)
    generators = [torch.Generator().manual_seed(seed) for seed in range(400)]
    sampling = Sampling(1.0, settings.pop("top_p", 1.0), (), **settings)
    assert set(_next_tokens(logits, sampling, generators)) == drawable


def test_requests_of_before_top_k_and_min_p_keep_their_ids():
    assert Sampling(1.0, 0.9, (2,)).facts() == {"temperature": 1.0, "top_p": 0.9, "stop_token_ids": (2,)}
    assert Sampling(1.0, 0.9, (2,), 20, 0.1).facts()["top_k"] == 20
