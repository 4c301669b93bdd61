"""Tiny random models and examples of random tokens."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trainers.examples import Example

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
