"""Log-probs of kept tokens: chunked like whole, packed like unpacked, gradients included."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from models_support import SMALL, VOCAB, examples, ignore_spans, llama, seeded
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import Gemma2Config, Gemma2ForCausalLM, Lfm2Config, Lfm2ForCausalLM

from trainers.batches.logprobs import LogProbs, log_probs
from trainers.batches.packing import check_packing
from trainers.batches.tensors import Batch, packed, padded
from trainers.reading.examples import Example
from transforms.errors import ModelError


def gemma(**options: Any) -> Any:
    config = Gemma2Config(
        **SMALL | {"head_dim": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 3.0} | options
    )
    return seeded(lambda: Gemma2ForCausalLM(config))


SOME = examples((7, 5, 9), (3, 1, 4), (12, 6, 6), (1, 2, 1))


def by_hand(model: Any, example: Example) -> list[torch.Tensor]:
    """Per-token log-probs of each response, from the model's whole logits."""
    found = []
    for response in example.responses:
        ids = torch.tensor(np.concatenate([example.prompt, response])[None], dtype=torch.long)
        log_p = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
        at = range(len(example.prompt) - 1, ids.shape[1] - 1)
        found.append(torch.stack([log_p[place, ids[0, place + 1]] for place in at]))
    return found


def gradients(model: Any, found: LogProbs) -> dict[str, torch.Tensor]:
    """Of a loss that weighs every response differently."""
    model.zero_grad()
    (found.responses * torch.arange(1.0, len(found.responses) + 1)).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(
    ("model", "layout"),
    [(llama(), packed), (gemma(), packed), (llama(), padded), (gemma(), padded), (llama("eager"), padded)],
)
def test_log_probs_are_those_of_each_response_alone(model: Any, layout: Callable[..., Batch]) -> None:
    found = log_probs(model, layout(SOME))
    alone = [tokens for example in SOME for tokens in by_hand(model, example)]
    torch.testing.assert_close(found.tokens, torch.cat(alone), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.responses, torch.stack([tokens.sum() for tokens in alone]), atol=1e-5, rtol=1e-6)


def test_packed_and_padded_batches_have_the_same_log_probs_and_gradients() -> None:
    model = llama()
    one, other = log_probs(model, packed(SOME)), log_probs(model, padded(SOME))
    torch.testing.assert_close(one.tokens, other.tokens, atol=1e-5, rtol=0)
    torch.testing.assert_close(one.prompt_states, other.prompt_states, atol=1e-5, rtol=0)
    expected = gradients(model, other)
    for name, gradient in gradients(model, one).items():
        # Relative to the largest entry: entries are sums over tokens of up to several hundred.
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(gradient, expected[name], atol=1e-5 * scale, rtol=0, msg=name)


def test_any_number_of_responses_share_one_prompt() -> None:
    model, many = llama(), examples((5, 3, 1, 7, 2), (4, 2))
    alone = torch.cat([tokens for example in many for tokens in by_hand(model, example)])
    torch.testing.assert_close(log_probs(model, packed(many)).tokens, alone, atol=1e-5, rtol=0)


def test_a_rejected_response_does_not_see_the_chosen_one() -> None:
    model, [pair] = llama(), examples((4, 6, 5))
    other = Example("other", pair.prompt, (pair.responses[0][::-1].copy(), pair.responses[1]))
    one, two = (log_probs(model, packed([example])).tokens for example in (pair, other))
    assert not torch.allclose(one[:6], two[:6])
    torch.testing.assert_close(one[6:], two[6:], atol=1e-6, rtol=0)


@pytest.mark.parametrize("positions", [1, 3, 7, 1000])
def test_chunks_change_neither_log_probs_nor_gradients(positions: int) -> None:
    model = gemma()
    whole = log_probs(model, packed(SOME))
    expected = gradients(model, whole)
    found = log_probs(model, packed(SOME), prompts=True, logits_per_chunk=positions * VOCAB, logits_kept=0)
    torch.testing.assert_close(found.tokens, whole.tokens, atol=1e-6, rtol=0)
    for name, gradient in gradients(model, found).items():
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(gradient, expected[name], atol=1e-5 * scale, rtol=0, msg=name)


