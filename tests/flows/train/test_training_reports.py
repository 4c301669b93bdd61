"""Trackers of a training: told under its name where its figures stay, and of no weight for what it learns."""

import json
import logging

import pytest
from curated_support import curated_run, training_recipe
from events_support import scalars, text
from flows_support import call_plainly
from transformers.integrations import TensorBoardCallback

import flows.curate.flow as curate_module
import flows.train.flow as train_module
from flows.runtime import trackers
from flows.train.config import TrainingRecipe
from flows.train.plan import plan_training
from transforms.errors import ConfigError


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    call_plainly(monkeypatch, curate_module, train_module)
    optimisation = {"learning_rate": 0.01, "pairs_per_step": 8, "steps": 2, "warmup": 0}
    return training_recipe(
        tmp_path, *curated_run(tmp_path), optimisation=optimisation, report_to=["tensorboard", "tensorboard"]
    )


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_package_that_is_missing_is_said_before_the_run_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(trackers._PACKAGES, "trackio", ("no_such_tracker",))
    recipe = training_recipe(tmp_path, tmp_path / "nowhere", tmp_path / "nobody", report_to=["trackio"])
    with pytest.raises(ConfigError, match="report_to: trackio needs the package no_such_tracker"):
        plan_training(recipe)


def test_a_head_alone_takes_no_steps_and_so_no_trackers(tmp_path):
    changes = {"kind": "reward", "objective": None, "optimisation": None, "head": {}, "report_to": ["tensorboard"]}
    content = training_recipe(tmp_path, tmp_path, tmp_path).model_dump() | changes
    with pytest.raises(ValueError, match="with a head alone has no use for report_to"):
        TrainingRecipe.model_validate(content)
    assert TrainingRecipe.model_validate(content | {"report_to": []}).report_to == ()


def test_every_step_and_the_last_measurement_are_read_back_when_the_checkpoints_are_gone(tmp_path, recipe, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop")
    plan = plan_training(recipe)
    train_module.run_training(plan)
    folder = tmp_path / "tensorboard" / "unit" / plan.fingerprint[:8]
    (file,) = folder.iterdir()
    found, lines = scalars(folder), metrics(tmp_path / "trained")
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    assert set(losses) == {1, 2}
    assert found["train/loss"] == pytest.approx(losses)
    measured = {line["step"]: line["eval_loss"] for line in lines if "eval_loss" in line}
    assert set(measured) == {0, 2}
    assert found["eval/loss"] == pytest.approx(measured)
    assert json.loads(text(folder, "args"))["run_name"] == "unit"
    assert b"hf_abcdefghijklmnop" not in file.read_bytes()


def test_a_logger_that_fails_is_told_no_more_and_the_training_is_the_same(tmp_path, recipe, monkeypatch, caplog):
    def lost(*_, **__):
        raise ConnectionError("https://me:hunter2@tracker is gone")

    silent = {"report_to": (), "output": recipe.output.model_copy(update={"dir": str(tmp_path / "silent")})}
    train_module.run_training(plan_training(recipe.model_copy(update=silent)))
    monkeypatch.setattr(TensorBoardCallback, "on_log", lost)
    with caplog.at_level(logging.WARNING):
        train_module.run_training(plan_training(recipe))
    said = [line for line in caplog.messages if "told no more" in line]
    assert said == [
        "tensorboard failed and is told no more; the training goes on: ConnectionError: https://***@tracker is gone"
    ]
    told, untold = (
        [line["loss"] for line in metrics(tmp_path / one) if "loss" in line] for one in ("trained", "silent")
    )
    assert told == untold


def test_a_logger_that_cannot_be_made_is_a_warning_too(recipe, monkeypatch, caplog):
    def broken(_self):
        raise ImportError("no module of the name grpc")

    monkeypatch.setattr(TensorBoardCallback, "__init__", broken)
    with caplog.at_level(logging.WARNING):
        record = train_module.run_training(plan_training(recipe))
    assert record.trained.steps == 2
    assert [line for line in caplog.messages if line.startswith("tensorboard failed")] == [
        "tensorboard failed and is told no more; the training goes on: ImportError: no module of the name grpc"
    ]
