"""`kl_reference`: how far a policy goes from a reference that its objective never reads."""

import json
from io import StringIO

import pytest
from curated_support import curated_run, reward_recipe, training_recipe
from flows_support import call_plainly, model_folders
from pydantic import ValidationError
from rich.console import Console
from safetensors.torch import load_file

import flows.curate.flow as curate_module
import flows.train.flow as train_module
from flows.train.config import TrainingRecipe
from flows.train.plan import plan_training
from flows.train.stages import Training
from flows.train.summary import print_training
from transforms.errors import ConfigError

slow = pytest.mark.slow


@pytest.fixture
def run(tmp_path, monkeypatch):
    call_plainly(monkeypatch, curate_module, train_module)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    return curated_run(tmp_path)


def recipe(tmp_path, run, name="simpo", folder="kl", **changes):
    content = {"objective": {"name": name}, "eval_steps": 2, "output": {"dir": str(tmp_path / folder)}}
    return training_recipe(tmp_path, *run, **content | changes)


def train(recipe):
    return train_module.run_training(plan_training(recipe))


def measured(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "eval_loss" in line]


@slow
@pytest.mark.parametrize("changes", [{}, {"lora": {"rank": 2, "alpha": 4}}], ids=["all weights", "lora"])
def test_the_distance_is_logged_and_the_model_is_the_same_to_the_bit(tmp_path, run, changes):
    plain = train(recipe(tmp_path, run, folder="plain", **changes))
    record = train(recipe(tmp_path, run, kl_reference=True, **changes))
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("plain", "kl"))
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)
    assert plain.reference is None
    assert "eval_kl" not in plain.after
    lines = measured(tmp_path / "kl")
    assert lines[0]["eval_kl"] == pytest.approx(0, abs=1e-5)  # the policy is the reference
    assert lines[0]["eval_displacement"] == pytest.approx(0, abs=1e-5)
    assert abs(lines[-1]["eval_kl"]) > 0.01
    # Both are of the start, the one as a difference of means: the same number to rounding.
    assert lines[-1]["eval_displacement"] == pytest.approx(plain.after["eval_displacement"], abs=1e-4)
    assert [line["eval_loss"] for line in lines] == [line["eval_loss"] for line in measured(tmp_path / "plain")]
    assert record.after["eval_kl"] == lines[-1]["eval_kl"]


@slow
def test_it_is_paid_for_once_and_the_terminal_says_so(tmp_path, run):
    record = train(recipe(tmp_path, run, kl_reference=True))
    assert record.reference.generated == record.reference.requests > 0
    again = train(recipe(tmp_path, run, name="orpo", folder="again", kl_reference=True))
    assert (again.reference.generated, again.reference.reused) == (0, again.reference.requests)
    assert train(recipe(tmp_path, run, name="dpo", folder="dpo")).reference.generated == 0  # of the same ledger
    out = StringIO()
    print_training(Console(file=out, width=160), record, tmp_path / "kl", seconds=1.0, unchanged=False)
    kl, paid = record.after["eval_kl"], record.reference.generated
    said = (
        f"kl           {kl:.4f} nats a token to the reference, estimated on test; of its log-probs {paid:,} responses"
    )
    assert said in out.getvalue()
    assert f"report       {tmp_path / 'kl' / 'training.html'}" in out.getvalue()
    assert "checkpoints" not in out.getvalue()


@slow
def test_a_reference_that_is_named_is_the_one(tmp_path, run):
    other, _ = model_folders(tmp_path / "other", width=24)
    changes = {"kl_reference": True, "reference": {"model": str(other)}}
    named, start = recipe(tmp_path, run, **changes), recipe(tmp_path, run, kl_reference=True)
    plans = [plan_training(one) for one in (named, start)]
    assert plans[0].reference.identity != plans[1].reference.identity
    assert plans[0].fingerprint != plans[1].fingerprint
    # It decides no weight, so a run that died goes on with another one or none.
    identities = [Training(plan, tmp_path).identity for plan in (*plans, plan_training(recipe(tmp_path, run)))]
    assert identities[0] == identities[1] == identities[2]
    of_dpo = Training(plan_training(recipe(tmp_path, run, name="dpo", **changes)), tmp_path).identity
    assert of_dpo["reference"] == plans[0].reference.model.identity.fingerprint
    assert abs(train(named).before["eval_kl"]) > 0.01  # the start is no such model
    with pytest.raises(ConfigError, match=r"simpo reads no reference: leave reference out, or .* kl_reference: true"):
        plan_training(recipe(tmp_path, run, reference={"model": str(other)}))


@slow
def test_a_reward_model_has_no_distance(tmp_path, run):
    with pytest.raises(ValidationError, match="kind: reward has no use for kl_reference; leave it out"):
        reward_recipe(tmp_path, *run, kl_reference=True)


def test_a_training_without_it_is_what_it_was():
    content = {
        "name": "unit",
        "dataset": {"path": "./run"},
        "model": {"model": "smollm2"},
        "objective": {"name": "simpo"},
        "optimisation": {"learning_rate": 1e-6},
        "output": {"dir": "out"},
    }
    plain, other = (TrainingRecipe.model_validate(content | more) for more in ({}, {"kl_reference": True}))
    assert not {"kl_reference", "keep_checkpoints", "keep_best", "reference"} & plain.settings().keys()
    assert other.settings() == plain.settings() | {"kl_reference": True}
    assert other.identity() == plain.identity()