@pytest.mark.parametrize(("kept", "positions"), [(0, 0), (7, 0), (8, 8), (20, 16), (24, 24), (1000, 80)])
def test_logits_of_so_many_positions_are_kept_for_the_way_back_by_whole_chunks(kept: int, positions: int) -> None:
    model, batch = llama(), packed(examples((10, 40, 40)))
    shapes: dict[int, torch.Size] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        shapes[tensor.data_ptr()] = tensor.shape
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        found = log_probs(model, batch, logits_per_chunk=8 * VOCAB, logits_kept=kept * VOCAB)
    # The output matrix, tied to the embedding, is (61, 32), and saved as (32, 61).
    logits = [shape for shape in shapes.values() if shape[-1:] == (VOCAB,) and shape != (32, VOCAB)]
    assert sum(shape[0] for shape in logits) == positions
    assert len(found.tokens) == 80


def test_a_model_that_computes_its_activations_again_keeps_no_logits() -> None:
    model, batch = llama(), packed(examples((10, 40, 40)))
    calls: list[int] = []
    model.lm_head.register_forward_hook(lambda *_: calls.append(1))

    def reads() -> int:
        calls.clear()
        log_probs(model, batch, logits_per_chunk=40 * VOCAB).responses.sum().backward()
        return len(calls)

    model.train()
    assert reads() == 2  # of 80 positions
    model.gradient_checkpointing_enable()
    assert reads() == 4  # and on the way back


def test_logits_that_are_kept_and_logits_that_are_computed_again_give_one_gradient_to_the_bit() -> None:
    found = []
    for kept in (0, 16, 1000):
        model = gemma()
        read = log_probs(model, packed(SOME), logits_per_chunk=4 * VOCAB, logits_kept=kept * VOCAB)
        found.append({"log-probs": read.tokens, **gradients(model, read)})
    for other in found[1:]:
        assert all(torch.equal(tensor, found[0][name]) for name, tensor in other.items())


