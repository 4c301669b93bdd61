"""A rerun is unchanged only where nothing that can change a row is: each such thing changes the fingerprint."""

import json
import os
from pathlib import Path

import pytest
from flows_support import model_folders, pair, sampling_recipe, tokenizer_folder, truncate_recipe

from flows.curate import plan
from flows.curate.plan import load_ahead, plan_run
from flows.models import recipe_models as models
from flows.recipe.curation import Recipe
from flows.versions import fingerprint
from transforms.errors import ModelError

TEMPLATE = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("PREFERENCE_CURATION_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def recipe(tmp_path):
    return truncate_recipe(tmp_path, [pair(1), pair(2)])


def of(recipe):
    return plan_run(recipe).fingerprint


def changed(recipe, **changes):
    return Recipe.model_validate(recipe.model_dump() | changes)


def folder_of(recipe):
    return Path(recipe.tokenizer or recipe.policy.model)


def rewrite(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_same_recipe_has_the_same_fingerprint(recipe):
    assert of(recipe) == of(recipe)


def test_a_key_that_makes_no_ids_does_not_change_the_hash_of_the_tokenizer(recipe):
    assert models.Models(recipe).tokenizer == models.Models(changed(recipe, name="other")).tokenizer


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added.model"])
def test_a_changed_file_of_the_tokenizer_changes_it(recipe, name):
    before = of(recipe)
    path = folder_of(recipe) / name
    path.write_text((path.read_text() if path.exists() else "") + " ")
    assert of(recipe) != before


def test_the_template_of_the_model_and_a_template_file_change_it(recipe, tmp_path):
    seen = {of(recipe)}
    (folder_of(recipe) / "chat_template.jinja").write_text(TEMPLATE)
    seen.add(of(recipe))
    template = tmp_path / "mine.jinja"
    template.write_text(TEMPLATE)
    mine = changed(recipe, policy=recipe.policy.model_dump() | {"chat_template": str(template)})
    seen.add(of(mine))
    template.write_text(TEMPLATE + " ")
    seen.add(of(mine))
    assert len(seen) == 4


def test_source_code_package_versions_and_keys_change_it(recipe, tmp_path, monkeypatch):
    seen = {of(recipe), of(changed(recipe, chat_template_date="2031-05-06"))}
    with Path(recipe.sources[0].path).open("a") as rows:
        rows.write(json.dumps(pair(3)) + "\n")
    seen.add(of(recipe))
    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "package_versions", lambda: {"tokenizers": "99"})
        seen.add(of(recipe))
    with monkeypatch.context() as patch:
        patch.setattr(plan, "code_hash", lambda *_: "other code")
        seen.add(of(recipe))
    assert len(seen) == 5


def test_versions_of_what_reads_a_tokenizer_change_it(recipe, monkeypatch):
    before = of(recipe)
    monkeypatch.setattr("transforms.engines.tokenizer_files.reader_versions", lambda: "jinja2 99\n")
    assert of(recipe) != before


def test_weights_change_it(tmp_path):
    folders = model_folders(tmp_path / "models")
    recipe = sampling_recipe(tmp_path, folders, [pair(1)])
    seen = {of(recipe)}
    for folder in folders:
        [weights] = folder.glob("*.safetensors")
        weights.write_bytes(weights.read_bytes() + b" ")
        seen.add(of(recipe))
    assert len(seen) == 3


def test_weights_of_equal_size_and_time_change_it(tmp_path):
    folders = model_folders(tmp_path / "models")
    recipe = sampling_recipe(tmp_path, folders, [pair(1)])
    before = of(recipe)
    [weights] = folders[0].glob("*.safetensors")
    stat, content = weights.stat(), weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as cp -p and rsync -t do
    assert of(recipe) != before


@pytest.mark.parametrize("name", ["spiece.model", "additional_chat_templates/tools.jinja", "tokenizer_config.json"])
def test_every_file_that_the_reward_models_tokenizer_may_read_changes_it(tmp_path, name):
    folders = model_folders(tmp_path / "models")
    recipe = sampling_recipe(tmp_path, folders, [pair(1)])
    before = of(recipe)
    path = folders[1] / name
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + " ")
    assert of(recipe) != before


