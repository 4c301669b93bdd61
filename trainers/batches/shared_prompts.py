"""Attention over one row of many examples, in which every response sees its prompt and itself.

    row      the  cat  sat   on   a   there | good  morning   hi
    spans   (3,              2,       1)      (1,    1,        1)

It is transformers' sdpa attention but for that: each response is multiplied with what it may see and with nothing else,
so there is no mask of the whole row and no padding. A mask made a token cost what packing had saved (DECISIONS.md).
On a GPU one kernel reads the whole row where there is one (`trainers.batches.varlen`); else each response is multiplied
on its own.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from trainers.batches import varlen
from trainers.batches.varlen import Spans
from transforms.errors import ModelError

NAME: Final = "shared_prompts"


class Untraced:
    """Spans that a compiler hands on without a look inside: it would compile a layer for each number of examples."""

    def __init__(self, spans: Spans) -> None:
        self.spans = spans


def take_spans(model: Any) -> None:
    """Let a transformers model take `spans` beside its input; without them it computes as before.

    The setting stays, since a checkpointed layer runs again long after the call. It is not saved with the model.

    Raises:
        ModelError: its attention is not sdpa.
    """
    config = model.config.get_text_config()
    if config._attn_implementation not in ("sdpa", NAME):
        message = (
            f"attention {config._attn_implementation} takes no rows of many examples: load the model with sdpa, or use "
            "the padded layout"
        )
        raise ModelError(message)
    config._attn_implementation = NAME


def attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    spans: Spans | Untraced | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """An attention function of transformers: (rows, heads, tokens, size) to (rows, tokens, heads, size).

    Args:
        module: the layer's attention.
        query: likewise key and value, which may have fewer heads; of one row where there are spans.
        key: see `query`.
        value: see `query`.
        attention_mask: not looked at where there are spans.
        spans: of the examples in the row.
        scaling: of the scores, None for 1 / √size.
        dropout: of the weights.
        options: of sdpa.
    """
    if spans is None:
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **options
        )
        return found
    if isinstance(spans, Untraced):
        spans = spans.spans
    if dropout == 0 and query.is_cuda:
        # sdpa is cast by autocast, where rotary embeddings have left fp32; the kernel has to be handed what it takes.
        queries, keys, values = (_as_autocast(one) for one in (query, key, value))
        if varlen.usable(queries, keys, by_response):
            return varlen.attend(queries, keys, values, spans, scaling), None
    return by_response(query, key, value, spans, scaling, dropout=dropout), None


def _as_autocast(tensor: torch.Tensor) -> torch.Tensor:
    device = tensor.device.type
    return tensor.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else tensor


def by_response(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    spans: Spans,
    scale: float | None,
    *,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attention of one row, (1, heads, tokens, size) to (1, tokens, heads, size): a product for each response."""
    groups = query.shape[1] // key.shape[1]
    sizes = [sum(lengths) for lengths in spans]
    examples = zip(
        *(one.split(sizes, 2) for one in (query, repeat_kv(key, groups), repeat_kv(value, groups))), strict=True
    )
    parts = [
        part.transpose(1, 2)
        for lengths, example in zip(spans, examples, strict=True)
        for part in _read(lengths, *example, scale=scale, dropout_p=dropout)
    ]
    return torch.cat(parts, 1)


def _read(
    lengths: Sequence[int], query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any
) -> list[torch.Tensor]:
    """One example: its prompt with the first response, then each further one."""
    prompt, first, *others = lengths
    begin, *further = query.split([prompt + first, *others], 2)
    keys, values = (_after_prompt(one.split(lengths, 2)) for one in (key, value))
    parts = [functional.scaled_dot_product_attention(begin, keys[0], values[0], is_causal=True, **options)]
    for reader, seen, told in zip(further, keys[1:], values[1:], strict=True):
        if tokens := reader.shape[2]:
            # Its first token is the prompt's next; is_causal would count both from their beginnings.
            mask = torch.ones((tokens, prompt + tokens), dtype=torch.bool, device=query.device).tril(prompt)
            parts.append(functional.scaled_dot_product_attention(reader, seen, told, attn_mask=mask, **options))
    return parts


def _after_prompt(parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    prompt, *responses = parts
    return [torch.cat([prompt, response], 2) for response in responses]


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
