"""Rows of many examples as attention is handed them, and what it has to make of them."""

from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from models_support import seen
from torch.nn import functional

from trainers.batches.varlen import Spans

# An example's prompt has at least one token; a response of one token is only predicted and leaves none to read.
SPANS = st.lists(
    st.tuples(st.integers(1, 6), st.lists(st.integers(0, 5), min_size=1, max_size=4)).map(
        lambda one: (one[0], *one[1])
    ),
    min_size=1,
    max_size=4,
).map(tuple)


def tensors(spans: Spans, *, heads: int = 4, shared: int = 2, size: int = 8) -> list[torch.Tensor]:
    """Query, key and value as a layer hands them on, fp64."""
    tokens = sum(map(sum, spans))
    draw = torch.Generator().manual_seed(tokens)
    return [
        torch.randn(1, tokens, count, size, generator=draw, dtype=torch.float64).transpose(1, 2).requires_grad_()
        for count in (heads, shared, shared)
    ]


def assert_attends_as_under_the_mask(
    found: torch.Tensor, given_in: Sequence[torch.Tensor], spans: Spans, *, scale: float
) -> None:
    """Outputs and gradients are those of attention under the mask of who sees whom."""
    expected = functional.scaled_dot_product_attention(
        *given_in, attn_mask=seen(spans), scale=scale, enable_gqa=True
    ).transpose(1, 2)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    weights = torch.linspace(-1, 1, found.numel(), dtype=found.dtype).reshape(found.shape)
    ours, masked = (torch.autograd.grad((one * weights).sum(), given_in) for one in (found, expected))
    torch.testing.assert_close(ours, masked, atol=1e-12, rtol=0)
