"""What trackers are told of finished runs; TensorBoard's files are written and read back for real."""

import json
import logging
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import generation_report_support
import pytest
import report_support
from events_support import scalars, text
from flows_support import call_plainly, model_folders, pair, sampling_recipe, truncate_recipe
from generation_support import generation

import flows.curate.flow as curate_module
from flows.curate import tracked as of_a_curation
from flows.curate.plan import plan_run
from flows.generate import tracked as of_a_generation
from flows.generate.plan import plan_generation
from flows.recipe.curation import Recipe
from flows.runtime import trackers
from transforms.errors import ConfigError
from transforms.records.manifest import RoundRecord

TENSORBOARD = {"report_to": ["tensorboard"]}


@pytest.fixture
def nothing_installed(monkeypatch):
    def distribution(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(trackers.metadata, "distribution", distribution)


@pytest.mark.parametrize(
    ("tracker", "package"),
    [("wandb", "wandb"), ("tensorboard", "tensorboard"), ("mlflow", "mlflow"), ("trackio", "trackio")],
)
def test_a_tracker_that_is_not_installed_is_an_error_before_sources_are_looked_for(
    tmp_path, nothing_installed, tracker, package
):
    recipe = truncate_recipe(tmp_path, [pair(1)], report_to=[tracker])
    Path(recipe.sources[0].path).unlink()
    said = rf"report_to: {tracker} needs the package {package}, which is not installed: pip install {package}, or leave"
    with pytest.raises(ConfigError, match=said):
        plan_run(recipe)


def test_a_generation_says_so_too(tmp_path, nothing_installed):
    config = generation(tmp_path, (tmp_path, tmp_path), ["who?"], report_to=["mlflow"])
    with pytest.raises(ConfigError, match="report_to: mlflow needs the package"):
        plan_generation(config)


def test_a_folder_that_wandb_left_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "no_such_tracker").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(trackers._PACKAGES, "wandb", ("no_such_tracker",))
    with pytest.raises(ConfigError, match="needs the package no_such_tracker"):
        trackers.check_trackers(["wandb"])


def test_mlflow_that_is_turned_off_is_an_error(monkeypatch):
    monkeypatch.setitem(trackers._PACKAGES, "mlflow", ("pytest",))
    trackers.check_trackers(["mlflow"])
    monkeypatch.setenv("DISABLE_MLFLOW_INTEGRATION", "true")
    with pytest.raises(ConfigError, match="turned off by DISABLE_MLFLOW_INTEGRATION: unset it"):
        trackers.check_trackers(["mlflow"])


def test_another_word_is_an_error_of_the_recipe(tmp_path):
    with pytest.raises(ValueError, match="'wandb', 'tensorboard', 'mlflow' or 'trackio'"):
        truncate_recipe(tmp_path, [pair(1)], report_to=["tensorbord"])


def test_who_is_told_is_no_part_of_the_fingerprint(tmp_path):
    recipe = truncate_recipe(tmp_path, [pair(1)])
    told = Recipe.model_validate(recipe.model_dump() | TENSORBOARD)
    assert plan_run(told).fingerprint == plan_run(recipe).fingerprint
    models = model_folders(tmp_path / "models")
    silent, telling = (generation(tmp_path, models, ["who?"], **more) for more in ({}, TENSORBOARD))
    assert plan_generation(telling).fingerprint == plan_generation(silent).fingerprint


