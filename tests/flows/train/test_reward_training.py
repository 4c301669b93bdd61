"""`kind: reward` by the flow's stages: in steps, by an adapter, by a head alone; and the loop it closes."""

import io
import json

import pytest
from curated_support import curated_run, reward_recipe, training_recipe
from flows_support import call_plainly, pair, sampling_recipe
from rich.console import Console

import flows.curate.flow as curate_module
import flows.train.flow as train_module
from flows.curate.plan import plan_run
from flows.train.plan import plan_training
from flows.train.summary import print_training
from flows.versions.output_folder import read_manifest
from trainers.steps.settings import HeadOnly
from transforms.engines.models import resolve_model
from transforms.engines.protocol import ScoreRequest
from transforms.engines.transformers_rewards import TransformersRewards
from transforms.errors import OutputError, SchemaError

pytestmark = pytest.mark.slow
HEAD = {"optimisation": None, "head": {"weight_decays": [0.1, 1.0], "folds": 3}}


@pytest.fixture(autouse=True)
def without_prefect(monkeypatch):
    call_plainly(monkeypatch, curate_module, train_module)
    monkeypatch.setenv("TQDM_DISABLE", "1")


@pytest.fixture
def run(tmp_path):
    return curated_run(tmp_path)


def train(recipe):
    return train_module.run_training(plan_training(recipe))


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def printed(record, folder):
    console = Console(file=io.StringIO(), width=200)
    print_training(console, record, folder, seconds=1.0, unchanged=False)
    return console.file.getvalue()


def test_all_weights_learn_and_before_and_after_are_measured_on_the_test_pairs(tmp_path, run):
    from safetensors.torch import load_file

    record = train(reward_recipe(tmp_path, *run))
    assert record.objective == {"name": "bradley_terry", "margin": None, "centring": 0.0}
    assert record.trained.kept_tokens == 2 * record.data.kept_tokens
    steps = [line for line in lines(tmp_path / "reward-model") if "loss" in line]
    assert steps[-1]["loss"] < steps[0]["loss"]
    for name in ("eval_loss", "eval_accuracy", "eval_margin", "eval_mean_reward"):
        assert name in record.before
        assert name in record.after
    model = tmp_path / "reward-model" / "model"
    name = "model.layers.0.mlp.down_proj.weight"
    before, after = (load_file(folder / "model.safetensors")[name] for folder in (run[1], model))
    assert not bool((before == after).all())
    assert json.loads((model / "training.json").read_text())["objective"]["name"] == "bradley_terry"
    shown = printed(record, tmp_path / "reward-model")
    assert "unit: bradley_terry, on" in shown
    assert "pairs whose chosen response has the higher reward" in shown
    assert plan_training(reward_recipe(tmp_path, *run)).finished == record


@pytest.mark.parametrize("changes", [{}, {"lora": {"rank": 2, "alpha": 4}}, HEAD], ids=["all", "lora", "head"])
def test_the_reward_engine_loads_what_was_trained(tmp_path, run, changes):
    record = train(reward_recipe(tmp_path, *run, **changes))
    model = resolve_model(tmp_path / "reward-model" / "model", engine="transformers", dtype="float32")
    engine = TransformersRewards(model)
    assert len(engine.score([ScoreRequest("a", [5, 6, 7]), ScoreRequest("b", [9, 10])])) == 2
    engine.close()
    assert record.after["eval_accuracy"] >= 0


def test_a_head_alone_is_fitted_without_steps_and_leaves_the_policy_below_it(tmp_path, run):
    from safetensors.torch import load_file

    record = train(reward_recipe(tmp_path, *run, **HEAD))
    assert record.trained.steps == 0
    assert record.trained.examples == record.data.examples
    assert record.before == {
        "validation_accuracy": 0.5,
        "validation_margin": 0.0,
        "eval_accuracy": 0.5,
        "eval_margin": 0.0,
    }
    assert set(record.after) == set(record.before)
    folder = tmp_path / "reward-model"
    *penalties, last = lines(folder)
    assert [line["weight_decay"] for line in penalties] == [0.1, 1.0]
    assert last["weight_decay"] == min(penalties, key=lambda line: line["validation_loss"])["weight_decay"]
    below, policy = (load_file(path / "model.safetensors") for path in (folder / "model", run[1]))
    name = "model.layers.0.mlp.down_proj.weight"
    assert bool((below[name] == policy[name]).all())
    shown = printed(record, folder)
    assert "the head alone, on" in shown
    assert "each by a head that was fitted without its prompt" in shown
    assert sorted(path.name for path in folder.iterdir()) == [
        "metrics.jsonl",
        "model",
        "training.html",
        "training.json",
    ]


def test_without_test_pairs_a_head_is_measured_on_training_pairs_that_were_held_out(tmp_path):
    run = curated_run(tmp_path, test_size=0)
    record = train(reward_recipe(tmp_path, *run, **HEAD))
    assert set(record.after) == {"validation_accuracy", "validation_margin"}
    assert "on training pairs that were held out" in printed(record, tmp_path)


def test_a_margin_of_rewards_or_scores_that_the_run_does_not_have_is_refused(tmp_path, run):
    columns = {"reward": "reward_chosen or reward_rejected", "score": "chosen_score or rejected_score"}
    for margin, missing in columns.items():
        with pytest.raises(SchemaError, match=rf"train: {missing} is null or not finite"):
            train(reward_recipe(tmp_path, *run, reward={"margin": margin}))


def test_a_margin_and_centring_are_part_of_what_is_trained(tmp_path, run):
    plain = plan_training(reward_recipe(tmp_path, *run))
    other = plan_training(reward_recipe(tmp_path, *run, reward={"margin": 0.5, "centring": 0.01}))
    assert plain.fingerprint != other.fingerprint
    record = train(other.recipe)
    assert record.objective == {"name": "bradley_terry", "margin": 0.5, "centring": 0.01}
    with pytest.raises(OutputError, match="already holds another training"):
        train(reward_recipe(tmp_path, *run, head=HeadOnly(), optimisation=None))


def test_a_trained_policy_and_reward_model_are_used_by_a_second_curation(tmp_path, run):
    """The on-policy loop: nothing but folders that flows.train wrote is named."""
    train(training_recipe(tmp_path, *run, objective={"name": "simpo"}))
    train(reward_recipe(tmp_path, *run))
    models = tmp_path / "trained" / "model", tmp_path / "reward-model" / "model"
    rows = [pair(number, "the cat sat on the mat", "dog") for number in range(6)]
    (tmp_path / "second").mkdir()
    second = sampling_recipe(tmp_path / "second", models, rows, consistency={"threshold": 0.01})
    curate_module.run_stages(plan_run(second))
    manifest = read_manifest(tmp_path / "second" / "out")
    for record, folder in ((manifest.policy, models[0]), (manifest.reward, models[1])):
        identity = resolve_model(folder, engine="transformers", dtype="float32").identity
        assert (record.name, record.fingerprint) == (f"{folder.parent.name}/model", identity.fingerprint)
    assert manifest.policy.fingerprint != resolve_model(run[1], engine="transformers").identity.fingerprint
    assert manifest.completions.generated > 0
    assert manifest.scores.generated > 0
    # And the loop goes on: the margins are the rewards that the trained reward model gave.
    again = reward_recipe(tmp_path / "second", tmp_path / "second" / "out", models[0], reward={"margin": "reward"})
    assert train(again).data.examples == manifest.counts.kept == 6
