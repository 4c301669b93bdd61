"""`keep_checkpoints`, and measurements and checkpoints at the end of each pass."""

import json

import pytest
from curated_support import curated_run, reward_recipe, training_recipe
from flows_support import call_plainly
from safetensors.torch import load_file

import flows.curate.flow as curate_module
import flows.train.flow as train_module
from flows.train.config import TrainingRecipe
from flows.train.plan import plan_training
from trainers.steps.trainer import StepTrainer

slow = pytest.mark.slow
FLAT = {"learning_rate": 0.01, "pairs_per_step": 8, "steps": 6, "warmup": 0, "schedule": "constant"}
# Of 18 training pairs: the passes end in the steps of pairs 18, 36 and 54, which are the 3rd, the 5th and the 7th.
PASSES = {"learning_rate": 0.01, "pairs_per_step": 8, "epochs": 3, "warmup": 0, "schedule": "constant"}
ENDS = [3, 5, 7]


@pytest.fixture
def run(tmp_path, monkeypatch):
    call_plainly(monkeypatch, curate_module, train_module)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    return curated_run(tmp_path)


def recipe(tmp_path, run, name, **changes):
    content = {"objective": {"name": "simpo"}, "optimisation": FLAT, "output": {"dir": str(tmp_path / name)}}
    return training_recipe(tmp_path, *run, **content | changes)


def train(recipe):
    return train_module.run_training(plan_training(recipe))


def left(folder):
    return sorted(int(path.name.removeprefix("checkpoint-")) for path in (folder / "checkpoints").iterdir())


def measured(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if "eval_loss" in line}


def same(one, other):
    one, other = (load_file(folder / "model.safetensors") for folder in (one, other))
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


def dying_at(monkeypatch, recipe, number):
    step = StepTrainer.training_step

    def killed(self, model, inputs, *rest):
        if inputs["step"].number == number:
            raise KeyboardInterrupt
        return step(self, model, inputs, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StepTrainer, "training_step", killed)
        train(recipe)


@slow
@pytest.mark.parametrize(("keep", "steps"), [(1, [6]), (3, [4, 5, 6]), ("all", [1, 2, 3, 4, 5, 6])])
def test_the_newest_so_many_stay_and_are_models_without_a_pickle(tmp_path, run, keep, steps):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    train(recipe(tmp_path, run, "kept", save_steps=1, keep_checkpoints=keep))
    folder = tmp_path / "kept"
    assert left(folder) == steps
    newest = folder / "checkpoints" / "checkpoint-6"
    assert not {path.suffix for path in newest.iterdir()} & {".pt", ".pth", ".bin"}
    assert {"run.json", "trainer_state.json"} <= {path.name for path in newest.iterdir()}
    _, info = AutoModelForCausalLM.from_pretrained(newest, output_loading_info=True)
    assert not info["missing_keys"]
    assert same(newest, folder / "model")  # float32 both
    template = AutoTokenizer.from_pretrained(newest).chat_template
    assert template == AutoTokenizer.from_pretrained(run[1]).chat_template
    # Its tokenizer is that of the run, so a training may start from it.
    assert plan_training(recipe(tmp_path, run, "next", model={"model": str(newest)})).model.location == str(newest)
    # What a training makes of an earlier step is what one of so many steps ends with.
    if keep == "all":
        train(recipe(tmp_path, run, "short", optimisation=FLAT | {"steps": 2}))
        assert same(folder / "checkpoints" / "checkpoint-2", tmp_path / "short" / "model")


@slow
def test_by_default_two_lie_there_while_it_trains_and_none_after(tmp_path, run, monkeypatch):
    plain = recipe(tmp_path, run, "plain", save_steps=1)
    dying_at(monkeypatch, plain, 5)
    assert left(tmp_path / "plain") == [4, 5]
    train(plain)
    assert not (tmp_path / "plain" / "checkpoints").exists()


@slow
def test_checkpoints_of_a_finished_training_are_no_place_to_go_on_from(tmp_path, run, monkeypatch):
    kept = recipe(tmp_path, run, "kept", save_steps=2, keep_checkpoints="all")
    train(kept)
    assert left(tmp_path / "kept") == [2, 4, 6]
    # Steps are counted anew: no checkpoint of the training that is replaced was taken for one of its own.
    replaced = kept.model_copy(
        update={"keep_checkpoints": 1, "output": kept.output.model_copy(update={"overwrite": True})}
    )
    taken, step = [], StepTrainer.training_step

    def noted(self, model, inputs, *rest):
        taken.append(inputs["step"].number)
        return step(self, model, inputs, *rest)

    monkeypatch.setattr(StepTrainer, "training_step", noted)
    train(replaced)
    assert taken == [0, 1, 2, 3, 4, 5]
    assert left(tmp_path / "kept") == [6]


