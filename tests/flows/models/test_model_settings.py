"""A recipe's settings of models, from its keys to the engine that is opened and to what the manifest says of it."""

import pytest
from flows_support import model_folders, pair, sampling_recipe
from pydantic import ValidationError

from flows.curate.plan import plan_run
from flows.models import recipe_models as models
from flows.models.recipe_models import model_record
from transforms.engines import engine_settings, vllm_completions
from transforms.errors import ConfigError, ModelError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Policy and reward model, and an adapter on the policy as a training with `lora.merge: false` saves it."""
    import torch

    from trainers.steps.settings import Adapter
    from trainers.steps.trained_model import save_policy, trainable
    from transforms.engines.causal_model import load_causal
    from transforms.engines.models import resolve_model
    from transforms.engines.tokenizer import load_tokenizer

    folder = tmp_path_factory.mktemp("models")
    policy, reward = model_folders(folder)
    loaded = load_causal(resolve_model(policy, engine="transformers", dtype="float32"), trust_remote_code=False)
    model = trainable(loaded, adapter=Adapter(rank=2), seed=0)
    save_policy(model, load_tokenizer(policy), folder / "adapter", dtype=torch.float32, merge=False)
    return policy, reward, folder / "adapter"


def recipe(tmp_path, trained, **changes):
    made = sampling_recipe(tmp_path, trained[:2], [pair(0)])
    return type(made).model_validate(
        made.model_dump() | {key: made.model_dump()[key] | change for key, change in changes.items()}
    )


def test_an_adapter_of_a_recipe_is_in_the_manifest_and_nothing_else_changes(tmp_path, trained):
    plain = models.resolve_policy(recipe(tmp_path, trained).policy)
    found = models.resolve_policy(recipe(tmp_path, trained, policy={"lora": str(trained[2])}).policy)
    records = [model_record(one.identity).model_dump() for one in (plain, found)]
    assert [key for key in records[0] if records[0][key] != records[1][key]] == ["adapter"]
    assert records[0]["adapter"] is None
    assert len(records[1]["adapter"]) == 64


def test_an_adapter_of_another_base_ends_before_a_model_is_opened(tmp_path, trained, monkeypatch):
    other, _ = model_folders(tmp_path, width=32)
    monkeypatch.setattr(models, "open_policy", lambda *_: pytest.fail("a model was opened"))
    wrong = recipe(tmp_path, trained, policy={"model": str(other), "lora": str(trained[2])})
    with pytest.raises(ModelError, match=r"Set policy.model to the adapter's base"):
        plan_run(wrong)


@pytest.mark.parametrize(
    ("policy", "reward", "fits"),
    [(0.5, 0.5, True), (0.6, 0.5, False), (None, 0.05, True), (0.1, None, False), (None, None, True)],
)
def test_shares_of_a_gpu_that_are_loaded_together_are_one_in_all(tmp_path, trained, policy, reward, fits):
    def made(**keys):
        shares = {"policy": policy, "reward": reward}
        engines = {
            role: {"engine": "vllm", "dtype": "bfloat16", "gpu_memory_utilization": share}
            for role, share in shares.items()
        }
        return recipe(tmp_path, trained, **engines, **keys)

    made()  # by turns
    if fits:
        made(consistency={"keep_loaded": True})
        return
    with pytest.raises(ValidationError, match=r"keep_loaded: policy and reward model would have 1\.\d\d of a GPU's"):
        made(consistency={"keep_loaded": True})


def test_vllm_gets_what_the_recipe_says(tmp_path, trained, monkeypatch):
    monkeypatch.setattr(engine_settings, "_gpus", lambda: 2)
    seen = {}
    monkeypatch.setattr(vllm_completions, "VllmProcess", lambda model, **options: seen.update(options, model=model))
    settings = {
        "engine": "vllm", "dtype": "bfloat16", "tensor_parallel": 2, "gpu_memory_utilization": 0.5,
        "quantization": "fp8", "lora": str(trained[2]),
    }  # fmt: skip
    told = recipe(tmp_path, trained, policy=settings)
    models.open_policy(models.resolve_policy(told.policy), told, 128)
    assert (seen["tensor_parallel"], seen["gpu_memory_utilization"]) == (2, 0.5)
    assert seen["model"].identity.quantization == "fp8"
    assert seen["model"].adapter == (str(trained[2].resolve()), 2)


def test_gpus_that_are_not_there_end_the_run_at_its_start(tmp_path, trained, monkeypatch):
    monkeypatch.setattr(engine_settings, "_gpus", lambda: 0)
    with pytest.raises(ConfigError, match=r"policy.tensor_parallel: 2 GPUs are asked for, and there are 0 here"):
        models.resolve_policy(recipe(tmp_path, trained, policy={"engine": "vllm", "tensor_parallel": 2}).policy)
    with pytest.raises(ConfigError, match=r"reward.gpu_memory_utilization: there is no GPU here"):
        models.resolve_reward(
            recipe(tmp_path, trained, reward={"engine": "vllm", "gpu_memory_utilization": 0.5}).reward
        )


def test_a_run_of_an_adapter_gives_decoding_no_reference_by_itself(tmp_path, trained):
    from flows.decode.config import DecodeConfig
    from flows.decode.plan import _reference

    config = DecodeConfig(run="runs/x", policy="./p", out="out")
    with pytest.raises(ConfigError, match=r"with the adapter .*, and decoding reads whole models: name --reference"):
        _reference(config, recipe(tmp_path, trained, policy={"lora": str(trained[2])}))
