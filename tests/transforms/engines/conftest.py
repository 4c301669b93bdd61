"""Tiny checkpoints with random weights, made on the spot, in the layout of real ones."""

import pytest
from tests_support import tiny_tokenizer

SHAPE = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    # The trap: the end of turn, which every finished conversation ends in, is also the padding.
    "pad_token_id": 2,
    # Wide enough that logits differ clearly between tokens.
    "initializer_range": 0.2,
}


def _save(kind, folder, **options):
    import torch
    from transformers import LlamaConfig

    torch.manual_seed(0)
    model = kind(LlamaConfig(**SHAPE, **options))
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory):
    from transformers import LlamaForCausalLM

    return _save(LlamaForCausalLM, tmp_path_factory.mktemp("models") / "tiny-policy")


@pytest.fixture(scope="session")
def tiny_reward(tmp_path_factory):
    from transformers import LlamaForSequenceClassification

    return _save(LlamaForSequenceClassification, tmp_path_factory.mktemp("models") / "tiny-reward", num_labels=1)


@pytest.fixture(scope="session")
def save_tiny():
    return _save


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache directory of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PREFERENCE_CURATION_CACHE", str(folder))
    return folder
