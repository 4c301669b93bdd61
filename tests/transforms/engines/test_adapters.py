"""LoRA adapters: those of our own trainings work in both engines; what does not fit is refused before it is loaded."""

import json
import shutil
from dataclasses import asdict

import pytest

from trainers.steps.settings import Adapter
from trainers.steps.trained_model import save_policy, trainable
from transforms.engines import adapters
from transforms.engines.adapters import with_adapter
from transforms.engines.causal_model import load_causal
from transforms.engines.models import resolve_model
from transforms.engines.protocol import CompletionRequest, PositionRequest, Sampling
from transforms.engines.tokenizer import load_tokenizer
from transforms.errors import ModelError

GREEDY = Sampling(0.0, 1.0, ())
PROMPTS = ([5, 6, 7], [8] * 50, [9])


def requests():
    return [CompletionRequest(f"r{i}", ids, 0, 0, 24) for i, ids in enumerate(PROMPTS)]


@pytest.fixture(scope="session")
def trained(tiny_policy, tmp_path_factory):
    """What `flows.train` saves with `lora.merge: false`, and the same merged, on the tiny policy."""
    import torch

    folder = tmp_path_factory.mktemp("trained")
    start = resolve_model(tiny_policy, engine="transformers", dtype="float32")
    for name, merge in (("adapter", False), ("merged", True)):
        model = trainable(load_causal(start, trust_remote_code=False), adapter=Adapter(rank=6), seed=0)
        torch.manual_seed(1)
        for key, parameter in model.named_parameters():
            if "lora_B" in key:  # zeros until a step is made
                torch.nn.init.normal_(parameter, std=0.1)
        tokenizer = load_tokenizer(str(tiny_policy))
        save_policy(model, tokenizer, folder / name, dtype=torch.float32, merge=merge)
    return folder


@pytest.fixture
def adapter(trained, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(trained / "adapter", tmp_path / "adapter")


@pytest.fixture
def base(tiny_policy, cache):
    return resolve_model(tiny_policy, engine="transformers", dtype="float32")


def change(folder, **keys):
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | keys))


def change_tensors(folder, rename=lambda name: name, extra=None):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({rename(k): v for k, v in tensors.items()} | (extra or {}), folder / "adapter_model.safetensors")


def test_an_adapter_is_in_the_identity_by_content_and_its_base_stays_in_it(base, adapter, tmp_path):
    found = with_adapter(base, str(adapter))
    assert found.adapter.rank == 6
    assert {k: v for k, v in asdict(found.identity).items() if k != "adapter"} == {
        k: v for k, v in asdict(base.identity).items() if k != "adapter"
    }
    moved = with_adapter(base, str(shutil.copytree(adapter, tmp_path / "elsewhere"))).identity
    assert moved == found.identity
    change(adapter, lora_alpha=99)
    assert with_adapter(base, str(adapter)).identity.adapter != found.identity.adapter


def test_transformers_answers_with_an_adapter_as_with_the_merged_model(base, trained, cache):
    from transforms.engines.transformers_completions import TransformersCompletions

    merged = resolve_model(trained / "merged", engine="transformers", dtype="float32")
    plain, adapted, whole = (
        [answer.token_ids for answer in TransformersCompletions(model).complete(requests(), GREEDY)]
        for model in (base, with_adapter(base, str(trained / "adapter")), merged)
    )
    assert adapted == whole
    assert adapted != plain


def test_positions_are_read_with_the_adapter_too(base, trained, cache):
    import numpy as np

    from transforms.engines.transformers_positions import TransformersPositions

    asked = [PositionRequest("r", [5, 6, 7], [8, 9, 10])]
    merged = resolve_model(trained / "merged", engine="transformers", dtype="float32")
    plain, adapted, whole = (
        TransformersPositions(model).positions(asked)[0].log_prob
        for model in (base, with_adapter(base, str(trained / "adapter")), merged)
    )
    np.testing.assert_allclose(adapted, whole, atol=1e-4)
    assert np.abs(adapted - plain).max() > 0.01


