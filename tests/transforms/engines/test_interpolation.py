"""Interpolated models: exact sums of parameters, made once, and everything refused that is no sum of two trainings."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.engines import interpolation
from transforms.engines.interpolation import interpolate, interpolated_model
from transforms.engines.models import Adapter, folder_fingerprint, resolve_model
from transforms.errors import ModelError, OutputError

EMBEDDING = "model.embed_tokens.weight"
NORM = "model.norm.weight"
DOWN = "model.layers.0.mlp.down_proj.weight"


def tensors_of(folder):
    from safetensors.torch import load_file

    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def save_tensors(folder, tensors):
    from safetensors.torch import save_file

    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def change_json(folder, name="config.json", drop=(), **keys):
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({k: v for k, v in content.items() if k not in drop} | keys))


def found(folder):
    return resolve_model(folder, engine="transformers")


def made(a, b, weight=1.1):
    return interpolated_model(found(a), found(b), weight)


def bits(tensor):
    import torch

    return tensor.reshape(-1).view(torch.uint8).tolist()


@pytest.fixture(scope="session")
def models(save_tiny, tmp_path_factory):
    """Two trainings of one tiny model, in bfloat16."""
    import torch
    from transformers import LlamaForCausalLM

    folder = tmp_path_factory.mktemp("lines")
    save_tiny(LlamaForCausalLM, folder / "instruct")
    shutil.copytree(folder / "instruct", folder / "base")
    generator = torch.Generator().manual_seed(7)
    start = tensors_of(folder / "instruct")
    for name in ("instruct", "base"):
        moved = {k: (v + 0.05 * torch.randn(v.shape, generator=generator)).bfloat16() for k, v in start.items()}
        save_tensors(folder / name, moved)
        change_json(folder / name, dtype="bfloat16")
    return folder


@pytest.fixture
def a(models, tmp_path, cache):
    """A copy to spoil."""
    return shutil.copytree(models / "instruct", tmp_path / "instruct")


@pytest.fixture
def b(models, tmp_path, cache):
    return shutil.copytree(models / "base", tmp_path / "base")


def test_a_sum_worked_by_hand():
    import torch

    a, b = torch.tensor([1.0, 2.0, -4.0, 0.5]), torch.tensor([3.0, -2.0, 4.0, 0.5])
    # 1.5·a − 0.5·b and 0.25·a + 0.75·b, all of them exact in float32
    assert interpolate(a, b, 1.5).tolist() == [0.0, 4.0, -8.0, 0.5]
    assert interpolate(a, b, 0.25).tolist() == [2.5, -1.0, 2.0, 0.5]
    # Not clamped and not normalised: −1·a + 2·b
    assert interpolate(a, b, -1).tolist() == [5.0, -6.0, 12.0, 0.5]


@given(
    st.lists(st.tuples(*[st.floats(-1e4, 1e4, width=32)] * 2), min_size=1, max_size=40),
    st.floats(-3, 3).filter(lambda weight: weight not in (0, 1)),
)
def test_every_product_and_the_sum_are_rounded_to_float32(pairs, weight):
    import torch

    a, b = (np.array(side, np.float32) for side in zip(*pairs, strict=True))
    expected = np.float32(weight) * a + np.float32(1 - weight) * b
    assert interpolate(torch.from_numpy(a), torch.from_numpy(b), weight).numpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize("weight", [0.9, 1.1, -0.1, 0.5])
def test_the_saved_tensors_are_the_sum_in_float32_rounded_once_to_the_bit(a, b, weight):
    ours, theirs = tensors_of(a), tensors_of(b)
    result = made(a, b, weight)
    saved = tensors_of(result.folder)
    assert saved.keys() == ours.keys()
    for name, tensor in saved.items():
        summed = ours[name].float() * weight + theirs[name].float() * (1 - weight)
        assert bits(tensor) == bits(summed.bfloat16()), name
    assert result.name == f"interpolation of instruct and base at {weight}"


@pytest.mark.parametrize(("weight", "side"), [(1, "a"), (0, "b"), (-0.0, "b")])
def test_weights_1_and_0_are_the_models_themselves_to_the_bit(a, b, weight, side):
    import torch

    # 1·(−0) + 0·x is +0 in arithmetic.
    for folder in (a, b):
        save_tensors(folder, tensors_of(folder) | {NORM: torch.full([64], -0.0, dtype=torch.bfloat16)})
    change = tensors_of(a)
    change[DOWN] = change[DOWN] * 2
    save_tensors(a, change)
    wanted = tensors_of({"a": a, "b": b}[side])
    saved = tensors_of(made(a, b, weight).folder)
    assert {name: bits(tensor) for name, tensor in saved.items()} == {k: bits(v) for k, v in wanted.items()}


def test_transformers_loads_the_folder_and_answers_as_the_model_merged_by_hand(a, b, tmp_path):
    from transforms.engines.protocol import CompletionRequest, Sampling
    from transforms.engines.transformers_completions import TransformersCompletions

    by_hand = shutil.copytree(a, tmp_path / "by-hand")
    ours, theirs = tensors_of(a), tensors_of(b)
    save_tensors(by_hand, {k: (ours[k].float() * 1.1 + theirs[k].float() * (1 - 1.1)).bfloat16() for k in ours})
    asked = [CompletionRequest(f"r{at}", [5 + at, 6, 7], 0, 0, 16) for at in range(3)]
    here, there, start = (
        [c.token_ids for c in TransformersCompletions(found(folder)).complete(asked, Sampling(0.0, 1.0, ()))]
        for folder in (made(a, b).folder, by_hand, a)
    )
    assert here == there
    assert here != start


def test_shards_are_read_by_their_index_part_by_part_and_give_the_same_tensors(a, b, monkeypatch):
    import torch
    from transformers import AutoModelForCausalLM

    whole = tensors_of(made(a, b).folder)
    model = AutoModelForCausalLM.from_pretrained(a, dtype=torch.bfloat16)
    (a / "model.safetensors").unlink()
    model.save_pretrained(a, max_shard_size="40KB")
    assert len(list(a.glob("*.safetensors"))) > 2
    shutil.copy(
        b / "model.safetensors", a / "consolidated.safetensors"
    )  # Mistral's own form, which the index leaves out
    monkeypatch.setattr(interpolation, "_PART", 200)  # three rows of 64
    folder = made(a, b).folder
    assert [file.name for file in folder.glob("*.safetensors*")] == ["model.safetensors"]
    assert {k: bits(v) for k, v in tensors_of(folder).items()} == {k: bits(v) for k, v in whole.items()}


def test_an_index_that_names_a_tensor_that_is_nowhere_is_refused(a, b):
    (a / "model.safetensors").rename(a / "model-00001-of-00001.safetensors")
    names = dict.fromkeys([*tensors_of(a), "model.layers.9.up"], "model-00001-of-00001.safetensors")
    (a / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(ModelError, match=r"names tensors that are not in its files: model\.layers\.9\.up"):
        made(a, b)


def test_what_it_is_made_of_stands_beside_it_and_its_config_is_as(a, b):
    result = made(a, b)
    record = json.loads((result.folder / "interpolation.json").read_text())
    assert record["a"] == {"name": "instruct", "revision": "local", "fingerprint": folder_fingerprint(a)}
    assert record["b"]["fingerprint"] == folder_fingerprint(b)
    assert (record["weight"], record["config_tokenizer_and_template_of"]) == (1.1, "a")
    assert (record["stored_as"], record["tensors"]) == ("bfloat16", len(tensors_of(a)))
    assert record["bytes"] == sum(t.numel() * 2 for t in tensors_of(a).values())
    assert str(a.parent) not in json.dumps(record)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"):
        assert (result.folder / name).read_bytes() == (a / name).read_bytes()
    assert json.loads((result.folder / "config.json").read_text()) == json.loads((a / "config.json").read_text())


def test_a_second_call_makes_nothing_and_finds_the_same_folder(a, b, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    first = made(a, b)
    assert f"making {first.name}: {len(tensors_of(a))} tensors, 0.2 MB, in" in caplog.text
    monkeypatch.setattr(interpolation, "make_folder", None)
    monkeypatch.setattr(interpolation, "_read", None)
    assert made(a, b) == first


def test_other_weights_and_other_contents_are_other_folders(a, b):
    folders = {made(a, b).folder, made(a, b, 0.9).folder, made(b, a).folder}
    save_tensors(b, {k: v * 2 for k, v in tensors_of(b).items()})
    assert len({*folders, made(a, b).folder}) == 4


def test_a_renamed_folder_is_found_under_its_new_name(a, b, tmp_path):
    first = made(a, b)
    second = made(a.rename(tmp_path / "sft\n"), b)
    assert second.folder == first.folder
    assert second.name == "interpolation of sft? and base at 1.1"


def test_a_killed_process_leaves_nothing_that_looks_like_a_model(a, b, cache, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(interpolation, "_write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        made(a, b)
    assert list((cache / "models").iterdir()) == []


def test_whoever_is_second_takes_the_folder_of_the_first(a, b, cache, monkeypatch):
    other = []

    def race(*arguments):
        if not other:  # another one makes the whole folder while the first is about to write
            other.append(None)
            other[0] = made(a, b).folder
        write(*arguments)

    write = interpolation._write_weights
    monkeypatch.setattr(interpolation, "_write_weights", race)
    assert made(a, b).folder == other[0]
    assert [path.name for path in (cache / "models").iterdir()] == [other[0].name]
    assert tensors_of(other[0]).keys() == tensors_of(a).keys()


def test_a_full_disk_is_said_before_anything_is_written(a, b, cache, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(interpolation.shutil, "disk_usage", lambda _: usage(10, 9, 100_000))
    with pytest.raises(OutputError, match=r"takes 0\.2 MB, and .*models has 0\.1 MB free\. Free the space or set"):
        made(a, b)
    assert list((cache / "models").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_an_output_error(a, b, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PREFERENCE_CURATION_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot write interpolation of instruct and base at 1\.1 to "):
        made(a, b)


@pytest.mark.parametrize("types", [("float32", "float32"), ("bfloat16", "float32"), ("float16", "bfloat16")])
def test_what_two_types_hold_is_stored_in_float32_and_what_one_holds_in_that(a, b, types):
    import torch

    for folder, dtype in zip((a, b), types, strict=True):
        save_tensors(folder, {k: v.to(getattr(torch, dtype)) for k, v in tensors_of(folder).items()})
    folder = made(a, b).folder
    ours, theirs = tensors_of(a)[DOWN], tensors_of(b)[DOWN]
    assert bits(tensors_of(folder)[DOWN]) == bits(ours.float() * 1.1 + theirs.float() * (1 - 1.1))
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float32"


def test_float16_stays_float16_until_it_overflows(a, b):
    import torch

    for folder in (a, b):
        save_tensors(folder, {k: v.half() for k, v in tensors_of(folder).items()})
    assert {t.dtype for t in tensors_of(made(a, b).folder).values()} == {torch.float16}
    large = torch.full([64], 60_000.0, dtype=torch.float16)
    for folder, tensor in ((a, large), (b, -large)):
        save_tensors(folder, tensors_of(folder) | {NORM: tensor})
    message = rf"{NORM} would hold values that are not finite in float16 at weight 1\.1: its largest are 60000 in a and"
    with pytest.raises(ModelError, match=message):
        made(a, b)


def test_a_broken_checkpoint_is_named_with_its_tensor(a, b, cache):
    import torch

    save_tensors(b, tensors_of(b) | {NORM: torch.full([64], torch.nan, dtype=torch.bfloat16)})
    for weight in (1.1, 0):
        with pytest.raises(ModelError, match=rf"{NORM} of b \(base\) holds values that are not finite: .* broken"):
            made(a, b, weight)
    assert list((cache / "models").iterdir()) == []


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused(a, b, weight):
    with pytest.raises(ModelError, match=rf"the weight of an interpolation is {weight}, expected a finite number"):
        made(a, b, weight)


def test_a_weight_beyond_float32_is_refused_by_what_it_makes(a, b):
    with pytest.raises(ModelError, match=r"would hold values that are not finite in bfloat16 at weight 1e\+300"):
        made(a, b, 1e300)


def test_a_model_and_its_copy_are_refused(a, tmp_path):
    with pytest.raises(ModelError, match="instruct and copy are the same model: nothing lies between them"):
        made(a, shutil.copytree(a, tmp_path / "copy"))


def test_tensors_of_one_side_are_named_five_a_side(a, b):
    tensors = tensors_of(b)
    save_tensors(b, {k: v for k, v in tensors.items() if "layers.1." not in k} | {"extra": tensors[NORM].clone()})
    message = (
        r"only in a \(instruct\): model\.layers\.1\.input_layernorm\.weight, (\S+, ){3}\S+ …; only in b \(base\): "
        r"extra\. Expected two trainings of one model"
    )
    with pytest.raises(ModelError, match=message):
        made(a, b)


def test_other_shapes_are_refused_with_both(a, b):
    import torch

    tensors = tensors_of(b)
    save_tensors(b, tensors | {EMBEDDING: torch.cat([tensors[EMBEDDING], tensors[EMBEDDING][:8]])})
    message = rf"{EMBEDDING} is 320 × 64 in a \(instruct\) and 328 × 64 in b \(base\): .* padded differently\?"
    with pytest.raises(ModelError, match=message):
        made(a, b)


def test_configs_that_compute_something_else_are_refused_with_the_keys(a, b):
    change_json(b, rms_norm_eps=1e-5, num_attention_heads=4, head_dim=32, vocab_size=328)
    message = (
        r"do not compute the same.*: num_attention_heads is 2 in a and 4 in b; rms_norm_eps is 1e-06 in a and 1e-05 in "
        r"b; vocab_size is 320 in a and 328 in b \(vocabularies that are padded differently\?\)"
    )
    with pytest.raises(ModelError, match=message):
        made(a, b)


def test_another_rotation_is_refused(a, b):
    change_json(b, rope_parameters={"rope_type": "default", "rope_theta": 500000.0})
    with pytest.raises(ModelError, match=r"rope_parameters\.rope_theta is 10000\.0 in a and 500000\.0 in b"):
        made(a, b)


def test_another_architecture_is_refused(a, b):
    change_json(b, architectures=["MistralForCausalLM"], model_type="mistral")
    with pytest.raises(
        ModelError, match=r"architectures is \['LlamaForCausalLM'\] in a and \['MistralForCausalLM'\] in"
    ):
        made(a, b)


def test_a_key_that_says_the_default_is_the_key_left_out_and_notes_of_tools_say_nothing(a, b):
    change_json(
        b, drop=["attention_bias", "rms_norm_eps"], unsloth_version="1", _name_or_path="/home/me", use_cache=False
    )
    assert "_name_or_path" not in json.loads((made(a, b).folder / "config.json").read_text())


def test_the_shorter_context_is_kept_where_the_rotation_does_not_ask_for_it(a, b):
    change_json(b, max_position_embeddings=256)
    assert json.loads((made(a, b).folder / "config.json").read_text())["max_position_embeddings"] == 256
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    for folder in (a, b):
        change_json(folder, rope_parameters=rope)
    with pytest.raises(ModelError, match="max_position_embeddings is 512 in a and 256 in b"):
        made(a, b)


def test_a_tied_and_an_untied_model_are_refused(a, b):
    change_json(a, tie_word_embeddings=True)
    with pytest.raises(ModelError, match=r"a \(instruct\) ties its embeddings and b \(base\) does not"):
        made(a, b)


def test_a_tied_head_that_is_written_out_is_left_out_and_one_that_differs_is_refused(a, b):
    for folder in (a, b):
        change_json(folder, tie_word_embeddings=True)
        tensors = tensors_of(folder)
        del tensors["lm_head.weight"]
        save_tensors(folder, tensors)
    tied = tensors_of(made(a, b).folder)
    save_tensors(a, tensors_of(a) | {"lm_head.weight": tensors_of(a)[EMBEDDING].clone()})
    written_out = tensors_of(made(a, b).folder)
    assert {k: bits(v) for k, v in written_out.items()} == {k: bits(v) for k, v in tied.items()}
    save_tensors(a, tensors_of(a) | {"lm_head.weight": tensors_of(a)[EMBEDDING] * 2})
    with pytest.raises(ModelError, match=rf"a \(instruct\) ties .*, but its lm_head.weight is not its {EMBEDDING}"):
        made(a, b)


def test_what_is_no_parameter_must_be_equal_and_stays_as_it_is(a, b):
    import torch

    counts, rotation = {"steps": torch.tensor([3, 4])}, {"model.layers.0.rotary_emb.inv_freq": torch.tensor([1.0, 0.1])}
    for folder in (a, b):
        save_tensors(folder, tensors_of(folder) | counts | rotation)
    saved = tensors_of(made(a, b).folder)
    assert saved["steps"].tolist() == [3, 4]
    assert bits(saved["model.layers.0.rotary_emb.inv_freq"]) == bits(torch.tensor([1.0, 0.1]))
    for name, value in (("steps", torch.tensor([3, 5])), (next(iter(rotation)), torch.tensor([1.0, 0.2]))):
        save_tensors(b, tensors_of(a) | {name: value})
        with pytest.raises(ModelError, match=rf"{name} is no parameter, and differs between a \(instruct\) and b"):
            made(a, b)


def test_a_rotation_that_one_side_wrote_out_is_left_out(a, b):
    import torch

    save_tensors(b, tensors_of(b) | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16)})
    assert tensors_of(made(a, b).folder).keys() == tensors_of(a).keys()


def test_quantized_checkpoints_are_refused(a, b):
    change_json(b, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(ModelError, match=r"b \(base\) is quantized \(quantization_config\).*name the checkpoint that"):
        made(a, b)


def test_weights_of_eight_bits_are_refused_where_no_config_says_it(a, b):
    import torch

    save_tensors(b, tensors_of(b) | {DOWN: tensors_of(b)[DOWN].to(torch.float8_e4m3fn)})
    with pytest.raises(ModelError, match=rf"{DOWN} is BF16 in a \(instruct\) and F8_E4M3 in b \(base\)\. Expected par"):
        made(a, b)


def test_adapters_are_refused_with_the_advice_to_merge(a, b):
    adapted = found(b)._replace(adapter=Adapter("x", 8))
    with pytest.raises(ModelError, match=r"base is a LoRA adapter, or a model with one.*Merge it into its base first"):
        interpolated_model(found(a), adapted, 1.1)
    (b / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="Merge it into its base first"):
        made(a, b)


def test_a_renamed_token_is_refused_with_both_names(a, b):
    text = (b / "tokenizer.json").read_text()
    (b / "tokenizer.json").write_text(text.replace("<|im_start|>", "<|reserved|>"))
    message = r"differ in 1 ids: id 1 is '<\|im_start\|>' in a and '<\|reserved\|>' in b\. .* save both models with one"
    with pytest.raises(ModelError, match=message):
        made(a, b)


def test_an_added_token_is_refused(a, b):
    from transforms.engines.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(b)
    tokenizer.add_tokens(["<tool>"])
    tokenizer.save_pretrained(b)
    with pytest.raises(ModelError, match=r"id \d+ is no token in a and '<tool>' in b"):
        made(a, b)


def test_another_way_to_split_text_is_refused(a, b):
    content = json.loads((b / "tokenizer.json").read_text())
    content["model"]["merges"].reverse()
    content["normalizer"] = {"type": "NFC"}
    (b / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="have one vocabulary and differ in merges, normalizer: one text is other ids"):
        made(a, b)


def test_tokenizer_template_and_ends_are_of_the_side_that_has_a_template(a, b, caplog):
    (a / "chat_template.jinja").unlink()
    change_json(a, "generation_config.json", eos_token_id=0)
    folder = made(a, b).folder
    assert (folder / "chat_template.jinja").read_bytes() == (b / "chat_template.jinja").read_bytes()
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == 2
    assert json.loads((folder / "interpolation.json").read_text())["config_tokenizer_and_template_of"] == "b"
    assert "two chat templates" not in caplog.text


def test_of_two_templates_as_is_taken_and_it_is_said(a, b, caplog):
    (b / "chat_template.jinja").write_text("{{ messages }}")
    folder = made(a, b).folder
    assert (folder / "chat_template.jinja").read_bytes() == (a / "chat_template.jinja").read_bytes()
    assert "a (instruct) and b (base) have two chat templates, and a's is taken" in caplog.text


def test_code_is_copied_only_where_it_is_trusted_and_equal(a, b):
    assert not list(made(a, b).folder.glob("*.py"))
    for folder in (a, b):
        (folder / "modeling.py").write_text("x = 1")
    assert not list(made(a, b).folder.glob("*.py"))
    trusted = interpolated_model(found(a), found(b), 1.1, trust_remote_code=True).folder
    assert (trusted / "modeling.py").read_text() == "x = 1"
    (b / "modeling.py").write_text("x = 2")
    with pytest.raises(ModelError, match=r"come with other Python code \(modeling\.py\)"):
        interpolated_model(found(a), found(b), 0.9, trust_remote_code=True)


def test_a_config_that_cannot_be_read_names_the_side(a, b):
    change_json(b, drop=["model_type", "architectures"])
    with pytest.raises(ModelError, match=r"the config of b \(base\) cannot be read: "):
        made(a, b)


MAKE = """
import sys
from transforms.engines.interpolation import interpolated_model
from transforms.engines.models import resolve_model
a, b = (resolve_model(name, engine="transformers") for name in sys.argv[1:])
print(interpolated_model(a, b, 1.1).folder)
"""


def start(a, b, cache, **env):
    return subprocess.Popen(
        [sys.executable, "-c", MAKE, str(a), str(b)],
        env=os.environ | {"PREFERENCE_CURATION_CACHE": str(cache), "PYTHONPATH": str(Path(__file__).parents[3])} | env,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_of_three_processes_at_once_one_is_killed_and_two_end_with_the_whole_folder(a, b, cache):
    import torch

    # Large enough to be killed in the middle: 200 MB a model.
    rows = torch.arange(100_000_000, dtype=torch.int64).bfloat16().reshape(10_000, 10_000)
    for folder, factor in ((a, 1), (b, 3)):
        save_tensors(folder, tensors_of(folder) | {"model.extra": rows * factor})
    killed = start(a, b, cache)
    while not list((cache / "models").glob(".partial-*/model.safetensors")):
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (left,) = (cache / "models").iterdir()
    assert left.name.startswith(".partial-")
    both = [start(a, b, cache) for _ in range(2)]
    folders = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    (folder,) = map(Path, folders)
    assert {path.name for path in (cache / "models").iterdir()} == {left.name, folder.name}
    made_rows = tensors_of(folder)["model.extra"]
    for part in range(0, 10_000, 2_500):
        ours = rows[part : part + 2_500].float()
        expected = ours * 1.1 + (rows[part : part + 2_500] * 3).float() * (1 - 1.1)
        assert torch.equal(made_rows[part : part + 2_500], expected.bfloat16())


@pytest.mark.slow
def test_models_of_the_hub_are_had_at_their_commits_without_what_no_answer_needs(a, b, cache, tmp_path):
    from hub_api import Repo
    from loopback_hub import loopback_hub

    shutil.copy(b / "model.safetensors", a / "consolidated.safetensors")
    with loopback_hub() as hub:
        for folder in (a, b):
            hub.repos[f"org/{folder.name}"] = Repo(private=False)
            files = {path.name: path.read_bytes() for path in folder.iterdir()}
            hub.push(f"org/{folder.name}", files | {"README.md": b"notes", "onnx/x.safetensors": b"other"})
        away = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        online = away | {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
        process = start("org/instruct", "org/base", cache, **online)
        folder = Path(process.communicate()[0].strip())
        assert process.returncode == 0
        asked = " ".join(hub.requests)
        for name in ("README", "consolidated", "onnx"):
            assert name not in asked.replace("/tree/", "")
        record = json.loads((folder / "interpolation.json").read_text())
        tip = hub.repos["org/instruct"].tip.sha
    assert record["a"] == {"name": "org/instruct", "revision": tip, "fingerprint": tip}
    (a / "consolidated.safetensors").unlink()
    here = made(a, b).folder
    assert here != folder
    assert (folder / "model.safetensors").read_bytes() == (here / "model.safetensors").read_bytes()
    assert folder_fingerprint(here) == folder_fingerprint(folder)


def test_a_hub_that_cannot_be_reached_is_a_model_error(a, b):
    away = resolve_model("org/base", "0" * 40, engine="transformers")
    with pytest.raises(ModelError, match=r"org/base at 0{40} cannot be had from the Hub: "):
        interpolated_model(found(a), away, 1.1)
