"""Tiny models and a run, made once for all tests that decode; what is heavy is imported by whoever asks for it."""

import pytest


@pytest.fixture(scope="package")
def models(tmp_path_factory):
    """A policy, which is the reference here, and a reward model."""
    from flows_support import model_folders

    return model_folders(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="package")
def trained(models):
    """The reference with other numbers in its head."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(models[0])
    torch.manual_seed(7)
    with torch.no_grad():
        model.lm_head.weight.add_(0.3 * torch.randn_like(model.lm_head.weight))
    folder = models[0].parent / "trained"
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(models[0]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="package")
def run(tmp_path_factory, models):
    """A curated run, nearly all of whose prompts are in its test split."""
    from decoding_runs import curated

    return curated(tmp_path_factory.mktemp("run"), models)