def test_the_commit_of_a_policy_on_the_hub_beside_another_tokenizer_changes_it(recipe, tmp_path, monkeypatch):
    policy = recipe.policy.model_dump() | {"model": "org/name"}
    mine = changed(recipe, policy=policy, tokenizer=str(tokenizer_folder(tmp_path / "tokenizer")))
    seen = set()
    for commit in "ab":
        monkeypatch.setattr("transforms.engines.tokenizer_files.hub_commit", lambda *_, commit=commit: 40 * commit)
        seen.add(of(mine))
    monkeypatch.setattr("transforms.engines.tokenizer_files.hub_commit", _refuse)
    for context in (512, 1024):  # the Hub cannot be asked, and transformers has the config in its cache
        monkeypatch.setattr(models, "context_length", lambda *_, context=context, **__: context)
        seen.add(of(mine))
    assert len(seen) == 4


def test_a_tokenizer_of_a_branch_is_read_at_the_commit_that_was_hashed(recipe, monkeypatch):
    commits = iter("ab")
    monkeypatch.setattr("transforms.engines.tokenizer_files.hub_commit", lambda *_: 40 * next(commits))
    mine = models.Models(changed(recipe, tokenizer="org/name"))
    read = []
    monkeypatch.setattr(
        models, "chat_tokenizer", lambda name, revision, **_: read.append((name, revision)) or _refuse()
    )
    with pytest.raises(ModelError, match="no usable chat template"):
        _ = mine.chat
    assert read == [("org/name", 40 * "a")]


def test_a_tokenizer_that_changes_between_its_hash_and_its_reading_is_refused(recipe):
    plan = plan_run(recipe)
    rewrite(folder_of(recipe) / "tokenizer_config.json", extra=1)
    with pytest.raises(ModelError, match="changed while it was read: run the command again"):
        load_ahead(plan)
    load_ahead(plan_run(recipe))


def test_the_config_of_a_policy_beside_another_tokenizer_changes_it(recipe, tmp_path):
    folder = tokenizer_folder(tmp_path / "policy")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 64}))
    policy = recipe.policy.model_dump() | {"model": str(folder)}
    mine = changed(recipe, policy=policy, tokenizer=str(tokenizer_folder(tmp_path / "tokenizer")))
    before = of(mine)
    rewrite(folder / "config.json", max_position_embeddings=65)
    assert of(mine) != before


def test_planning_reads_no_tokenizer(recipe, monkeypatch):
    monkeypatch.setattr(models, "load_chat", lambda *_: pytest.fail("a tokenizer was read"))
    assert len(of(recipe)) == 16


def test_what_cannot_be_asked_for_its_commit_is_loaded_to_know_it(recipe, monkeypatch):
    plain = models.Models(recipe)
    monkeypatch.setattr(models, "tokenizer_files", lambda *_: None)
    assert models.Models(recipe).tokenizer == plain.chat.sha256


def test_a_tokenizer_read_ahead_is_handed_on_once(recipe):
    plan = plan_run(recipe)
    load_ahead(plan)
    assert plan_run(recipe).models is plan.models
    assert plan_run(recipe).models is not plan.models


def test_a_tokenizer_that_cannot_be_used_is_refused_before_the_last_run_goes(recipe, monkeypatch, tmp_path):
    from flows.curate.flow import run_stages

    monkeypatch.setattr(models, "load_chat", _refuse)
    with pytest.raises(ModelError, match="no usable chat template"):
        run_stages(plan_run(recipe))
    assert not Path(recipe.output.dir).exists()


def _refuse(*_args):
    message = "no usable chat template"
    raise ModelError(message)
