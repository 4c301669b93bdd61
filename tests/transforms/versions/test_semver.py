"""What a major, a minor and a patch version of a dataset are, and how they count."""

import pytest
from flows_support import manifest
from hypothesis import given
from hypothesis import strategies as st

from transforms.versions.semver import BUMPS, FIRST, Contents, SemanticVersion, change, newest, parse_tag

NUMBERS = st.integers(0, 10_000)
VERSIONS = st.builds(SemanticVersion, NUMBERS, NUMBERS, NUMBERS)
COLUMNS = {"pair_id": "string", "chosen": "string"}


def contents(
    kept=("a", "b", "c", "d"), *, columns=COLUMNS, rows="1", tables=("train",), truncate="poet", tokenizer="t"
):
    made = manifest()
    made = made.model_copy(
        update={
            "config": {"truncate": {"method": truncate}},
            "tokenizer": made.tokenizer.model_copy(update={"sha256": tokenizer, "name": tokenizer}),
        }
    )
    return Contents(made, dict.fromkeys(tables, columns), dict.fromkeys(tables, rows), frozenset(kept))


@pytest.mark.parametrize(
    ("new", "bump", "why"),
    [
        (contents(), "patch", "equal rows; card, report or metadata changed"),
        (contents(rows="2"), "minor", "rows of train changed"),
        (contents("abcdef", rows="2"), "minor", "2 kept pairs added"),
        (contents("ab", rows="2"), "minor", "2 kept pairs removed"),
        (contents(tables=("train", "responses")), "minor", "table responses is new"),
        (contents("awxyz", rows="2"), "major", "1 of 4 kept pairs remain"),
        (contents(columns=COLUMNS | {"n": "int32"}), "major", "columns of train changed: n"),
        (contents(columns=COLUMNS | {"chosen": "large_string"}), "major", "columns of train changed: chosen"),
        (contents(tables=("test",)), "major", "table train is gone"),
        (contents(truncate="ratio"), "major", "the recipe truncates in another way"),
        (contents(tokenizer="u"), "major", "the tokenizer is u, it was t"),
    ],
)
def test_the_rule(new, bump, why):
    found = change(contents(), new)
    assert (found.bump, found.why[0]) == (bump, why)


def test_half_of_the_pairs_is_enough_to_be_the_same_dataset():
    assert change(contents("abcd"), contents("abwxyz", rows="2")).bump == "minor"


def test_a_version_of_nothing_becomes_one_of_something_without_breaking():
    assert change(contents(""), contents("abc", rows="2")).bump == "minor"


def test_counting():
    version = SemanticVersion(1, 2, 3)
    assert [str(version.bumped(bump)) for bump in BUMPS] == ["v1.2.4", "v1.3.0", "v2.0.0"]
    assert str(FIRST) == "v1.0.0"


@given(VERSIONS, st.sampled_from(BUMPS))
def test_a_bumped_version_is_newer_and_its_tag_names_it(version, bump):
    assert version.bumped(bump) > version
    assert parse_tag(str(version)) == version


@pytest.mark.parametrize("tag", ["1.0.0", "v1.0", "v01.0.0", "v1.0.0-rc1", "v-20157338b5e2c3b6", "main"])
def test_other_tags_are_no_versions(tag):
    assert parse_tag(tag) is None


def test_the_newest_is_the_highest_and_not_the_last_in_the_alphabet():
    assert newest(["v1.9.0", "main", "v1.10.0", "v-00"]) == SemanticVersion(1, 10, 0)
    assert newest(["main"]) is None
