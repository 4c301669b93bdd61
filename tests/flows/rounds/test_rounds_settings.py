"""Which keys of a recipe make other rounds."""

import pytest

from flows.rounds.config import RoundsConfig, without

PROMPTS = [{"kind": "prompts", "path": "./prompts.jsonl"}]
RECIPE = {
    "name": "r",
    "start": {"model": "smollm2"},
    "curate": {
        "generate": {"prompts": PROMPTS, "policies": [{"n": 2}, {"n": 4}], "annotators": [{"kind": "reward"}]},
        "policy": {"dtype": "float32"},
    },
    "train": {"optimisation": {"steps": 4}},
    "held_out": {"prompts": PROMPTS, "judge": {"model": "judge"}},
    "output": {"dir": "runs/r"},
}


def settings(*path, value):
    """Of the recipe with one key more, or another value of it."""
    recipe = RoundsConfig.model_validate(RECIPE).model_dump(mode="json", exclude_unset=True)
    at = recipe
    for key in path[:-1]:
        at = at[key] if isinstance(at, list) else at.setdefault(key, {})
    at[path[-1]] = value
    return RoundsConfig.model_validate(recipe).settings()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("curate", "cluster"), {"address": "auto"}),
        (("curate", "report_to"), ["wandb"]),
        (("curate", "preparation"), {"workers": 2}),
        (("curate", "policy", "data_parallel"), 2),
        (("curate", "reward", "data_parallel"), 2),
        (("curate", "consistency", "keep_loaded"), True),
        (("curate", "generate", "policies", 1, "data_parallel"), 8),
        (("curate", "generate", "annotators", 0, "data_parallel"), 8),
        (("train", "report_to"), ["tensorboard"]),
        (("train", "cluster"), {"address": "local"}),
        (("train", "save_steps"), 10),
        (("held_out", "policy", "data_parallel"), 2),
        (("held_out", "judge", "data_parallel"), 2),
        (("curate", "output", "copy_to"), "memory://runs"),
        (("rounds",), 5),
        (("output", "dir"), "elsewhere"),
    ],
    ids=lambda found: ".".join(map(str, found)) if isinstance(found, tuple) else "",
)
def test_where_rounds_run_and_who_is_told_makes_no_other_rounds(path, value):
    assert settings(*path, value=value) == RoundsConfig.model_validate(RECIPE).settings()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("curate", "policy", "dtype"), "bfloat16"),
        (("curate", "generate", "policies", 1, "n"), 8),
        (("train", "optimisation", "steps"), 5),
        (("held_out", "judge", "dtype"), "float32"),
        (("prompt_parts",), 3),
    ],
    ids=lambda found: ".".join(map(str, found)) if isinstance(found, tuple) else "",
)
def test_what_a_round_computes_makes_other_rounds(path, value):
    assert settings(*path, value=value) != RoundsConfig.model_validate(RECIPE).settings()


def test_keys_are_left_out_of_nested_sections_and_of_each_item_of_a_list():
    value = {"a": 1, "b": [{"c": 1, "d": 2}, {"c": 3}], "e": {"a": 1}, "f": None, "g": {"a": 2}, "h": {}}
    keys = {"a": True, "b": {"__all__": {"c": True}}, "f": {"x": True}, "g": {"a": True}}
    assert without(value, keys) == {"b": [{"d": 2}, {}], "e": {"a": 1}, "f": None}
    assert without(value, {}) == {key: item for key, item in value.items() if key != "h"}
