"""The section `cluster`: how many replicas, where, and what is refused."""

import pytest
from pydantic import ValidationError

from flows.recipe.cluster import ClusterConfig
from flows.recipe.curation import Recipe
from flows.recipe.generation import Generation
from flows.replicas.crews import shares_of
from flows.runtime.config_files import load_config
from flows.train.config import TrainingRecipe

RECIPE = """
name: unit
sources: [{kind: preference, path: ./rows.jsonl}]
policy: {model: ./policy, engine: transformers}
reward: {model: ./reward}
output: {dir: ./out}
"""
GENERATION = {
    "name": "unit",
    "prompts": [{"kind": "prompts", "path": "./p.jsonl"}],
    "output": {"dir": "./out"},
    "policies": [{"model": "./policy"}],
    "annotators": [{"kind": "reward", "model": "./reward"}],
}


def recipe(tmp_path, more="", *flags):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE + more)
    return load_config(Recipe, [str(path), *flags], default=path, program="curate")


def test_a_range_without_quotes_is_no_number_of_base_60(tmp_path):
    found = recipe(tmp_path, "cluster: {address: auto, replicas: {policy: 1:8, reward: 4}}\n")
    replicas = found.cluster.replicas
    assert [replicas.of(role) for role in ("policy", "reward", "reference")] == [(1, 8), (4, 4), (1, 1)]


def test_other_numbers_of_a_recipe_are_read_as_before(tmp_path):
    found = recipe(tmp_path, "sampling: {n: 0x10, max_new_tokens: 1_000, temperature: 1.5e+0, top_p: .5}\n")
    sampling = found.sampling
    assert (sampling.n, sampling.max_new_tokens, sampling.temperature, sampling.top_p) == (16, 1000, 1.5, 0.5)


def test_a_flag_sets_replicas_too(tmp_path):
    found = recipe(tmp_path, "", "--cluster.address", "local", "--cluster.replicas.policy", "2:3")
    assert found.cluster.replicas.of("policy") == (2, 3)


@pytest.mark.parametrize("text", ["0", "3:2", "0:4", "-1", "many", "1:2:3", ""])
def test_what_is_no_range_is_refused_with_an_example(text):
    with pytest.raises(ValidationError, match=r'is no number of replicas; expected e\.g\. "4", or "1:8"'):
        ClusterConfig.model_validate({"replicas": {"policy": text}})


@pytest.mark.parametrize("address", ["", "ray://", "ray://host", "host:6379", "ray://a b:1"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ValidationError, match="expected auto, local or ray://host:port"):
        ClusterConfig(address=address)


def test_replicas_in_two_places_are_refused(tmp_path):
    with pytest.raises(
        ValidationError, match=r"policy\.data_parallel is of this machine alone.*cluster\.replicas\.policy"
    ):
        Recipe.model_validate(
            recipe(tmp_path).model_dump() | {"policy": {"model": "./p", "data_parallel": 2}, "cluster": {}}
        )
    with pytest.raises(ValidationError, match=r"reward\.data_parallel is of this machine alone"):
        annotators = [{"kind": "reward", "model": "./reward", "data_parallel": 2}]
        Generation.model_validate(GENERATION | {"annotators": annotators, "cluster": {}})


@pytest.mark.parametrize("engine", ["server", "none"])
def test_processes_of_what_loads_nothing_here_are_refused(tmp_path, engine):
    policy = {"model": "./p", "engine": engine, "data_parallel": 2, "url": "http://127.0.0.1:1/v1"}
    with pytest.raises(ValidationError, match=f"data_parallel: 2, and engine: {engine} loads nothing here"):
        Recipe.model_validate(recipe(tmp_path).model_dump() | {"policy": policy})


@pytest.mark.parametrize(
    ("policy", "reward", "room", "shares"),
    [
        ("1:8", "1:4", 8, (7, 1)),
        ("1:8", "1:4", 16, (8, 4)),
        ("1:8", "2:4", 8, (6, 2)),
        ("1:2", "1:4", 4, (2, 2)),
        ("1:8", "1:4", 2, (1, 1)),
        ("1:8", "1:4", 1, None),
        ("4", "1", 4, None),
    ],
)
def test_a_cluster_is_shared_by_the_least_of_each_and_the_policy_takes_the_rest(policy, reward, room, shares):
    cluster = ClusterConfig.model_validate({"replicas": {"policy": policy, "reward": reward}})
    assert shares_of(cluster, room) == shares


def training(**changes):
    content = {
        "name": "unit",
        "dataset": {"path": "./run"},
        "model": {"model": "./policy"},
        "objective": {"name": "dpo"},
        "optimisation": {"learning_rate": 1e-6},
        "output": {"dir": "./out"},
    }
    return TrainingRecipe.model_validate(content | changes)


def test_replicas_of_a_reference_change_no_training_and_reward_models_have_none():
    spread, plain = training(cluster={"address": "local"}), training()
    assert (spread.settings(), spread.identity()) == (plain.settings(), plain.identity())
    with pytest.raises(ValidationError, match=r"kind: reward has no use for cluster"):
        training(kind="reward", objective=None, cluster={})
