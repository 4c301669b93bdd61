"""`python -m flows.train` as a user runs it, with Prefect."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from curated_support import curated_run, training_recipe
from flows_support import call_plainly, model_folders, pair, sampling_recipe

import flows.curate.flow as curate_module
import flows.train.flow as train_module
from flows.curate.plan import plan_run
from flows.train.plan import plan_training
from transforms.errors import SchemaError

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


def command(environment, *flags, **more):
    return subprocess.run(
        [sys.executable, "-m", "flows.train", *flags],
        cwd=ROOT,
        env={**environment, **more},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture
def without_prefect(monkeypatch):
    call_plainly(monkeypatch, curate_module, train_module)


def modules(errors):
    return {line.rsplit("|", 1)[-1].strip() for line in errors.splitlines() if line.startswith("import time:")}


def test_a_run_with_prefect_prints_before_and_after_and_a_rerun_needs_neither_prefect_nor_a_model(
    tmp_path, without_prefect, shared_server
):
    run = curated_run(tmp_path)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(training_recipe(tmp_path, *run).model_dump(mode="json")))
    first = command(shared_server.environment, "--config", str(recipe))
    assert first.returncode == 0, first.stderr[-3000:]
    for word in ("unit: dpo", "test examples", "log-prob of chosen responses", "trained", "model"):
        assert word in first.stdout
    record = json.loads((tmp_path / "trained" / "training.json").read_text())
    assert record["trained"]["kept_tokens"] == 2 * record["data"]["kept_tokens"]
    again = command(shared_server.environment, "--config", str(recipe), PYTHONPROFILEIMPORTTIME="1")
    assert again.returncode == 0
    assert "Nothing changed" in again.stdout
    assert not {"prefect", "peft"} & modules(again.stderr)


def test_help_names_every_section_and_imports_nothing_heavy():
    done = command(os.environ, "--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert all(f"--{name}" in done.stdout for name in ("dataset.kept", "objective.name", "lora.rank", "output.resume"))
    assert not {"torch", "transformers", "prefect", "datasets"} & modules(done.stderr)


def test_rao_trains_on_rewards_of_the_run_and_checks_the_first_token(tmp_path, without_prefect, monkeypatch):
    models = model_folders(tmp_path / "models")
    rows = [pair(number % 6, chosen=f"the cat sat on the mat {number}") for number in range(12)]
    recipe = sampling_recipe(tmp_path, models, rows, filters={}, consistency={"threshold": 0.01})
    curate_module.run_stages(plan_run(recipe))
    changes = {
        "dataset": {"path": str(tmp_path / "out"), "kept": "full"},
        "objective": {"name": "rao", "settings": {"beta": 0.1, "log_z0": 0.0}},
        "optimisation": {"learning_rate": 0.002, "pairs_per_step": 8, "epochs": 10, "warmup": 0},
    }
    record = train_module.run_training(plan_training(training_recipe(tmp_path, tmp_path / "out", models[0], **changes)))
    assert record.data.examples <= 6  # prompts, each with all its responses
    assert record.after["loss"] < record.before["loss"]
    monkeypatch.setattr("flows.train.policy.read_examples", _other_beginnings)
    elsewhere = {"output": {"dir": str(tmp_path / "elsewhere")}}
    with pytest.raises(SchemaError, match=r"objective rao needs prompts that all begin with one token"):
        train_module.run_training(
            plan_training(training_recipe(tmp_path, tmp_path / "out", models[0], **changes | elsewhere))
        )


def _other_beginnings(*arguments, **options):
    from trainers.reading.examples import read_examples

    examples = read_examples(*arguments, **options)
    examples[0].prompt[0] += 1
    return examples
