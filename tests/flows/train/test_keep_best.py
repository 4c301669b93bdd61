"""`keep_best`: the model that is saved is that of the best measurement, of a run that died too."""

import json

import pytest
from curated_support import curated_run, reward_recipe, training_recipe
from flows_support import call_plainly

import flows.curate.flow as curate_module
import flows.train.flow as train_module
from flows.train.config import TrainingRecipe
from flows.train.plan import plan_training
from flows.train.policy import PolicyLearner
from flows.train.summary import print_training
from trainers.objectives import objective
from trainers.reading.examples import Example
from trainers.steps.trainer import StepTrainer
from transforms.errors import ConfigError, OutputError

FLAT = {"learning_rate": 0.01, "pairs_per_step": 8, "steps": 8, "warmup": 0, "schedule": "constant"}


@pytest.fixture
def run(tmp_path, monkeypatch):
    call_plainly(monkeypatch, curate_module, train_module)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    return curated_run(tmp_path)


def train(recipe):
    return train_module.run_training(plan_training(recipe))


def best_recipe(tmp_path, run, name, **changes):
    content = {"optimisation": FLAT, "eval_steps": 1, "keep_best": "loss", "output": {"dir": str(tmp_path / name)}}
    return training_recipe(tmp_path, *run, **content | changes)


def measured(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if "eval_loss" in line}


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model" / "model.safetensors")


def same(one, other):
    return all((one[name] == other[name]).all() for name in one)


def worse_after(step):
    """Measurements of later steps have a loss that rises; the training itself is as it was."""
    evaluate = StepTrainer._determine_best_metric

    def changed(self, metrics, trial):
        if self.state.global_step > step:
            metrics = metrics | {"eval_loss": 100.0 + self.state.global_step, "eval_accuracy": 0.0}
            metrics |= {"eval_rewards/accuracies": 0.0}
        return evaluate(self, metrics, trial)

    return changed


@pytest.mark.slow
def test_the_model_of_the_best_measurement_is_saved_and_not_the_last_step_s(tmp_path, run, monkeypatch):
    monkeypatch.setattr(StepTrainer, "_determine_best_metric", worse_after(3))
    record = train(best_recipe(tmp_path, run, "best"))
    found = measured(tmp_path / "best")
    lowest = min((found[step]["eval_loss"], step) for step in (1, 2, 3))[1]
    assert record.trained.steps == 8
    assert record.kept.model_dump() == {
        "step": lowest,
        "figure": "eval_loss",
        "value": found[lowest]["eval_loss"],
        "measurements": 8,
    }
    assert record.after == found[lowest]
    # The rate is constant, so a training of so many steps ends with that very model.
    short = training_recipe(tmp_path, *run, optimisation=FLAT | {"steps": lowest}, output={"dir": str(tmp_path / "s")})
    train(short)
    assert same(weights(tmp_path / "best"), weights(tmp_path / "s"))
    assert not (tmp_path / "best" / "checkpoints").exists()


@pytest.mark.slow
def test_a_run_that_died_after_its_best_measurement_still_ends_with_its_model(tmp_path, run, monkeypatch):
    monkeypatch.setattr(StepTrainer, "_determine_best_metric", worse_after(3))
    straight = train(best_recipe(tmp_path, run, "straight"))
    step = StepTrainer.training_step

    def killed(self, model, inputs, *rest):
        if inputs["step"].number == 6:
            raise KeyboardInterrupt
        return step(self, model, inputs, *rest)

    died = best_recipe(tmp_path, run, "died")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StepTrainer, "training_step", killed)
        train(died)
    left = sorted(path.name for path in (tmp_path / "died" / "checkpoints").iterdir())
    assert left == [f"checkpoint-{straight.kept.step}", "checkpoint-6"]  # the best and the newest
    again = train(died)
    assert again.kept == straight.kept
    assert same(weights(tmp_path / "straight"), weights(tmp_path / "died"))


@pytest.mark.slow
def test_without_its_checkpoint_the_best_model_is_not_passed_off_by_another(tmp_path, run, monkeypatch):
    import shutil

    monkeypatch.setattr(StepTrainer, "_determine_best_metric", worse_after(3))
    step = StepTrainer.training_step

    def lost(self, model, inputs, *rest):
        if inputs["step"].number == 7:
            shutil.rmtree(self._best)
        return step(self, model, inputs, *rest)

    monkeypatch.setattr(StepTrainer, "training_step", lost)
    with pytest.raises(OutputError, match=r"checkpoint-\d, the checkpoint of the best measurement, is gone"):
        train(best_recipe(tmp_path, run, "lost"))


@pytest.mark.slow
@pytest.mark.parametrize("adapted", [False, True])
def test_a_reward_model_and_an_adapter_keep_their_best_by_accuracy_too(tmp_path, run, monkeypatch, adapted):
    monkeypatch.setattr(StepTrainer, "_determine_best_metric", worse_after(2))
    lora = {"lora": {"rank": 2, "alpha": 4}} if adapted else {}
    content = {"optimisation": FLAT | {"steps": 4}, "eval_steps": 1, "keep_best": "accuracy", **lora}
    recipes = {
        "reward": reward_recipe(tmp_path, *run, **content),
        "policy": best_recipe(tmp_path, run, "trained", **content),
    }
    for kind, recipe in recipes.items():
        record = train(recipe)
        found = measured(tmp_path / ("trained" if kind == "policy" else "reward-model"))
        figure = "eval_rewards/accuracies" if kind == "policy" else "eval_accuracy"
        first = max((found[step][figure], -step) for step in (1, 2))
        assert (record.kept.step, record.kept.figure) == (-first[1], figure)
        assert record.kept.value == first[0]


