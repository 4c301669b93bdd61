"""Settings of memory, parallelism and weights: an engine does them or refuses them, and ids change where answers do."""

from dataclasses import replace
from typing import get_args

import pytest

from transforms.asking.ledger import Ledger
from transforms.asking.requests import score_id
from transforms.engines import engine_settings
from transforms.engines.engine_settings import Quantization, check_gpus, refuse_settings
from transforms.engines.models import resolve_model
from transforms.engines.protocol import ModelIdentity
from transforms.errors import ConfigError

IDENTITY = ModelIdentity("org/name", "a" * 40, "b" * 64, "bfloat16", "vllm")


def test_vllm_can_do_all_of_them_and_transformers_an_adapter():
    everything = {"tensor_parallel": 2, "gpu_memory_utilization": 0.5, "quantization": "fp8", "lora": "./a"}
    refuse_settings("policy", "vllm", everything)
    refuse_settings("policy", "transformers", {"lora": "./a"})


@pytest.mark.parametrize(
    ("engine", "settings", "message"),
    [
        ("transformers", {"tensor_parallel": 2}, "policy.tensor_parallel: only vLLM can do it, and the engine is tr"),
        ("transformers", {"quantization": "fp8"}, "set policy.engine: vllm, or leave it out"),
        ("server", {"tensor_parallel": 2}, r"the server's to set \(vllm serve MODEL --tensor-parallel-size 2\)"),
        ("server", {"quantization": "fp8"}, r"--quantization fp8.*serve what is quantized under a name of its own"),
        ("server", {"lora": "./a"}, r"--enable-lora --lora-modules NAME=./a.*set policy.model: NAME"),
        ("none", {"lora": "./a"}, "policy.lora: nothing is sampled with policy.engine: none"),
    ],
)
def test_what_an_engine_cannot_do_says_where_it_can_be_set(engine, settings, message):
    with pytest.raises(ConfigError, match=message):
        refuse_settings("policy", engine, settings)


def test_a_machine_without_a_gpu_says_so(tiny_policy, cache, monkeypatch):
    monkeypatch.setattr(engine_settings, "_gpus", lambda: 0)
    model = resolve_model(tiny_policy, engine="vllm")
    check_gpus("policy", model, tensor_parallel=1, gpu_memory_utilization=None)
    with pytest.raises(ConfigError, match=r"there is no GPU here; on a CPU the cache has policy.kv_cache_gib"):
        check_gpus("policy", model, tensor_parallel=1, gpu_memory_utilization=0.5)
    with pytest.raises(ConfigError, match=r"policy.tensor_parallel: 2 GPUs are asked for, and there are 0 here"):
        check_gpus("policy", model, tensor_parallel=2, gpu_memory_utilization=None)


def test_heads_must_be_shared_evenly(tiny_policy, cache, monkeypatch):
    monkeypatch.setattr(engine_settings, "_gpus", lambda: 4)
    model = resolve_model(tiny_policy, engine="vllm")  # of two heads
    check_gpus("policy", model, tensor_parallel=2, gpu_memory_utilization=0.5)
    with pytest.raises(ConfigError, match="tiny-policy has 2 attention heads, which 3 GPUs cannot share; 1, 2 can"):
        check_gpus("policy", model, tensor_parallel=3, gpu_memory_utilization=None)


def test_a_model_without_attention_may_have_a_share_of_a_gpu(tiny_policy, cache, monkeypatch):
    monkeypatch.setattr(engine_settings, "_gpus", lambda: 1)
    monkeypatch.setattr(engine_settings, "attention_heads", lambda *_, **__: pytest.fail("Mamba has none"))
    model = resolve_model(tiny_policy, engine="vllm")
    check_gpus("policy", model, tensor_parallel=1, gpu_memory_utilization=0.5)


def test_ids_of_models_without_the_settings_are_those_of_before(tmp_path):
    # The last id was made by the release before the settings were known.
    assert IDENTITY.facts() == {
        "name": "org/name", "revision": "a" * 40, "fingerprint": "b" * 64, "dtype": "bfloat16", "engine": "vllm",
    }  # fmt: skip
    assert score_id(IDENTITY, [1, 2, 3]) == "054e945cef5aea6791a70ce505464c37"
    Ledger(str(tmp_path), "scores", IDENTITY)
    assert [path.name for path in (tmp_path / "scores").iterdir()] == ["org-name-e23f00abd0708e97"]


def test_quantization_and_adapter_make_other_ids_and_other_folders_of_the_ledger(tmp_path):
    others = [IDENTITY, *(replace(IDENTITY, **change) for change in (
        {"quantization": "fp8"}, {"adapter": "c" * 64}, {"quantization": "fp8", "adapter": "c" * 64},
        {"adapter": "fp8"},
    ))]  # fmt: skip
    assert len({score_id(identity, [1, 2, 3]) for identity in others}) == 5
    for identity in others:
        Ledger(str(tmp_path), "scores", identity)
    assert len(list((tmp_path / "scores").iterdir())) == 5


@pytest.mark.slow
def test_vllm_knows_each_quantization_that_a_recipe_can_name():
    from vllm.model_executor.layers.quantization import DEPRECATED_QUANTIZATION_METHODS, QUANTIZATION_METHODS

    assert set(get_args(Quantization)) <= set(QUANTIZATION_METHODS) - set(DEPRECATED_QUANTIZATION_METHODS)
    assert "bitsandbytes" not in QUANTIZATION_METHODS


@pytest.mark.slow
def test_each_quantization_that_a_recipe_can_name_is_of_dense_layers_too():
    from vllm.config.quantization import _ONLINE_SHORTHANDS

    named = set(get_args(Quantization)) - {"fp8"}  # a checkpoint's format as well, and none of the shorthands
    assert [name for name in sorted(named) if _ONLINE_SHORTHANDS[name].linear is None] == []
    assert _ONLINE_SHORTHANDS["int8_per_channel_weight_only"].linear is None
