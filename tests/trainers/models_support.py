"""Tiny random models and examples of random tokens."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AttentionInterface, LlamaConfig, LlamaForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from trainers.batches import shared_prompts
from trainers.batches.varlen import Spans
from trainers.reading.examples import Example

VOCAB = 61
SMALL = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 2,
    "eos_token_id": 2,
    "bos_token_id": 1,
    "tie_word_embeddings": True,
    "initializer_range": 0.3,
}


def seeded(make: Callable[[], Any]) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def llama(attention: str = "sdpa", dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    config = LlamaConfig(**SMALL | options, attn_implementation=attention)
    return seeded(lambda: LlamaForCausalLM(config)).to(dtype)


def examples(*shapes: tuple[int, ...], seed: int = 0) -> list[Example]:
    """A prompt and its responses, each of the given number of tokens."""
    draw = np.random.default_rng(seed)
    return [
        Example(
            str(index), *(lambda p, *r: (p, tuple(r)))(*(draw.integers(VOCAB, size=n, dtype=np.int32) for n in shape))
        )
        for index, shape in enumerate(shapes)
    ]


def seen(spans: Spans) -> torch.Tensor:
    """Who sees whom, token by token and by definition: (tokens, tokens), bool."""
    owners = [
        (example, part) for example, lengths in enumerate(spans) for part, n in enumerate(lengths) for _ in range(n)
    ]
    return torch.tensor(
        [
            [at >= other and owner[0] == whose[0] and whose[1] in (0, owner[1]) for other, whose in enumerate(owners)]
            for at, owner in enumerate(owners)
        ]
    )


def ignore_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on attention reads a packed row as if it were one text."""

    def attention(*tensors: Any, spans: Any = None, **options: Any) -> Any:
        return sdpa_attention_forward(*tensors[:-1], None if spans else tensors[-1], **options)

    monkeypatch.setitem(AttentionInterface._global_mapping, shared_prompts.NAME, attention)
