"""A tiny random Llama with a byte-level chat tokenizer, and pairs in its tokens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

END = 2  # <|im_end|>
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(autouse=True, scope="session")
def _no_progress_bars() -> None:
    logging.disable_progress_bar()


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({token: i for i, token in enumerate(specials + letters)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(specials)
    # pad == eos == end of turn, as SmolLM2 has it.
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<|endoftext|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    made.chat_template = TEMPLATE
    return made


@pytest.fixture(scope="session")
def policy(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = LlamaConfig(
        vocab_size=259,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=END,
        eos_token_id=END,
        bos_token_id=1,
        tie_word_embeddings=True,
        # Large enough that the last hidden state of a random model depends on what it read.
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    folder = tmp_path_factory.mktemp("policy")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_pairs(tokenizer: Any) -> Callable[..., pa.Table]:
    """Pairs in which the chosen response is in small letters and the rejected one in capitals."""

    def make(count: int, *, first: int = 0, **columns: Any) -> pa.Table:
        prompts = [f"question {i} of many?" for i in range(first, first + count)]
        prompt_ids = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
            )
            for text in prompts
        ]
        chosen = [[*tokenizer(f"calm answer {i % 7}").input_ids, END] for i in range(count)]
        rejected = [[*tokenizer(f"LOUD REPLY {i % 7}!!!").input_ids, END] for i in range(count)]
        table = {
            "pair_id": [f"pair-{i}" for i in range(first, first + count)],
            "prompt_ids": prompt_ids,
            "chosen_ids": chosen,
            "rejected_ids": rejected,
            "chosen_keep": [len(ids) for ids in chosen],
            "rejected_keep": [len(ids) for ids in rejected],
        }
        return pa.table(table | columns)

    return make
