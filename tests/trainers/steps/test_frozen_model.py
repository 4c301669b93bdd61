"""What a frozen model says of whole responses, against the log-probs of the training loss."""

from typing import Any

import numpy as np
import pytest
import torch
from models_support import VOCAB, llama

from trainers.batches.layouts import choose_layout
from trainers.batches.logprobs import log_probs
from trainers.batches.tensors import PACKED, PADDED, Layout, padded
from trainers.policies.token_readings import FrozenModel
from trainers.reading.examples import Example
from transforms.errors import EngineError


def ids(count: int, seed: int = 0) -> Any:
    return np.random.default_rng([count, seed]).integers(VOCAB, size=count, dtype=np.int32)


LONG = [Example(f"long-{n}", ids(40, n), (ids(9, n), ids(5, n + 7))) for n in range(3)]
SHORT = [Example("short", ids(2), (ids(20), ids(30))), Example("one", ids(1), (ids(1),))]


def no_progress(tokens: int) -> None:
    """Ignore progress."""


def direct(model: Any, example: Example) -> list[np.ndarray]:
    batch = padded([example])
    with torch.no_grad():
        tokens = log_probs(model, batch).tokens
    return [part.numpy() for part in tokens.split(list(batch.lengths))]


@pytest.mark.parametrize("examples", [LONG, SHORT])
@pytest.mark.parametrize(("attention", "layout"), [("sdpa", PACKED), ("eager", PADDED)])
def test_each_tokens_log_prob_is_that_of_the_example_alone(
    examples: list[Example], attention: str, layout: Layout
) -> None:
    model = llama(attention)
    assert choose_layout(model, examples).layout is layout
    found = FrozenModel(model, batch_tokens=60).token_log_probs(examples, no_progress)
    for example, responses in zip(examples, found, strict=True):
        for one, expected in zip(responses, direct(llama(), example), strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, expected, atol=1e-5, rtol=0)


def test_the_first_tokens_of_a_whole_response_have_the_log_probs_of_the_cut_one() -> None:
    whole = Example("whole", ids(12), (ids(20),))
    cut = Example("cut", whole.prompt, (whole.responses[0][:8],))
    reader = FrozenModel(llama())
    [[of_whole]], [[of_cut]] = (reader.token_log_probs([example], no_progress) for example in (whole, cut))
    np.testing.assert_allclose(of_whole[:8], of_cut, atol=1e-5, rtol=0)


def test_bf16_weights_differ_between_batches_by_rounding_only() -> None:
    reader = FrozenModel(llama(dtype=torch.bfloat16))
    together = reader.token_log_probs(LONG, no_progress)
    for example, found in zip(LONG, together, strict=True):
        [alone] = reader.token_log_probs([example], no_progress)
        for one, other in zip(found, alone, strict=True):
            # Logits reach ±10, where bf16 has steps of 1/16; a wrong position would be nats away.
            np.testing.assert_allclose(one, other, atol=0.2, rtol=0)


def test_a_model_that_fails_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="LlamaForCausalLM failed: RuntimeError: index 99 is out of bounds"):
        FrozenModel(llama()).token_log_probs([Example("x", ids(2), (np.array([99], np.int32),))], no_progress)
