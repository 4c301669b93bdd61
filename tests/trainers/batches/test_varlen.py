"""One kernel for a whole row, by a kernel written out here, as torch's documentation has it: no GPU is at hand."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from packed_rows import SPANS, assert_attends_as_under_the_mask, tensors
from torch import nn
from torch.nn import functional
from torch.nn.attention import varlen as torch_varlen
from torch.utils.checkpoint import checkpoint

from trainers.batches import varlen
from trainers.batches.shared_prompts import attention, by_response
from trainers.batches.varlen import Spans

CPU = torch.device("cpu")


def kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    query_starts: torch.Tensor,
    key_starts: torch.Tensor,
    most_queries: int,
    most_keys: int,
    *,
    scale: float | None,
    window_size: tuple[int, int],
    enable_gqa: bool,
    aligned: str = "end",
) -> torch.Tensor:
    """`torch.nn.attention.varlen.varlen_attn` over (tokens, heads, size), sequence by sequence."""
    assert window_size == (-1, 0)
    assert query_starts.dtype == key_starts.dtype == torch.int32
    assert (int(query_starts[-1]), int(key_starts[-1])) == (len(query), len(key))
    sizes = query_starts.diff().tolist(), key_starts.diff().tolist()
    assert (max(sizes[0]), max(sizes[1])) == (most_queries, most_keys)
    assert enable_gqa == (query.shape[1] != key.shape[1])
    parts = []
    for one, seen_keys, told in zip(query.split(sizes[0]), key.split(sizes[1]), value.split(sizes[1]), strict=True):
        mask = torch.ones(len(one), len(seen_keys), dtype=torch.bool)
        mask = mask.tril(len(seen_keys) - len(one) if aligned == "end" else 0)
        heads = [tensor.transpose(0, 1) for tensor in (one, seen_keys, told)]
        read = functional.scaled_dot_product_attention(*heads, attn_mask=mask, scale=scale, enable_gqa=enable_gqa)
        parts.append(read.transpose(0, 1))
    return torch.cat(parts)


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> None:
    varlen.agrees.cache_clear()


@pytest.fixture
def documented_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_varlen, "varlen_attn", kernel)


@given(spans=SPANS, shared=st.sampled_from([1, 2, 4]))
def test_outputs_and_gradients_are_those_under_the_mask_of_who_sees_whom(spans: Spans, shared: int) -> None:
    given_in = tensors(spans, shared=shared)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_varlen, "varlen_attn", kernel)
        found = varlen.attend(*given_in, spans, 0.3)
    assert_attends_as_under_the_mask(found, given_in, spans, scale=0.3)


def test_the_plan_of_a_row_gathers_each_further_response_behind_its_prompt() -> None:
    # the cat sat | on a | there, good | morning | hi: the module's own picture.
    made = varlen.plan(((3, 2, 1), (1, 1, 1)), CPU)
    assert made.sizes == (3, 2, 1, 1, 1, 1)
    assert made.parts == (0, 1, 0, 2, 3, 4, 3, 5)
    assert made.queries.tolist() == [0, 5, 6, 8, 9]
    assert made.keys.tolist() == [0, 5, 9, 11, 13]
    assert (made.most_queries, made.most_keys) == (5, 5)


def test_a_response_without_tokens_to_read_is_no_reader() -> None:
    made = varlen.plan(((2, 0, 0, 3),), CPU)
    assert made.sizes == (2, 0, 0, 3)
    assert made.parts == (0, 1, 0, 3)
    assert made.queries.tolist() == [0, 2, 5]
    assert made.keys.tolist() == [0, 2, 7]
    assert (made.most_queries, made.most_keys) == (3, 5)


@pytest.mark.usefixtures("documented_kernel")
@pytest.mark.parametrize(("heads", "size"), [((4, 2), 8), ((64, 8), 128), ((32, 1), 128), ((8, 8), 64)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_kernel_that_aligns_at_the_end_is_taken(heads: tuple[int, int], size: int, dtype: torch.dtype) -> None:
    assert varlen.agrees(CPU, dtype, heads, size, by_response)


@pytest.mark.usefixtures("documented_kernel")
def test_a_layer_that_is_computed_again_may_be_the_first_that_asks() -> None:
    # The trial must leave nothing among what the layer saves: it does not take place when the layer is computed again.
    def layer(states: torch.Tensor) -> torch.Tensor:
        agrees = varlen.agrees(CPU, torch.bfloat16, (4, 2), 8, by_response)
        return (states * agrees).sin()

    states = torch.ones(3, requires_grad=True)
    checkpoint(layer, states, use_reentrant=False).sum().backward()
    torch.testing.assert_close(states.grad, torch.ones(3).cos())


def test_a_kernel_that_aligns_at_the_beginning_is_left_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def other(*given_in: torch.Tensor, **options: object) -> torch.Tensor:
        return kernel(*given_in, **options, aligned="begin")  # type: ignore[arg-type]

    monkeypatch.setattr(torch_varlen, "varlen_attn", other)
    assert not varlen.agrees(CPU, torch.bfloat16, (4, 2), 8, by_response)
    assert "varlen attention is not used on cpu: it is " in caplog.text
    assert " % off attention by response" in caplog.text


def test_a_kernel_whose_gradients_are_no_numbers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
            return tensor.clone()

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            return gradient * torch.nan

    def other(query: torch.Tensor, key: torch.Tensor, *given_in: Any, **options: Any) -> torch.Tensor:
        return kernel(query, Broken.apply(key), *given_in, **options)

    monkeypatch.setattr(torch_varlen, "varlen_attn", other)
    assert not varlen.agrees(CPU, torch.bfloat16, (4, 2), 8, by_response)


def test_a_device_without_such_a_kernel_is_read_response_by_response(caplog: pytest.LogCaptureFixture) -> None:
    # torch's own, on a CPU, has none.
    caplog.set_level("INFO")
    assert not varlen.agrees(CPU, torch.bfloat16, (4, 2), 8, by_response)
    assert "varlen attention is not used, since it failed: " in caplog.text


@pytest.mark.usefixtures("documented_kernel")
def test_numbers_of_32_bits_are_read_response_by_response() -> None:
    query, key, _ = (torch.zeros(1, heads, 3, 8) for heads in (4, 2, 2))
    assert not varlen.usable(query, key, by_response)
    assert varlen.usable(query.bfloat16(), key.bfloat16(), by_response)


@pytest.mark.usefixtures("documented_kernel")
def test_attention_on_a_cpu_stays_what_it_was() -> None:
    spans = ((3, 2, 1), (1, 1, 1))
    given_in = [one.detach().bfloat16() for one in tensors(spans)]
    found, _ = attention(nn.Identity(), *given_in, None, spans=spans)
    assert torch.equal(found, by_response(*given_in, spans, None))
