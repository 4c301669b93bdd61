import json
import shutil

import pytest

from transforms.engines.models import folder_fingerprint, hub_commit, is_folder, resolve_model
from transforms.errors import ModelError


@pytest.fixture
def folder(tmp_path, cache):
    model = tmp_path / "my-model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "tokenizer.json").write_text("{}")
    return model


def test_a_folder_is_known_by_its_name_and_content_never_by_its_path(folder):
    identity = resolve_model(folder, engine="fake", dtype="float32").identity
    assert identity.name == "my-model"
    assert identity.revision == "local"
    assert identity.fingerprint == folder_fingerprint(folder)
    assert (identity.dtype, identity.engine) == ("float32", "fake")


def test_what_a_training_left_is_known_by_the_training(folder, tmp_path):
    trained = tmp_path / "my-dpo" / "model"
    shutil.copytree(folder, trained)
    assert resolve_model(trained, engine="transformers").identity.name == "my-dpo/model"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_every_file_that_decides_an_answer_changes_the_fingerprint(folder, name):
    before = folder_fingerprint(folder)
    (folder / name).write_bytes(b"other content")
    assert folder_fingerprint(folder) != before


@pytest.mark.parametrize("name", ["README.md", "trainer_state.json", "optimizer.pt"])
def test_files_that_decide_nothing_do_not_change_the_fingerprint(folder, name):
    before = folder_fingerprint(folder)
    (folder / name).write_bytes(b"notes")
    assert folder_fingerprint(folder) == before


def test_a_renamed_file_changes_the_fingerprint(folder):
    before = folder_fingerprint(folder)
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    assert folder_fingerprint(folder) != before


def test_python_code_counts_only_where_it_is_trusted(folder):
    before = folder_fingerprint(folder)
    (folder / "modeling.py").write_text("x = 1")
    assert folder_fingerprint(folder) == before
    assert folder_fingerprint(folder, with_code=True) != before


def test_a_second_fingerprint_reads_no_weights(folder, cache):
    first = folder_fingerprint(folder)
    stored = json.loads((cache / "fingerprints.json").read_text())
    assert len(stored) == 3
    # Size and time stay, so what was remembered is trusted.
    (cache / "fingerprints.json").write_text(json.dumps(dict.fromkeys(stored, "0")))
    assert folder_fingerprint(folder) != first


def test_a_broken_hash_store_is_made_anew(folder, cache):
    first = folder_fingerprint(folder)
    (cache / "fingerprints.json").write_text("{half")
    assert folder_fingerprint(folder) == first
    assert len(json.loads((cache / "fingerprints.json").read_text())) == 3


def test_a_cache_that_cannot_be_written_only_costs_time(folder, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PREFERENCE_CURATION_CACHE", str(tmp_path / "file"))
    assert len(folder_fingerprint(folder)) == 64
    assert "cannot be remembered" in caplog.text


def test_a_missing_folder_says_what_was_expected(tmp_path):
    with pytest.raises(ModelError, match=r"no-such does not exist\. Expected a folder with config\.json"):
        resolve_model(str(tmp_path / "no-such"), engine="vllm")


def test_pickled_weights_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"holds config\.json, pytorch_model\.bin.*pickled weights are refused"):
        resolve_model(folder, engine="vllm")


def test_a_revision_of_a_folder_is_an_error(folder):
    with pytest.raises(ModelError, match="revision 'main' means nothing"):
        resolve_model(folder, "main", engine="vllm")


def test_a_bare_name_is_the_hub_and_a_path_is_a_folder():
    assert [is_folder(p) for p in ("./x", "../x", "/x", "~/x", "org/name", "smollm2")] == [True] * 4 + [False] * 2


def test_a_commit_is_taken_as_it_is():
    sha = "0123456789abcdef0123456789abcdef01234567"
    model = resolve_model("org/name", sha, engine="vllm")
    assert (model.location, model.revision, model.identity.fingerprint) == ("org/name", sha, sha)
    assert model.identity.name == "org/name"


@pytest.mark.parametrize("name", ["./nowhere", "org/-name", "org/a..b", "org/" + "a" * 97])
def test_a_name_that_the_hub_cannot_have_is_a_model_error(name):
    with pytest.raises(ModelError, match=r"cannot resolve the model .* on the Hub: "):
        hub_commit(name, None)


def test_a_hub_that_cannot_be_reached_is_a_model_error():
    with pytest.raises(ModelError, match="cannot resolve the model org/name at revision main on the Hub"):
        resolve_model("org/name", engine="vllm")


def test_a_name_that_is_neither_folder_nor_hub_id_is_explained():
    with pytest.raises(ModelError, match="no model 'llama': expected 'smollm2', a hub id like org/name"):
        resolve_model("llama", engine="vllm")