@slow
def test_a_reward_model_s_checkpoints_stay_too(tmp_path, run):
    train(reward_recipe(tmp_path, *run, optimisation=FLAT, save_steps=3, keep_checkpoints="all"))
    assert left(tmp_path / "reward-model") == [3, 6]
    weights = load_file(tmp_path / "reward-model" / "checkpoints" / "checkpoint-3" / "model.safetensors")
    assert "score.weight" in weights


@slow
def test_an_epoch_is_measured_at_the_end_of_each_pass_and_so_are_its_checkpoints_written(tmp_path, run):
    record = train(
        recipe(
            tmp_path, run, "passes", optimisation=PASSES, eval_steps="epoch", save_steps="epoch", keep_checkpoints="all"
        )
    )
    assert record.data.examples == 18
    assert list(measured(tmp_path / "passes")) == [0, *ENDS]
    assert left(tmp_path / "passes") == ENDS


@slow
def test_a_part_of_a_pass_is_measured_at_the_last_step(tmp_path, run):
    optimisation = PASSES | {"epochs": 1.5}
    train(recipe(tmp_path, run, "part", optimisation=optimisation, eval_steps="epoch", save_steps=1))
    assert list(measured(tmp_path / "part")) == [0, 3, 4]


@slow
def test_the_best_of_three_epochs_is_kept_by_a_run_that_died_too(tmp_path, run, monkeypatch):
    evaluate = StepTrainer._determine_best_metric
    accuracies = dict(zip(ENDS, (0.6, 0.8, 0.7), strict=True))

    def changed(self, metrics, trial):
        return evaluate(self, metrics | {"eval_rewards/accuracies": accuracies[self.state.global_step]}, trial)

    monkeypatch.setattr(StepTrainer, "_determine_best_metric", changed)
    best = {"optimisation": PASSES, "eval_steps": "epoch", "keep_best": "accuracy"}
    straight = train(recipe(tmp_path, run, "straight", **best))
    assert (straight.kept.step, straight.kept.measurements) == (5, 3)
    died = recipe(tmp_path, run, "died", **best)
    dying_at(monkeypatch, died, 6)
    assert left(tmp_path / "died") == [3, 5]
    again = train(died)
    assert again.kept == straight.kept
    assert same(tmp_path / "straight" / "model", tmp_path / "died" / "model")
    short = recipe(tmp_path, run, "short", optimisation=FLAT | {"steps": 5})
    train(short)
    assert same(tmp_path / "straight" / "model", tmp_path / "short" / "model")


@slow
@pytest.mark.parametrize(("keep", "steps"), [(1, [2, 6]), (2, [2, 6]), (3, [2, 5, 6])])
def test_the_best_is_among_those_that_stay(tmp_path, run, monkeypatch, keep, steps):
    evaluate = StepTrainer._determine_best_metric

    def changed(self, metrics, trial):
        return evaluate(self, metrics | {"eval_loss": abs(self.state.global_step - 2.0)}, trial)

    monkeypatch.setattr(StepTrainer, "_determine_best_metric", changed)
    train(recipe(tmp_path, run, "kept", eval_steps=1, keep_best="loss", keep_checkpoints=keep))
    assert left(tmp_path / "kept") == steps
    assert same(tmp_path / "kept" / "checkpoints" / "checkpoint-2", tmp_path / "kept" / "model")


def unit(**changes):
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
        ({"keep_checkpoints": 3}, r"keep_checkpoints: 3 keeps checkpoints, and none is written; set save_steps, or"),
        ({"keep_checkpoints": 0, "save_steps": 1}, r"keep_checkpoints"),
        ({"keep_checkpoints": "some", "save_steps": 1}, r"keep_checkpoints"),
        ({"save_steps": "epochs"}, r"save_steps"),
        ({"eval_steps": "epoch", "save_steps": 2, "keep_best": "loss"}, r"save_steps: 2 is not eval_steps: epoch"),
    ],
)
def test_what_does_not_fit_is_said(changes, message):
    with pytest.raises(ValueError, match=message):
        unit(**changes)


def test_checkpoints_that_stay_are_a_part_of_the_result_and_not_of_what_decides_the_weights():
    plain, sparse = unit(save_steps=2), unit(save_steps=3)
    assert plain.settings() == sparse.settings()
    assert not {"save_steps", "keep_checkpoints"} & plain.settings().keys()
    kept = [unit(save_steps=2, keep_checkpoints=3), unit(save_steps=3, keep_checkpoints=3)]
    assert kept[0].settings() != kept[1].settings()
    assert kept[0].settings() == plain.settings() | {"save_steps": 2, "keep_checkpoints": 3}
    assert kept[0].identity() == plain.identity()