def test_the_gradient_of_the_log_probs_passes_gradcheck_through_the_chunks() -> None:
    model = llama(dtype=torch.float64, num_hidden_layers=1)
    norm, batch = model.model.norm.weight, packed(examples((2, 3, 2)))

    def sums(weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(_Reader(model, batch), {"model.model.norm.weight": weight}, (), strict=False)

    assert torch.autograd.gradcheck(sums, (norm.detach().clone().requires_grad_(),))


class _Reader(torch.nn.Module):
    def __init__(self, model: Any, batch: Batch) -> None:
        super().__init__()
        self.model, self.batch = model, batch

    def forward(self) -> torch.Tensor:
        return log_probs(self.model, self.batch, logits_per_chunk=2 * VOCAB, logits_kept=3 * VOCAB).responses


def test_prompts_are_read_but_for_their_first_token_and_without_gradient() -> None:
    model = llama()
    for layout in (packed, padded):
        found = log_probs(model, layout(SOME), prompts=True).prompts
        for example, of_prompt in zip(SOME, found, strict=True):
            rest = Example("", example.prompt[:1], (example.prompt[1:],))
            expected = by_hand(model, rest)[0].sum().item() if len(example.prompt) > 1 else 0.0
            assert of_prompt.item() == pytest.approx(expected, abs=1e-4)
        assert not found.requires_grad


def test_prompts_of_one_token_leave_nothing_to_read() -> None:
    found = log_probs(llama(), packed(examples((1, 2, 3))), prompts=True)
    assert found.prompts.tolist() == [0.0]


def test_logits_that_the_model_caps_are_capped() -> None:
    # A cap of 3 on 61 tokens: no log-prob below −3 − log(61 e³) = −10.1; the model's own logits reach further.
    found = log_probs(gemma(), padded(SOME)).tokens
    uncapped = log_probs(gemma(final_logit_softcapping=None), padded(SOME)).tokens
    assert found.min() > -10.2
    assert not torch.allclose(found, uncapped, atol=0.1)


def test_bf16_weights_give_fp32_log_probs_close_to_those_of_fp32_weights() -> None:
    model = llama(dtype=torch.bfloat16, initializer_range=0.02)
    found = log_probs(model, packed(SOME))
    assert found.responses.dtype == torch.float32
    exact = log_probs(model.float(), packed(SOME))
    torch.testing.assert_close(found.tokens, exact.tokens, atol=0.05, rtol=0)
    # More digits than bf16 has: the softmax was not rounded.
    assert (found.tokens != found.tokens.bfloat16().float()).float().mean() > 0.9


def test_a_lora_adapter_is_read_and_trained() -> None:
    model = get_peft_model(llama(), LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    found = log_probs(model, packed(SOME))
    with model.disable_adapter():
        reference = log_probs(model, packed(SOME))
    assert not torch.allclose(found.tokens, reference.tokens)
    found.responses.sum().backward()
    trained = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
    assert len(trained) == 8
    assert all(gradient.abs().max() > 0 for gradient in trained)


def test_gradient_checkpointing_inside_the_model_changes_nothing() -> None:
    model = llama().train()
    expected = gradients(model, log_probs(model, packed(SOME)))
    model.gradient_checkpointing_enable()
    found = gradients(model, log_probs(model, packed(SOME)))
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-4, rtol=1e-5, msg=name)


def test_the_model_is_left_as_it_was_also_after_an_error() -> None:
    model = llama()
    wrapped = model.model.forward = model.model.forward
    log_probs(model, packed(SOME))
    assert model.model.__dict__["forward"] is wrapped
    del model.model.forward
    model.lm_head.forward = lambda states: 1 / 0
    with pytest.raises(ZeroDivisionError):
        log_probs(model, packed(SOME))
    assert "forward" not in model.model.__dict__


def test_a_head_that_reads_something_else_is_refused() -> None:
    model = llama()
    model.lm_head.forward = lambda states: states[:, :1]
    with pytest.raises(ModelError, match=r"gave logits of shape \(1, 1, 32\) for 34 positions"):
        log_probs(model, packed(SOME))


def test_attention_that_takes_no_spans_is_refused() -> None:
    with pytest.raises(ModelError, match="attention eager takes no rows of many examples: load the model with sdpa"):
        log_probs(llama("eager"), packed(SOME))


def test_virtual_tokens_are_refused() -> None:
    model = get_peft_model(llama(), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(ModelError, match="virtual tokens are not supported"):
        log_probs(model, packed(SOME))


def test_a_plain_transformer_may_be_packed() -> None:
    model = llama().train()
    check_packing(model, longest=10_000)
    assert model.training


def test_a_window_of_attention_shorter_than_a_response_with_its_prompt_may_not_be_packed() -> None:
    model = gemma(sliding_window=16)
    with pytest.raises(ModelError, match="is 16 tokens, and a prompt with a response has up to 17"):
        check_packing(model, longest=17)


def test_a_recurrent_model_may_not_be_packed() -> None:
    # Short convolutions run along a row, from one example into the next.
    config = Lfm2Config(**SMALL, block_dim=32, block_ff_dim=48, layer_types=["conv", "full_attention"])
    with pytest.raises(ModelError, match="Lfm2ForCausalLM reads packed responses differently from single ones"):
        check_packing(seeded(lambda: Lfm2ForCausalLM(config)), longest=100)


def test_a_model_that_ignores_spans_may_not_be_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    ignore_spans(monkeypatch)
    with pytest.raises(ModelError, match="reads packed responses differently"):
        check_packing(llama(), longest=100)