def test_a_curation_is_read_back_from_tensorboard_under_its_name(tmp_path, monkeypatch):
    call_plainly(monkeypatch, curate_module)
    monkeypatch.setattr("flows.curate.finish.draw_pictures", lambda *_: {})
    recipe = sampling_recipe(
        tmp_path, model_folders(tmp_path / "models"), [pair(1), pair(2), {"prompt": "?"}], **TENSORBOARD
    )
    manifest = curate_module.run_stages(plan_run(recipe))
    folder = tmp_path / "tensorboard" / "unit" / manifest.fingerprint[:8]
    found = scalars(folder)
    counts = {name: found[name][0] for name in ("pairs/raw_rows", "pairs/in", "pairs/quarantined")}
    assert counts == {"pairs/raw_rows": 3, "pairs/in": 3, "pairs/quarantined": 1}
    assert found["pairs/kept"][0] + sum(manifest.counts.dropped.values()) == 2
    assert found["completions/made"][0] == manifest.completions.generated
    assert found["cost/engine_seconds"][0] == pytest.approx(manifest.completions.seconds + manifest.scores.seconds)
    assert found["rounds/rest/completions"] == {1: manifest.rounds[0].completions}
    settings = json.loads(text(folder, "settings").removeprefix("```json\n").removesuffix("\n```"))
    assert (settings["version"], settings["policy.engine"]) == (manifest.version, "transformers")
    assert str(tmp_path) not in "".join(key for key in settings)
    again = plan_run(Recipe.model_validate(recipe.model_dump() | {"report_to": []}))
    assert again.finished is not None


def test_a_tracker_that_fails_is_one_warning_and_the_run_is_complete(tmp_path, monkeypatch, caplog, curates_here):
    def unreachable(*_):
        raise ConnectionError("http://me:hunter2@tracker/api: refused, key 0123456789abcdef\nand a long trace")

    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setattr(trackers, "_open", unreachable)
    recipe = truncate_recipe(tmp_path, [pair(1)], report_to=["tensorboard", "tensorboard"])
    with caplog.at_level(logging.WARNING):
        manifest = curate_module.run_stages(plan_run(recipe))
    assert plan_run(recipe).finished == manifest
    (line,) = caplog.messages
    assert line == (
        "tensorboard was not told of unit, which is complete: ConnectionError: http://***@tracker/api: refused, key ***"
    )


def test_without_trackers_torch_stays_where_it_is():
    said = "from flows.curate import tracked; from flows.generate import tracked; import sys; "
    said += "print(sorted({'torch', 'accelerate', 'transformers', 'tensorboard'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_figures_of_a_curation_are_those_of_its_manifest():
    rounds = [
        RoundRecord(stage=stage, number=1, pairs=9, completions=completions, tokens=70, keep=5, drop=1, open=3)
        for stage, completions in (("audit", 27), ("rest", 18))
    ]
    told = of_a_curation.tracked(report_support.manifest(rate=0.9, rounds=rounds))
    expected = {
        "pairs/kept_share": 60 / 85,
        "pairs/dropped/inconsistent": 20,
        "pairs/split/test": 10,
        "stages/load/quarantined": 5,
        "stages/judge/rows_in": 80,
        "stages/judge/dropped/inconsistent": 20,
        "consistency/starter/reward/rate": 0.9,
        "consistency/all/label/flips": pytest.approx(0.1),
        "tokens/before": 1650,
        "tokens/after": 1200,
        "completions/reused": 30,
        "rewards/tokens_reused": 99,
        "completions/tokens_per_second": 4321 / 8,
        "seconds/completions": 8.0,
        "cost/engine_seconds": 16,
    }
    assert {name: told.figures[name] for name in expected} == expected
    assert [list(one.items())[1] for one in told.steps] == [
        ("rounds/audit/completions", 27),
        ("rounds/rest/completions", 18),
    ]
    assert told.settings["truncate.method"] == "poet"


def test_figures_of_a_generation_are_those_of_its_manifest():
    told = of_a_generation.tracked(generation_report_support.generation())
    expected = {
        "prompts/with_pair_share": 1 / 3,
        "prompts/without_pair/tie": 1,
        "responses/status/unscored": 1,
        "policies/policy/finished_share": 5 / 6,
        "annotators/reward/reused": 2,
        "completions/tokens_made": 81,
        "seconds/answer": 3.0,
    }
    assert {name: told.figures[name] for name in expected} == expected


def test_addresses_of_a_recipe_are_told_to_nobody():
    config = {"policy": {"url": "http://me:hunter2@host/v1"}, "sources": [{"path": "s3://key:hunter2@bucket"}]}
    told = of_a_curation.tracked(report_support.manifest(config=config | {"truncate": {"method": "poet"}}))
    assert "hunter2" not in repr(told)
