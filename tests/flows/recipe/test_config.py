"""Recipes and flags: every shipped one loads, every typo is one clear message."""

import re

import pytest
import yaml

from flows.recipe.command_line import load_recipe
from flows.recipe.curation import Recipe
from flows.runtime.config_files import CONFIGS, load_config, read_config
from transforms.errors import ConfigError

RECIPES = sorted(CONFIGS.glob("*.yaml"))


def load(*argv, default=CONFIGS / "starter.yaml"):
    return load_recipe(list(argv), default=default, program="curate")


@pytest.mark.parametrize("path", RECIPES, ids=[p.stem for p in RECIPES])
def test_every_shipped_recipe_loads_and_is_named_like_its_file(path):
    assert load("--config", str(path)).name == path.stem


def test_the_recipe_of_poets_first_setting_pairs_and_filters_as_the_paper_did():
    recipe = load("--config", str(CONFIGS / "ultrafeedback-poet.yaml"))
    assert recipe.sources[0].score == "mean"
    assert (recipe.truncate.method, recipe.truncate.max_length) == ("poet", 2048)
    assert recipe.filters.max_prompt_tokens == 1800


def test_there_are_recipes_to_load():
    assert len(RECIPES) >= 5


def test_without_a_config_it_is_the_starter():
    assert load().name == "starter"


def test_any_key_is_a_flag_that_wins_over_the_file():
    recipe = load(
        "--truncate.method", "ratio", "--truncate.ratio", "0.5", "--output.dir", "elsewhere", "--sampling.n", "5"
    )
    assert (recipe.truncate.method, recipe.truncate.ratio) == ("ratio", 0.5)
    assert (recipe.output.dir, recipe.sampling.n) == ("elsewhere", 5)
    assert recipe.sampling.max_new_tokens == load().sampling.max_new_tokens


def test_sources_can_be_given_as_json():
    recipe = load("--sources", '[{"kind": "shp", "path": "stanfordnlp/SHP", "min_score_ratio": 3}]')
    assert recipe.sources[0].min_score_ratio == 3
    assert recipe.sources[0].max_pairs_per_prompt == 5


def test_an_environment_variable_is_no_recipe_key(monkeypatch):
    monkeypatch.setenv("NAME", "from-the-environment")
    assert load().name == "starter"


def write(tmp_path, **changes):
    content = yaml.safe_load((CONFIGS / "starter.yaml").read_text()) | changes
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"polcy": {}}, r"polcy: no such key; did you mean policy\?"),
        ({"truncate": {"overwrite": True}}, "truncate.overwrite: no such key; it is a key of another section"),
        ({"truncate": {"methd": "poet"}}, r"truncate.methd: no such key; did you mean method\?"),
        ({"truncate": {"method": "poets"}}, r"truncate.method: .*'poet'.*found 'poets'"),
        ({"sampling": {"n": 0}}, r"sampling.n: .*greater than or equal to 1 \(found 0\)"),
        ({"sampling": {"temperature": 0}}, "temperature 0 gives 3 equal completions"),
        ({"sampling": {"temperature": 2.5}}, r"sampling.temperature: .*less than or equal to 2 \(found 2.5\)"),
        ({"sampling": {"temperature": 0.005}}, "temperature 0.005 is one that vLLM raises to 0.01"),
        ({"reward": None}, "no reward model scores them"),
        ({"sources": []}, "sources: none, and nothing to generate"),
        (
            {"sources": [{"kind": "ultrafedback", "path": "x"}]},
            r"sources.0.kind: there is no 'ultrafedback'; did you mean ultrafeedback\?; one of .*, argilla",
        ),
        (
            {"sources": [{"kind": "argilla", "path": "x", "question": "preference"}]},
            r"sources.0.argilla.question: expected a list \(found 'preference'\)",
        ),
        ({"sources": [{"path": "x"}]}, "sources.0.kind: missing; one of ultrafeedback, .*argilla, generated$"),
        (
            {"sources": [{"kind": "helpsteer2", "path": "x", "min_strenght": 2}]},
            r"sources.0.helpsteer2.min_strenght: no such key; did you mean min_strength\?",
        ),
        ({"policy": {"model": "m", "urls": "http://x"}}, r"policy.urls: no such key; did you mean url\?"),
        ({"policy": {"model": "m", "engine": "server"}}, "needs policy.url"),
        ({"name": "../../etc"}, "name: .*pattern"),
    ],
)
def test_a_key_or_value_that_does_not_fit_is_named_with_what_was_found(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        load("--config", write(tmp_path, **changes))


def test_what_a_flag_says_is_not_laid_to_the_file_alone(tmp_path):
    with pytest.raises(ConfigError, match=r"recipe\.yaml with the flags does not fit:\n  sampling\.n"):
        load("--config", write(tmp_path), "--sampling.n", "0")


def test_a_key_that_was_left_out_is_not_taken_for_given_after_it_was_written_out(tmp_path):
    source = {"kind": "helpsteer2", "path": "./x.jsonl", "weights": {"helpfulness": 1, "verbosity": -0.5}}
    recipe = load("--config", write(tmp_path, sources=[source]))
    assert recipe.sources[0].order == {"helpfulness": 1, "verbosity": -0.5}
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe  # as a card has it, every key


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--truncat.method", "poet"], "there is no flag --truncat.method; did you mean truncate.method?"),
        (["--dry"], "there is no flag --dry; curate --help lists them"),
        (["--output.dir", "x", "mine.yaml"], "mine.yaml is no flag: expected one file, before all flags, and then"),
        (["--output.overwrite"], "--output.overwrite: expected one argument"),
        (["mine.yaml", "--config", "yours.yaml"], "two files: mine.yaml and that of --config; name one of them"),
    ],
)
def test_what_is_no_flag_is_one_message(argv, message, capsys):
    with pytest.raises(ConfigError, match="^" + re.escape(message)):
        load(*argv)
    assert capsys.readouterr() == ("", "")  # and not the usage, of a hundred lines


