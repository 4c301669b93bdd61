"""Training recipes: every shipped one loads, and what does not fit is one clear message."""

import pytest

from flows.runtime.config_files import CONFIGS, load_config
from flows.train.config import TrainingRecipe
from transforms.errors import ConfigError

RECIPES = sorted((CONFIGS / "train").glob("*.yaml"))


def load(*argv):
    return load_config(TrainingRecipe, list(argv), default=CONFIGS / "train" / "starter-dpo.yaml", program="train")


@pytest.mark.parametrize("path", RECIPES, ids=[p.stem for p in RECIPES])
def test_every_shipped_recipe_loads_is_named_like_its_file_and_names_an_objective_with_its_settings(path):
    from trainers.objectives import objective

    recipe = load("--config", str(path))
    assert recipe.name == path.stem
    assert (recipe.kind == "reward") == ("reward" in path.stem)
    if recipe.kind == "preference":
        objective(recipe.objective.name, **recipe.objective.settings)


def test_papers_settings_are_those_of_the_registry_of_published_ones():
    from trainers.objectives.published import PUBLISHED

    published = PUBLISHED["simpo"]["mistral-7b-base"]
    recipe = load("--config", str(CONFIGS / "train" / "simpo.yaml"))
    assert recipe.objective.settings == published.settings
    assert recipe.optimisation.learning_rate == published.learning_rate
    assert (recipe.optimisation.pairs_per_step, recipe.optimisation.warmup) == (128, 0.1)
    assert (recipe.optimisation.schedule, recipe.optimisation.epochs) == ("cosine", 1)


@pytest.mark.parametrize(
    ("stem", "model", "policy"),
    [
        ("alphapo", "llama-3-8b-instruct", "meta-llama/Meta-Llama-3-8B-Instruct"),
        ("alphapo-mistral", "mistral-7b-instruct", "mistralai/Mistral-7B-Instruct-v0.2"),
        ("alphapo-gemma2", "gemma-2-9b-it", "google/gemma-2-9b-it"),
    ],
)
def test_each_row_of_alphapos_table_that_is_known_is_a_recipe_on_on_policy_pairs(stem, model, policy):
    from trainers.objectives.published import PUBLISHED

    published = PUBLISHED["alphapo"][model]
    recipe = load("--config", str(CONFIGS / "train" / f"{stem}.yaml"))
    assert recipe.objective.settings == published.settings
    assert recipe.optimisation.learning_rate == published.learning_rate
    assert recipe.model.model == policy
    assert "onpolicy" in recipe.dataset.path
    assert set(PUBLISHED["alphapo"]) == {"llama-3-8b-instruct", "mistral-7b-instruct", "gemma-2-9b-it"}


def test_rao_is_trained_as_in_the_papers_main_runs_by_the_reading_that_lets_chosen_responses_rise():
    from trainers.objectives.published import PUBLISHED

    recipe = load("--config", str(CONFIGS / "train" / "rao.yaml"))
    assert (recipe.optimisation.epochs, recipe.keep_best, recipe.dataset.responses) == (3, "loss", "pairs")
    assert recipe.dataset.kept == "full"
    assert recipe.objective.settings == pytest.approx(PUBLISHED["rao"]["Z_0 = 50"].settings, abs=1e-4)


def test_a_setting_may_be_a_name():
    recipe = load("--objective", '{"name": "cal_dpo", "settings": {"form": "authors", "beta": 0.01}}')
    assert recipe.objective.settings == {"form": "authors", "beta": 0.01}


def test_any_key_is_a_flag():
    recipe = load(
        "--dataset.kept", "0.5", "--objective.settings", '{"beta": 0.2}', "--optimisation.learning_rate", "1e-6"
    )
    assert recipe.dataset.kept == 0.5
    assert recipe.objective.settings == {"beta": 0.2}
    assert recipe.optimisation.learning_rate == 1e-6
    assert load("--dataset.kept", "full").dataset.kept == "full"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--optimisation.epochs", "2"), r"epochs: 2\.0 and steps: 5 say two things"),
        (("--dataset.kept", "1.5"), r"dataset\.kept"),
        (("--kind", "reward"), r"kind: reward has no use for objective; leave it out"),
        (("--head.folds", "3"), r"kind: preference has no use for head; leave it out"),
        (("--objective", "null"), r"kind: preference needs objective"),
        (("--optimisation.learning_rate", "0"), r"optimisation\.learning_rate: .*greater than 0"),
        (
            ("--config", "nowhere.yaml"),
            r"no recipe nowhere\.yaml; shipped ones: alphapo-gemma2\.yaml, .*flows/configs/train",
        ),
        (("--dataset.responses", "all"), r"kept: truncated cuts the two responses of a pair"),
    ],
)
def test_what_does_not_fit_is_said(flags, message):
    with pytest.raises(ConfigError, match=message):
        load(*flags)


