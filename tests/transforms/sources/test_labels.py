"""Every source of a recipe has a name of its own, by its place."""

import pytest
from pydantic import TypeAdapter

from transforms.errors import ConfigError
from transforms.sources.kinds import Source
from transforms.sources.labels import labels


def sources(*given):
    found = []
    for one in given:
        kind, _, label = one.partition("=")
        found.append(TypeAdapter(Source).validate_python({"kind": kind, "path": "./x.jsonl", "label": label or None}))
    return found


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["shp"], ["shp"]),
        (["shp", "skywork"], ["shp", "skywork"]),
        (["shp", "skywork", "shp", "shp"], ["shp", "skywork", "shp-2", "shp-3"]),
        (["shp=mine", "shp", "shp"], ["mine", "shp", "shp-2"]),
        (["shp", "shp=shp-3"], ["shp", "shp-3"]),
    ],
)
def test_a_source_without_a_label_is_called_by_its_kind_and_numbered(given, names):
    assert labels(sources(*given)) == names


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["shp=a", "skywork=a"], "sources 1 and 2 are both called 'a'"),
        (["shp", "skywork=shp"], "sources 1 and 2 are both called 'shp'"),
        (["shp", "skywork", "shp", "skywork=shp-2"], "sources 3 and 4 are both called 'shp-2'"),
    ],
)
def test_two_sources_of_one_name_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        labels(sources(*given))