def test_the_file_may_stand_first_or_behind_its_flag(tmp_path):
    path = write(tmp_path, name="mine")
    assert load(path).name == load("--config", path).name == load(f"--config={path}").name == "mine"
    assert load(path, "--sampling.n", "5").sampling.n == 5
    assert load("--sampling.n", "5", "--config", path).name == "mine"


def test_what_is_wrong_with_several_keys_together_is_said_without_the_whole_recipe(tmp_path):
    with pytest.raises(ConfigError, match=r"does not fit:\n  the policy samples .* set policy\.engine: none$"):
        load("--config", write(tmp_path, reward=None))


def test_a_missing_recipe_names_the_shipped_ones():
    with pytest.raises(ConfigError, match=r"there is no recipe nowhere\.yaml; shipped ones: .*starter\.yaml"):
        load("--config", "nowhere.yaml")


def test_files_of_the_user_are_no_shipped_ones(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    for read in (
        lambda: read_config(Recipe, tmp_path / "none.yaml", {}),
        lambda: load_config(Recipe, ["none.yaml"], default=tmp_path / "mine.yaml", program="test"),
    ):
        with pytest.raises(ConfigError, match=r"^there is no recipe [^;]*none\.yaml$"):
            read()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "recipe.yaml is empty, expected a mapping"),
        ("- a list", "holds a list"),
        ("a: [", "cannot be read as YAML"),
        ("a: 2024-02-30", "cannot be read as YAML: day is out of range for month"),
    ],
)
def test_a_file_that_is_no_recipe_is_named(tmp_path, content, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        load("--config", str(path))


def test_a_recipe_survives_json_as_prefect_sends_it():
    recipe = load()
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("flag", "value"), [("output", "/data/out"), ("policy", "qwen"), ("policy.chat_template_kwargs", "no thinking")]
)
def test_a_section_that_is_no_json_is_an_error_that_names_its_flag(flag, value):
    with pytest.raises(
        ConfigError, match=rf"--{flag} is no JSON: .*; expected JSON, or one of its keys as --{flag}.KEY"
    ):
        load(f"--{flag}", value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--policy.engine", "transformers", "--policy.quantization", "fp8"],
            "policy.quantization: only vLLM can do it",
        ),
        (
            ["--policy.engine", "none", "--policy.lora", "./a"],
            "policy.lora: nothing is sampled with policy.engine: none",
        ),
        (["--policy.engine", "vllm", "--policy.quantization", "bitsandbytes"], "'fp8_per_channel'"),
        (["--policy.quantization", "fp8", "--policy.dtype", "float32"], "computes with fp8 weights in bfloat16"),
        (["--policy.lora_revision", "v1"], "lora_revision is of an adapter, and there is none"),
        (["--policy.tensor_parallel", "0"], "greater than or equal to 1"),
        (["--policy.gpu_memory_utilization", "0.5", "--policy.kv_cache_gib", "2"], "both size the cache"),
        (
            ["--reward.tensor_parallel", "2"],
            "reward.tensor_parallel: only vLLM can do it, and the engine is transformers",
        ),
    ],
)
def test_settings_of_memory_and_weights_are_refused_where_they_would_do_nothing(flags, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(*flags)


def test_settings_of_memory_and_weights_stay_as_they_are_told_where_vllm_does_them():
    recipe = load("--policy.engine", "vllm", "--policy.tensor_parallel", "4", "--policy.gpu_memory_utilization", "0.8",
                  "--policy.quantization", "fp8", "--policy.lora", "./a", "--reward.engine", "vllm",
                  "--reward.quantization", "fp8_per_block")  # fmt: skip
    assert recipe.policy.engine_settings() == {
        "tensor_parallel": 4, "gpu_memory_utilization": 0.8, "quantization": "fp8", "lora": "./a",
    }  # fmt: skip
    assert recipe.reward.quantization == "fp8_per_block"
    assert load().policy.engine_settings() == {}


def test_auto_is_held_to_what_it_turns_out_to_be(monkeypatch):
    from flows.models import recipe_models as models
    from transforms.engines import select

    recipe = load("--policy.quantization", "fp8", "--policy.engine", "auto")
    monkeypatch.setattr(select, "vllm_installed", lambda: False)
    monkeypatch.setattr(models, "resolve_model", lambda *_, **__: pytest.fail("a model was looked for"))
    with pytest.raises(ConfigError, match=r"policy.quantization: only vLLM can do it, and the engine is transformers"):
        models.resolve_policy(recipe.policy)


SAMPLES = ("--policy.engine", "transformers")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--consistency.stop_below", "0.01", "--sampling.first", "null"), "without sampling.first there is one round"),
        (("--consistency.estimator", "rewards", "--sampling.n", "1", "--sampling.first", "1"), "set sampling.n to 2"),
        (("--budget.purpose", "rates"), "there is none: set completions or tokens"),
        (
            ("--budget.purpose", "verdicts", "--budget.tokens", "100", "--proxy", "null"),
            "the rates rest on the proxy's audit: set proxy",
        ),
    ],
)
def test_keys_that_could_do_nothing_are_refused(flags, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(*SAMPLES, *flags)
