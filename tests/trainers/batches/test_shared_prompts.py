"""Attention over a row of many examples is attention under the mask of who sees whom, without the mask."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from models_support import examples, llama
from packed_rows import SPANS, assert_attends_as_under_the_mask, tensors
from torch import nn
from transformers import AutoModelForCausalLM

from trainers.batches.logprobs import log_probs
from trainers.batches.shared_prompts import attention, take_spans
from trainers.batches.tensors import PACKED
from trainers.batches.varlen import Spans
from trainers.steps.order import batches_by_length
from transforms.errors import ModelError


@given(SPANS)
def test_outputs_and_gradients_are_those_under_the_mask(spans: Spans) -> None:
    given_in = tensors(spans)
    found, _ = attention(nn.Identity(), *given_in, None, spans=spans, scaling=0.3)
    assert_attends_as_under_the_mask(found, given_in, spans, scale=0.3)


def test_without_spans_a_model_computes_what_it_did() -> None:
    model, ids = llama(), torch.arange(12).reshape(2, 6)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])  # padded on the left, as in generation
    before = model(input_ids=ids, attention_mask=mask).logits
    take_spans(model)
    assert torch.equal(model(input_ids=ids, attention_mask=mask).logits, before)


def test_an_example_does_not_see_the_one_before_it_in_the_row() -> None:
    model, (first, second, other) = llama(), examples((5, 4, 3), (4, 6, 5), (5, 4, 3))
    one, two = (log_probs(model, PACKED.batch(pairs)).tokens for pairs in ([first, second], [other, second]))
    assert not torch.allclose(one[:7], two[:7])
    assert torch.equal(one[7:], two[7:])


def test_a_saved_model_does_not_ask_for_this_attention(tmp_path: Path) -> None:
    model = llama()
    log_probs(model, PACKED.batch(examples((5, 4, 3))))
    model.save_pretrained(tmp_path)
    assert "shared_prompts" not in (tmp_path / "config.json").read_text()
    assert AutoModelForCausalLM.from_pretrained(tmp_path).config._attn_implementation == "sdpa"


def test_a_model_with_other_attention_is_refused_and_stays_as_it_is() -> None:
    model = llama("eager")
    with pytest.raises(ModelError, match="attention eager takes no rows of many examples: load the model with sdpa"):
        take_spans(model)
    assert model.config._attn_implementation == "eager"


def test_a_packed_batch_is_filled_by_what_its_examples_have_and_holds_no_padding() -> None:
    # 20, 30 and 50 tokens in a row: a prompt, and responses without their last token.
    some = examples((10, 6, 6), (20, 6, 6), (40, 6, 6))
    assert batches_by_length(some, PACKED, 100) == [[0, 1, 2]]
    assert batches_by_length(some, PACKED, 99) in ([[2], [0, 1]], [[1, 2], [0]])
    batch = PACKED.batch(some)
    assert batch.input_ids.shape == (1, 100)
    assert batch.padding == 0
    assert batch.spans == ((10, 5, 5), (20, 5, 5), (40, 5, 5))
    assert batch.position_ids is not None
    assert batch.position_ids[0, :20].tolist() == [*range(10), *range(10, 15), *range(10, 15)]