REWARD = ("--config", str(CONFIGS / "train" / "reward.yaml"))
HEAD = ("--config", str(CONFIGS / "train" / "starter-reward.yaml"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((*REWARD, "--optimisation", "null"), r"kind: reward needs optimisation"),
        ((*REWARD, "--lora.merge", "false"), r"no reward engine loads; a reward model is saved whole"),
        ((*REWARD, "--reward.margin", "0"), r"reward\.margin"),
        ((*HEAD, "--optimisation.learning_rate", "1"), r"reward with a head alone has no use for optimisation"),
        ((*HEAD, "--reward.regularizer", "temporally_coherent"), r"needs a model that learns below its head"),
        ((*HEAD, "--save_steps", "3"), r"reward with a head alone has no use for save_steps"),
    ],
)
def test_a_reward_model_needs_what_its_way_of_training_needs_and_nothing_else(flags, message):
    with pytest.raises(ConfigError, match=message):
        load(*flags)


def test_a_margin_is_a_number_or_names_what_it_is_the_difference_of():
    assert load(*REWARD, "--reward.margin", "0.5").reward.margin == 0.5
    assert load(*REWARD, "--reward.margin", "score").reward.margin == "score"
    assert load(*REWARD).reward is None


def test_a_head_alone_takes_no_steps():
    with pytest.raises(ConfigError, match=r"a head alone is fitted without steps"):
        _ = load(*HEAD).stepwise


def test_rounding_and_places_are_no_part_of_what_decides_the_weights():
    one = load()
    other = load("--memory.batch_tokens", "64", "--save_steps", "3", "--output.dir", "elsewhere", "--ledger", "x")
    assert one.identity() == other.identity()
    narrow, wide = (load("--memory.dtype", dtype).identity() for dtype in ("bfloat16", "float32"))
    assert narrow != wide
    assert one.settings() != other.settings()  # another cut of a step may round otherwise


LATER = [("shard", "fsdp"), ("activations_gib", "2.5"), ("compile", "true")]


@pytest.mark.parametrize(("key", "value"), LATER)
def test_a_training_without_what_came_later_is_what_it_was_before_there_was_a_choice(key, value):
    plain, other = load(), load(f"--memory.{key}", value)
    assert set(plain.settings()["memory"]) == {"batch_tokens", "dtype", "gradient_checkpointing"}
    assert other.settings()["memory"][key] in ("fsdp", 2.5, True)
    assert plain.identity() == other.identity()  # the one goes on from a checkpoint of the other


@pytest.mark.parametrize(("key", "value"), LATER)
def test_a_head_that_is_fitted_alone_has_no_use_for_what_is_of_steps(key, value):
    assert load(*HEAD).head is not None
    with pytest.raises(ConfigError, match=rf"memory\.{key} is about the steps of all weights, and a head alone"):
        load(*HEAD, f"--memory.{key}", value)


SFT = ("--config", str(CONFIGS / "train" / "starter-sft.yaml"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((*SFT, "--objective.name", "dpo"), r"kind: sft has no use for objective; leave it out"),
        ((*SFT, "--reference.model", "smollm2"), r"kind: sft has no use for reference; leave it out"),
        ((*SFT, "--reward.margin", "1"), r"kind: sft has no use for reward; leave it out"),
        ((*SFT, "--head.folds", "3"), r"kind: sft has no use for head; leave it out"),
        ((*SFT, "--cluster.address", "auto"), r"kind: sft has no use for cluster; leave it out"),
        ((*SFT, "--optimisation", "null"), r"kind: sft needs optimisation"),
        ((*SFT, "--keep_best", "accuracy", "--eval_steps", "1"), r"accuracy is of an order, and kind: sft learns none"),
        ((*SFT, "--dataset.responses", "all"), r"dataset\.responses: all takes rejected responses too"),
        (("--kind", "sft"), r"kind: sft has no use for objective; leave it out"),
        (("--dataset.chat_template", "x"), r"kind: preference has no use for dataset\.chat_template"),
        ((*HEAD, "--dataset.chat_template", "x"), r"kind: reward has no use for dataset\.chat_template"),
        (("--kind", "sfft"), r"kind: .*'preference', 'reward' or 'sft'"),
    ],
)
def test_completions_need_steps_and_nothing_that_orders(flags, message):
    with pytest.raises(ConfigError, match=message):
        load(*flags)


def test_completions_take_an_adapter_of_their_own_and_keep_the_best_by_loss():
    recipe = load(*SFT, "--lora.merge", "false", "--keep_best", "loss", "--eval_steps", "2", "--memory.shard", "fsdp")
    assert (recipe.kind, recipe.keep_best, recipe.lora.merge, recipe.memory.shard) == ("sft", "loss", False, "fsdp")


def test_a_training_on_ids_that_are_made_is_what_it_was_before_rows_had_a_template():
    assert "chat_template" not in load().settings()["dataset"]
    assert "chat_template" not in load(*SFT).settings()["dataset"]
    assert load(*SFT, "--dataset.chat_template", "x.jinja").settings()["dataset"]["chat_template"] == "x.jinja"
