"""Who prepares: what the section takes, and that it changes neither fingerprint nor version nor what is published."""

import pytest
from flows_support import manifest, pair, truncate_recipe
from pydantic import ValidationError

from flows.curate.plan import plan_run
from flows.recipe.preparation import PreparationConfig
from transforms.dataset.published import content_key
from transforms.versions.settings_changes import setting_changes

RAY = {"workers": 8, "on": "ray", "ray_address": "ray://head:10001"}


@pytest.mark.parametrize("address", ["local", "auto", "head:6379", "ray://head:10001"])
def test_addresses_of_ray_are_taken(address):
    assert PreparationConfig(on="ray", ray_address=address).ray_address == address


@pytest.mark.parametrize("address", ["", "head", "http://head:8265/a b", "auto "])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValidationError, match="ray_address"):
        PreparationConfig(on="ray", ray_address=address)


def test_an_address_without_ray_is_refused():
    with pytest.raises(ValidationError, match="ray_address = auto has no effect with on: processes"):
        PreparationConfig(ray_address="auto")


def test_only_one_process_is_this_one():
    assert PreparationConfig().in_this_process
    assert not PreparationConfig(workers=2).in_this_process
    assert not PreparationConfig(on="ray").in_this_process


def test_who_prepares_changes_no_fingerprint(tmp_path):
    one = plan_run(truncate_recipe(tmp_path, [pair(1)]))
    two = plan_run(truncate_recipe(tmp_path, [pair(1)], preparation=RAY))
    assert one.fingerprint == two.fingerprint


def test_who_prepared_is_no_change_between_versions_and_nothing_new_to_publish():
    one, two = (manifest().model_copy(update={"config": {"preparation": who}}) for who in ({"workers": 1}, RAY))
    assert setting_changes(one, two) == []
    assert content_key(one, {}) == content_key(two, {})