FIGURES = {
    "policy": {
        "loss": "eval_loss",
        "accuracy": "eval_rewards/accuracies",
        "margin": "eval_rewards/margins",
        "log_prob_chosen": "eval_mean_logps/chosen",
    },
    "reward": {"loss": "eval_loss", "accuracy": "eval_accuracy", "margin": "eval_margin"},
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "measure"), [(kind, name) for kind, names in FIGURES.items() for name in names])
def test_the_best_is_the_lowest_loss_and_the_highest_of_any_other_measure(tmp_path, run, monkeypatch, kind, measure):
    figure, evaluate = FIGURES[kind][measure], StepTrainer._determine_best_metric
    values = {1: 0.2, 2: 0.9, 3: 0.5, 4: 0.9}  # of equal ones the first is kept

    def changed(self, metrics, trial):
        assert figure in metrics
        others = dict.fromkeys(FIGURES[kind].values(), 0.0)
        return evaluate(self, others | {figure: values[self.state.global_step]}, trial)

    monkeypatch.setattr(StepTrainer, "_determine_best_metric", changed)
    content = {"optimisation": FLAT | {"steps": 4}, "eval_steps": 1, "keep_best": measure}
    made = reward_recipe(tmp_path, *run, **content) if kind == "reward" else best_recipe(tmp_path, run, "p", **content)
    record = train(made)
    assert (record.kept.step, record.kept.figure) == (1 if measure == "loss" else 2, figure)
    assert record.kept.value == record.after[figure]


def test_more_than_the_loss_is_measured_where_a_response_is_better_than_another():
    def orders(name, *rewards):
        return PolicyLearner(None, objective(name)).orders([Example("", [1], ([2],), one) for one in rewards])

    assert orders("rao", (1.0, 1.0), (2.0, 1.0))
    assert not orders("rao", (1.0, 1.0), (2.0,))
    assert orders("simpo", None)


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["accuracy", "margin", "log_prob_chosen"])
def test_without_two_rewards_of_a_prompt_there_is_nothing_but_the_loss_to_choose_by(
    tmp_path, run, monkeypatch, measure
):
    monkeypatch.setattr(PolicyLearner, "orders", lambda *_: False)
    with pytest.raises(ConfigError, match=rf"keep_best: {measure} is of a prompt's .* test, has two of different rew"):
        train(best_recipe(tmp_path, run, "none", keep_best=measure))
    assert train(best_recipe(tmp_path, run, "loss", optimisation=FLAT | {"steps": 1})).kept.step == 1


@pytest.mark.slow
def test_the_terminal_names_the_step_whose_model_it_is(tmp_path, run, monkeypatch):
    from io import StringIO

    from rich.console import Console

    monkeypatch.setattr(StepTrainer, "_determine_best_metric", worse_after(1))
    record = train(best_recipe(tmp_path, run, "best"))
    out = StringIO()
    print_training(Console(file=out, width=160), record, tmp_path / "best", seconds=1.0, unchanged=False)
    value = record.kept.value
    assert f"kept         the model of step 1: eval_loss {value:.4f}, the best of 8 measurements" in out.getvalue()


@pytest.mark.slow
def test_a_run_without_test_prompts_has_nothing_to_choose_by(tmp_path, run):
    recipe = best_recipe(tmp_path, run, "none", dataset={"path": str(run[0]), "test_size": 0.0})
    with pytest.raises(
        ConfigError, match=r"keep_best: loss chooses among measurements on test, .* held out no prompts"
    ):
        train(recipe)


def recipe(**changes):
    content = {
        "name": "unit",
        "dataset": {"path": "./run"},
        "model": {"model": "smollm2"},
        "objective": {"name": "dpo"},
        "optimisation": {"learning_rate": 1e-6},
        "output": {"dir": "out"},
    }
    return TrainingRecipe.model_validate(content | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"keep_best: loss chooses among measurements on test: it needs eval_steps and the split test"),
        (
            {"eval_steps": 5, "dataset": {"path": "./run", "splits": ["train"]}},
            r"it needs eval_steps and the split test",
        ),
        ({"eval_steps": 5, "save_steps": 10}, r"save_steps: 10 is not eval_steps: 5; leave save_steps out"),
    ],
)
def test_what_keep_best_needs_is_said(changes, message):
    with pytest.raises(ValueError, match=message):
        recipe(keep_best="loss", **changes)


def test_keeping_the_best_is_part_of_what_a_checkpoint_is_of_and_the_default_is_what_it_was():
    plain, best = recipe(eval_steps=5), recipe(eval_steps=5, keep_best="loss")
    assert "keep_best" not in plain.identity()
    assert "keep_best" not in plain.settings()
    assert best.identity()["keep_best"] == best.settings()["keep_best"] == "loss"


def test_a_reward_model_gives_no_log_prob_to_choose_by():
    reward = {"kind": "reward", "objective": None, "eval_steps": 5, "keep_best": "log_prob_chosen"}
    with pytest.raises(ValueError, match=r"keep_best: log_prob_chosen is of a policy, .* use loss, accuracy or margin"):
        recipe(**reward)
    assert recipe(**reward | {"keep_best": "margin"}).keep_best == "margin"