@pytest.mark.slow
def test_vllm_answers_with_an_adapter_as_transformers_does(base, trained, tiny_policy, cache):
    from transforms.engines.transformers_completions import TransformersCompletions
    from transforms.engines.vllm_completions import VllmCompletions

    expected = TransformersCompletions(with_adapter(base, str(trained / "adapter"))).complete(requests(), GREEDY)
    here = resolve_model(tiny_policy, engine="vllm", dtype="float32")
    engine = VllmCompletions(with_adapter(here, str(trained / "adapter")), kv_cache_gib=1 / 16)
    assert [a.token_ids for a in engine.complete(requests(), GREEDY)] == [a.token_ids for a in expected]
    engine.close()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"peft_type": "IA3"}, "is of peft_type 'IA3', expected 'LORA'"),
        ({"task_type": "SEQ_CLS"}, "is of task_type 'SEQ_CLS', expected 'CAUSAL_LM': it is no policy's"),
        ({"use_dora": True}, "has use_dora, expected plain LoRA. Merge it into its base"),
        ({"init_lora_weights": "pissa"}, "has init_lora_weights: pissa, expected plain LoRA"),
        ({"bias": "all"}, "has bias, expected plain LoRA"),
        ({"modules_to_save": ["lm_head"]}, r"has whole modules beside LoRA \(modules_to_save: lm_head\). Merge it"),
        ({"base_model_name_or_path": None}, r"names no base \(base_model_name_or_path\)"),
        ({"r": 1024}, "has rank 1024, and vLLM takes up to 512"),
        ({"rank_pattern": {"q_proj": 600}}, "has rank 600, and vLLM takes up to 512"),
        ({"r": 4}, "has matrices of rank 6, but adapter_config.json says 4"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_adapter_that_is_no_plain_lora_is_refused_with_the_reason(base, adapter, keys, message):
    change(adapter, **keys)
    with pytest.raises(ModelError, match=message):
        with_adapter(base, str(adapter))


def test_new_embeddings_are_refused(base, adapter):
    import torch

    change_tensors(adapter, extra={"base_model.model.model.embed_tokens.weight": torch.zeros(3, 64)})
    with pytest.raises(ModelError, match=r"has base_model.model.model.embed_tokens.weight, expected LoRA's matrices"):
        with_adapter(base, str(adapter))


def test_new_tokens_are_refused(base, adapter):
    tokenizer = load_tokenizer(str(adapter))
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(adapter)
    with pytest.raises(ModelError, match=r"has another vocabulary .* for one '<new>': it needs embeddings"):
        with_adapter(base, str(adapter))


def test_another_chat_template_is_refused_unless_the_recipe_names_one(base, adapter):
    tokenizer = load_tokenizer(str(adapter))
    tokenizer.chat_template = "{{ messages }}" + tokenizer.chat_template
    tokenizer.save_pretrained(adapter)
    with pytest.raises(ModelError, match=r"another chat template than its base .*: set policy.chat_template"):
        with_adapter(base, str(adapter))
    assert with_adapter(base, str(adapter), template_given=True).adapter.rank == 6


def test_an_adapter_for_another_base_is_refused_by_shape(adapter, save_tiny, tmp_path, cache):
    from transformers import LlamaForCausalLM

    narrower = save_tiny(LlamaForCausalLM, tmp_path / "narrower", head_dim=16)
    with pytest.raises(
        ModelError, match=r"which has other layers than narrower: .*k_proj is 32 × 64 in the adapter and 16 × 64 here"
    ):
        with_adapter(resolve_model(narrower, engine="transformers"), str(adapter))


def test_an_adapter_for_a_deeper_base_is_refused_by_name(base, adapter):
    change_tensors(adapter, rename=lambda name: name.replace("layers.1.", "layers.7."))
    with pytest.raises(ModelError, match=r"it adapts model.layers.7.\S+, which is not there. Set policy.model to"):
        with_adapter(base, str(adapter))


def test_names_on_the_hub_tell_bases_apart(base, adapter):
    hub = base._replace(location="org/base", revision="0" * 40)
    change(adapter, base_model_name_or_path="org/other")
    with pytest.raises(ModelError, match=r"was trained on org/other, but policy.model is tiny-policy"):
        with_adapter(hub, str(adapter))


def test_a_folder_without_an_adapter_says_what_is_in_it(base, tiny_policy, tmp_path):
    with pytest.raises(ModelError, match=r"holds .*config.json.*. Expected adapter_config.json and adapter_model.saf"):
        with_adapter(base, str(tiny_policy))
    with pytest.raises(ModelError, match="does not exist"):
        with_adapter(base, str(tmp_path / "no-such"))
    with pytest.raises(ModelError, match="is a folder, so revision 'main' means nothing"):
        with_adapter(base, str(tmp_path), "main")


def test_a_policy_that_is_an_adapter_alone_says_what_to_set(trained, cache):
    with pytest.raises(ModelError, match=r"It is a LoRA adapter: set policy.lora: .*adapter, and policy.model to what"):
        resolve_model(trained / "adapter", engine="transformers")


def test_matrices_that_peft_would_leave_out_are_an_error(base, adapter, monkeypatch):
    # On a Hub model there are no headers to look at before it is loaded.
    change_tensors(adapter, rename=lambda name: name.replace("layers.1.", "layers.7."))
    monkeypatch.setattr(adapters, "_check_base", lambda *_: None)
    with pytest.raises(ModelError, match=r"does not fit tiny-policy: .* is in one of them"):
        load_causal(with_adapter(base, str(adapter)), trust_remote_code=False)
