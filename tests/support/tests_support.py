"""Makers of small real things for tests: a tokenizer, pairs, tables."""

import platform
import sys
from typing import Any

import pyarrow as pa
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from transforms.asking.requests import Prefix, PrefixSample, cut_sides, sample_prefixes
from transforms.chat.tokens import ChatTokens
from transforms.sources.canonical import Message, pair_id
from transforms.tables.schema import PAIRS

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CORPUS = ["the cat sat on the mat and the dog ran", "naïve café déjà vu", "one two three four five six seven"]


def tiny_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """Trained on three lines, so that words split into several tokens and every byte has one."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    specials = [AddedToken(t, special=True) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = template
    return tokenizer


def need_vllm() -> None:
    """Skip where pyproject.toml leaves vLLM out; on x86-64 Linux it must be there."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.importorskip("vllm")


def chat() -> ChatTokens:
    return ChatTokens(tiny_tokenizer())


def row(prompt: str | list[dict[str, str]], chosen: str, rejected: str, **fields: Any) -> dict[str, Any]:
    """One canonical pair as a dict."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    content = {
        "pair_id": pair_id(tuple(Message(m["role"], m["content"]) for m in messages), chosen, rejected),
        "source": "unit",
        "source_id": f"{prompt}/{chosen}/{rejected}"[:40],
        "prompt": messages,
        "chosen": chosen,
        "rejected": rejected,
        "chosen_score": None,
        "rejected_score": None,
        "chosen_finished": True,
        "rejected_finished": True,
        "reason": None,
        "structure": None,
        "given_prompt_ids": None,
        "given_chosen_ids": None,
        "given_rejected_ids": None,
    }
    return content | fields


def pairs_table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=PAIRS)


def completions_of_cuts(pairs: pa.Table, identity: Any, sampling: Any, *, n: int, **options: Any) -> list[PrefixSample]:
    """n completions of every cut response of a table; `options` as for sample_prefixes."""
    prefixes = [Prefix(row, side, keep, range(n)) for row, side, keep in cut_sides(pairs)]
    return list(sample_prefixes(pairs, prefixes, identity, sampling, **options))
