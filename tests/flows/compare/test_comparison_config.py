"""Comparison recipes: every shipped one loads with its training, and what does not fit is one clear message."""

import pytest

from flows.compare.config import ComparisonConfig
from flows.compare.plan import RAW, ComparisonPlan
from flows.runtime.config_files import CONFIGS, load_config, read_config
from flows.train.config import TrainingRecipe
from transforms.errors import ConfigError

RECIPES = sorted((CONFIGS / "compare").glob("*.yaml"))


def load(*argv):
    default = CONFIGS / "compare" / "starter.yaml"
    return load_config(ComparisonConfig, list(argv), default=default, program="compare")


@pytest.mark.parametrize("path", RECIPES, ids=[p.stem for p in RECIPES])
def test_every_shipped_recipe_loads_and_so_does_the_training_that_it_names(path):
    config = load("--config", str(path))
    assert config.name == path.stem
    recipe = read_config(TrainingRecipe, CONFIGS.parents[1] / config.training, config.changes)
    assert recipe.dataset.path.startswith("./runs/")


def test_changes_reach_into_the_training_recipe():
    path = CONFIGS / "train" / "starter-dpo.yaml"
    changed = {"optimisation": {"steps": 4}, "objective": {"settings": {"beta": 0.3}}, "lora": None}
    recipe = read_config(TrainingRecipe, path, changed)
    assert (recipe.optimisation.steps, recipe.optimisation.epochs, recipe.optimisation.pairs_per_step) == (4, None, 8)
    assert (recipe.objective.name, recipe.objective.settings) == ("dpo", {"beta": 0.3})
    assert recipe.lora is None


def test_trainings_of_a_comparison_measure_nothing_and_leave_no_checkpoints():
    kept = {"eval_steps": "epoch", "keep_best": "margin", "keep_checkpoints": "all", "kl_reference": True}
    base = read_config(TrainingRecipe, CONFIGS / "train" / "starter-simpo.yaml", kept)
    assert (base.keep_checkpoints, base.keep_best) == ("all", "margin")
    found = ComparisonPlan(load(), base, None, None, "", None).recipe(RAW, seed=1, steps=2, name="raw")
    assert (found.eval_steps, found.keep_best, found.keep_checkpoints) == (None, None, None)
    assert TrainingRecipe.model_validate(found.model_dump()) == found


def test_any_key_is_a_flag():
    config = load("--variants", '["raw", 0.5]', "--seeds", "5", "--changes", '{"memory": {"dtype": "float32"}}')
    assert (config.variants, config.seeds) == (["raw", 0.5], 5)
    assert config.changes["memory"] == {"dtype": "float32"}
    assert config.changes["dataset"] == {"path": "./runs/starter"}  # the file's own changes stay


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds", "1"], r"seeds: .*greater than or equal to 2 \(found '1'\)"),
        (["--variants", '["raw"]'], "variants: .*at least 2 items"),
        (["--variants", '["raw", "raw"]'], "variants: raw stands there twice"),
        (["--budgets", '["steps", "steps"]'], "budgets: steps stands there twice"),
        (["--variants", '["raw", 1.0]'], "variants"),
        (["--measure", "mean_log_prob"], "measure: .*log_ratio"),
        (["--test_size", "0"], "test_size: .*greater than 0"),
    ],
)
def test_a_value_that_does_not_fit_is_named(flags, message):
    with pytest.raises(ConfigError, match=message):
        load(*flags)


def test_a_training_recipe_that_is_missing_or_does_not_fit_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no recipe .*nowhere\.yaml"):
        read_config(TrainingRecipe, tmp_path / "nowhere.yaml", {})
    path = CONFIGS / "train" / "starter-dpo.yaml"
    with pytest.raises(ConfigError, match=r"optimisation: .*epochs: 2\.0 and steps: 5 say two things"):
        read_config(TrainingRecipe, path, {"optimisation": {"epochs": 2}})
    with pytest.raises(ConfigError, match=r"datset: no such key; did you mean dataset\?"):
        read_config(TrainingRecipe, path, {"datset": {}})
