"""A policy made of two, as a recipe names it."""

import json

import pytest
from tests_support import tiny_tokenizer

from flows.models.interpolated_policy import interpolated_policy
from flows.recipe.interpolation import InterpolateConfig
from transforms.engines.models import folder_fingerprint
from transforms.errors import ModelError


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two tiny models with weights that add up by hand: 2 everywhere, and 4."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    monkeypatch.setenv("PREFERENCE_CURATION_CACHE", str(tmp_path / "cache"))
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=320, **shape))
    for name, value in (("instruct", 2.0), ("base", 4.0)):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(value)
        model.save_pretrained(tmp_path / name)
        tiny_tokenizer().save_pretrained(tmp_path / name)
    return tmp_path


def policy(folders, **options):
    config = InterpolateConfig(a=str(folders / "instruct"), b=str(folders / "base"), weight=1.5)
    return interpolated_policy(config, engine="transformers", **options)


def test_it_is_identified_by_its_content_and_named_by_what_it_is_made_of(folders):
    from safetensors.torch import load_file

    model = policy(folders, dtype="float32")
    assert model.identity.name == "interpolation of instruct and base at 1.5"
    assert model.identity.fingerprint == folder_fingerprint(folders / model.location)
    assert (model.identity.revision, model.identity.dtype, model.revision) == ("local", "float32", None)
    tensors = load_file(f"{model.location}/model.safetensors").values()
    assert {value for tensor in tensors for value in tensor.unique().tolist()} == {1.0}  # 1.5 · 2 − 0.5 · 4


def test_made_again_it_is_the_same_model_and_in_another_dtype_another_identity(folders):
    assert policy(folders) == policy(folders)
    assert policy(folders, dtype="float32").identity != policy(folders).identity
    assert policy(folders, dtype="float32").location == policy(folders).location


def test_an_adapters_folder_is_refused_with_the_advice_to_merge(folders):
    (folders / "base" / "config.json").unlink()
    (folders / "base" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(ModelError, match=r"base is a LoRA adapter.* Merge it into its base first \(lora\.merge: true"):
        policy(folders)


def test_a_revision_of_a_folder_is_an_error(folders):
    config = InterpolateConfig(a=str(folders / "instruct"), b=str(folders / "base"), weight=1.5, b_revision="main")
    with pytest.raises(ModelError, match="base is a folder, so revision 'main' means nothing"):
        interpolated_policy(config, engine="transformers")
