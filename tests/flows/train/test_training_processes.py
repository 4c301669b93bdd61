"""`torchrun -m flows.train`: several processes, one training."""

import json
from pathlib import Path

import pytest
from curated_support import curated_run, training_recipe
from flows_support import call_plainly
from launch_support import elsewhere, launched
from safetensors.torch import load_file

import flows.curate.flow as curate_module
import flows.train.flow as train_module
from flows.train.output import read_record
from flows.train.plan import plan_training

pytestmark = [pytest.mark.slow]


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Of a run whose references nobody has read yet."""
    call_plainly(monkeypatch, curate_module, train_module)
    return training_recipe(tmp_path, *curated_run(tmp_path), report_to=["tensorboard"])


def lines(folder):
    """Without speeds, and without the order of rewards that are 0 and their rounding before the first step."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    del found[0]["eval_rewards/accuracies"]
    return [{name: value for name, value in line.items() if not name.endswith("_second")} for line in found]


def test_two_processes_give_the_model_metrics_and_record_of_one(tmp_path, recipe):
    done = launched(tmp_path, recipe)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("unit: dpo") == 1
    two, one = Path(recipe.output.dir), tmp_path / "one"
    assert len([*(tmp_path / "tensorboard").rglob("events.*")]) == 1  # the second process reports nothing
    train_module.run_training(plan_training(elsewhere(recipe, one)))
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.iterdir())
    weights = [load_file(folder / "model" / "model.safetensors") for folder in (one, two)]
    assert max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]) < 1e-5
    for line, other in zip(lines(one), lines(two), strict=True):
        assert line == pytest.approx(other, rel=1e-3, abs=1e-5)
    records = [read_record(folder) for folder in (one, two)]
    assert records[0].trained == records[1].trained
    # One of the two paid, and the training after them found it all.
    assert (records[1].reference.generated > 0, records[0].reference.generated) == (True, 0)


def test_two_processes_measure_quantiles_and_a_distance_of_all_test_pairs_at_the_end_of_each_pass(tmp_path, recipe):
    changes = {"objective": {"name": "simpo"}, "kl_reference": True, "report_to": ()}
    changes |= {"eval_steps": "epoch", "save_steps": "epoch", "keep_checkpoints": "all"}
    recipe = type(recipe).model_validate(recipe.model_dump() | changes)
    done = launched(tmp_path, recipe)
    assert done.returncode == 0, done.stderr[-3000:]
    two, one = Path(recipe.output.dir), tmp_path / "one"
    train_module.run_training(plan_training(elsewhere(recipe, one)))
    found = [lines(folder) for folder in (one, two)]
    for line, other in zip(*found, strict=True):
        assert line == pytest.approx(other, rel=1e-3, abs=1e-5)
    measured = [line for line in found[1] if "eval_loss" in line]
    assert [line["step"] for line in measured] == [0, 3, 5]  # 18 pairs, 8 a step, two passes
    assert all(
        {"eval_kl", "eval_rewards/margins_p05", "eval_mean_logps/chosen_p95"} <= line.keys() for line in measured
    )
    left = [sorted(path.name for path in (folder / "checkpoints").iterdir()) for folder in (one, two)]
    assert left[0] == left[1] == ["checkpoint-3", "checkpoint-5"]
    names = [sorted(path.name for path in (folder / "checkpoints" / "checkpoint-3").iterdir()) for folder in (one, two)]
    assert names[0] == names[1]  # a random state of each process is not left


def test_what_the_first_process_refuses_ends_all(tmp_path, recipe):
    output = Path(recipe.output.dir)
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    done = launched(tmp_path, recipe)
    assert done.returncode != 0
    assert done.stderr.count("is not empty and holds no training (found notes.txt)") == 1


def test_a_finished_training_waits_for_nobody(tmp_path, recipe):
    train_module.run_training(plan_training(recipe))
    done = launched(tmp_path, recipe)
    assert (done.returncode, done.stdout.count("Nothing changed")) == (0, 1), done.stderr[-3000:]
