"""The server of a new run starts before its recipe is parsed, and only where a run is sure to be made."""

import pytest
import yaml

from flows.runtime import early_server


@pytest.fixture
def started(monkeypatch):
    calls = []
    monkeypatch.setattr(early_server, "start_server", lambda: calls.append(1))
    return calls


@pytest.mark.parametrize("flags", [["--output.dir", "{}"], ["--output.dir={}"], ["--name", "x", "--output.dir", "{}"]])
def test_it_starts_for_a_folder_without_a_finished_run(started, tmp_path, flags):
    early_server.start_server_early([flag.format(tmp_path / "new") for flag in flags])
    assert started == [1]


def test_it_does_not_start_for_a_folder_with_a_finished_run(started, tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    early_server.start_server_early(["--output.dir", str(tmp_path)])
    assert started == []


@pytest.mark.parametrize("word", ["--help", "-h", "--dry-run"])
def test_it_does_not_start_where_no_run_is_asked_for(started, tmp_path, word):
    early_server.start_server_early(["--output.dir", str(tmp_path / "new"), word])
    assert started == []


def test_the_folder_may_be_the_recipes(started, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"output": {"dir": str(tmp_path / "new")}}))
    early_server.start_server_early(["--config", str(recipe)])
    early_server.start_server_early([str(recipe)])
    assert started == [1, 1]


@pytest.mark.parametrize(
    "text", ["output: {", "[1]", "name: x", "output: {dir: null}", "chat_template_date: 2024-02-30"]
)
def test_a_recipe_that_is_none_is_left_to_who_parses_it(started, tmp_path, text):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    early_server.start_server_early([f"--config={recipe}"])
    early_server.start_server_early(["--config", str(tmp_path / "nowhere.yaml")])
    early_server.start_server_early(["--output", '{"dir": "x"}'])
    assert started == []
