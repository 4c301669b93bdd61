"""What the reference says of whole responses, against the log-probs of the training loss."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trainers import references
from trainers.batches import PACKED, PADDED, Layout, padded
from trainers.examples import Example, read_examples
from trainers.logprobs import log_probs
from trainers.references import ReferenceModel, WholeResponses, read_whole
from transforms.errors import EngineError, ModelError

VOCAB = 61


def llama(dtype: torch.dtype = torch.float32) -> Any:
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(config).to(dtype)


def ids(count: int, seed: int = 0) -> Any:
    return np.random.default_rng([count, seed]).integers(VOCAB, size=count, dtype=np.int32)


# Prompts long enough that packing pays, and short ones.
LONG = [Example(f"long-{n}", ids(40, n), (ids(9, n), ids(5, n + 7))) for n in range(3)]
SHORT = [Example("short", ids(2), (ids(20), ids(30))), Example("one", ids(1), (ids(1),))]


def no_progress(responses: int, tokens: int) -> None:
    """Ignore progress."""


def direct(model: Any, example: Example) -> list[np.ndarray]:
    batch = padded([example])
    with torch.no_grad():
        tokens = log_probs(model, batch).tokens
    return [part.numpy() for part in tokens.split(list(batch.lengths))]


@pytest.mark.parametrize(("examples", "layout"), [(LONG, PACKED), (SHORT, PADDED)])
def test_each_tokens_log_prob_is_that_of_the_example_alone(
    examples: list[Example], layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, used = ReferenceModel(llama(), batch_tokens=60), []
    monkeypatch.setattr(references, "batches_by_length", _noting(used))
    found = reader.token_log_probs(examples, no_progress)
    assert used == [layout]
    for example, responses in zip(examples, found, strict=True):
        for one, expected in zip(responses, direct(llama(), example), strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, expected, atol=1e-5, rtol=0)


def _noting(used: list[Layout]) -> Any:
    original = references.batches_by_length

    def batches(examples: Any, layout: Layout, tokens: int) -> Any:
        used.append(layout)
        return original(examples, layout, tokens)

    return batches


def test_a_model_that_cannot_be_packed_is_read_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: Any, *, longest: int) -> None:
        assert longest == 40 + 9 + 5 - 2
        raise ModelError("it takes no mask")

    monkeypatch.setattr(references, "check_packing", refuse)
    used: list[Layout] = []
    monkeypatch.setattr(references, "batches_by_length", _noting(used))
    ReferenceModel(llama()).token_log_probs(LONG, no_progress)
    assert used == [PADDED]


def test_the_first_tokens_of_a_whole_response_have_the_log_probs_of_the_cut_one() -> None:
    whole = Example("whole", ids(12), (ids(20),))
    cut = Example("cut", whole.prompt, (whole.responses[0][:8],))
    reader = ReferenceModel(llama())
    [[of_whole]], [[of_cut]] = (reader.token_log_probs([example], no_progress) for example in (whole, cut))
    np.testing.assert_allclose(of_whole[:8], of_cut, atol=1e-5, rtol=0)


def test_bf16_weights_differ_between_batches_by_rounding_only() -> None:
    reader = ReferenceModel(llama(torch.bfloat16))
    together = reader.token_log_probs(LONG, no_progress)
    for example, found in zip(LONG, together, strict=True):
        [alone] = reader.token_log_probs([example], no_progress)
        for one, other in zip(found, alone, strict=True):
            # Logits reach ±10, where bf16 has steps of 1/16; a wrong position would be nats away.
            np.testing.assert_allclose(one, other, atol=0.2, rtol=0)


def test_a_log_prob_that_is_not_finite_names_the_example_and_the_token() -> None:
    model = llama()
    with torch.no_grad():
        model.lm_head.weight[7] = float("inf")
    bad = Example("pair-9", np.array([3], np.int32), (np.array([1, 2], np.int32),))
    with pytest.raises(EngineError, match=r"nan as log-prob of token 1 of response 1 of pair-9"):
        ReferenceModel(model).token_log_probs([bad], no_progress)


def test_a_model_that_fails_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="LlamaForCausalLM failed: IndexError"):
        ReferenceModel(llama()).token_log_probs([Example("x", ids(2), (np.array([99], np.int32),))], no_progress)


def table(keep: int) -> pa.Table:
    return pa.table(
        {
            "pair_id": ["a", "b"],
            "prompt_ids": [[1, 2], [1, 3]],
            "chosen_ids": [[4, 5, 6], [4, 5, 7]],
            "rejected_ids": [[8, 9], [8]],
            "chosen_keep": [keep, keep],
            "rejected_keep": [1, 1],
        }
    )


def test_whole_responses_are_read_whatever_is_kept_of_them() -> None:
    found = read_whole(table(1), where="train")
    assert [[response.tolist() for response in example.responses] for example in found] == [
        [[4, 5, 6], [8, 9]],
        [[4, 5, 7], [8]],
    ]


def test_all_whole_responses_to_a_prompt_that_begin_like_the_kept_one_are_found() -> None:
    same = table(2).set_column(1, "prompt_ids", [[[1, 2], [1, 2]]])
    known = WholeResponses(read_whole(same, where="train"))
    [pair, _] = read_examples(same, where="train")
    assert [whole.tolist() for whole in known.behind(pair.prompt, pair.responses[0])] == [[4, 5, 6], [4, 5, 7]]
    assert [whole.tolist() for whole in known.behind(pair.prompt, pair.responses[1])] == [[8, 9], [8]]


def test_a_response_of_another_prompt_or_none_at_all_stands_for_itself() -> None:
    known = WholeResponses(read_whole(table(2), where="train"))
    other = np.array([9, 9], np.int32)
    kept = np.array([4, 5], np.int32)
    assert [whole.tolist() for whole in known.behind(other, kept)] == [[4, 5]]
    assert [whole.tolist() for whole in known.behind(np.array([1, 2], np.int32), other)] == [[9, 9]]
