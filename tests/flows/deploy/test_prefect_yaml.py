"""prefect.yaml fits the flow that it deploys."""

from pathlib import Path

import pytest
import yaml

from flows.recipe.curation import Recipe
from flows.refresh.config import Attempts, publish_target

ROOT = Path(__file__).parents[3]
DEPLOYMENTS = {one["name"]: one for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_its_parameters_are_a_recipe_a_repository_and_attempts(name):
    parameters = dict(DEPLOYMENTS[name]["parameters"])
    recipe = Recipe.model_validate(parameters.pop("recipe"))
    Attempts.model_validate(parameters.pop("attempts"))
    if parameters:
        publish_target(recipe, token_env=None, **parameters)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_one_refresh_of_a_dataset_runs_at_a_time(name):
    assert DEPLOYMENTS[name]["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


def test_the_daily_starter_is_the_starter_recipe():
    shipped = yaml.safe_load((ROOT / "flows" / "configs" / "starter.yaml").read_text())
    assert DEPLOYMENTS["starter-daily"]["parameters"]["recipe"] == shipped


def test_the_template_is_paused():
    assert DEPLOYMENTS["template"]["paused"]
