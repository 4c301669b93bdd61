"""The licence of data made of several sets: the strictest, unless two exclude each other or one is unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.sources.licences import LICENCES, Stated, Terms, combine

IDS = list(LICENCES)


def terms(*ids: str | None) -> Terms:
    return combine([Stated(f"s{at}", one) for at, one in enumerate(ids)])


@pytest.mark.parametrize(
    ("ids", "result"),
    [
        (["mit"], "mit"),
        (["mit", "apache-2.0"], "apache-2.0"),
        (["cc-by-4.0", "mit", "cc-by-sa-4.0"], "cc-by-sa-4.0"),
        (["cc-by-sa-3.0", "cc-by-sa-4.0"], "cc-by-sa-4.0"),  # 3.0 allows a later version
        (["apache-2.0", "cc-by-nc-4.0"], "cc-by-nc-4.0"),
        (["cc-by-nc-4.0", "cc-by-nc-sa-4.0"], "cc-by-nc-sa-4.0"),
        (["odc-by", "odbl"], "odbl"),
    ],
)
def test_the_strictest_licence_wins_where_the_others_allow_it(ids: list[str], result: str) -> None:
    assert terms(*ids)[:2] == (result, None)


@pytest.mark.parametrize(
    "ids",
    [
        ["cc-by-sa-4.0", "cc-by-nc-4.0"],  # share-alike without, and with a ban on commerce
        ["cc-by-sa-4.0", "cc-by-nc-sa-4.0"],
        ["cc-by-sa-4.0", "odbl"],  # each wants itself
        ["cdla-sharing-1.0", "odbl"],
        ["cc-by-nd-4.0"],  # cut and chosen pairs are an adaptation, even alone
        ["mit", "cc-by-nc-nd-4.0"],
    ],
)
def test_licences_that_exclude_each_other_make_a_conflict(ids: list[str]) -> None:
    found = terms(*ids)
    assert found[:2] == ("other", "conflicting-terms")
    assert found.warnings


def test_a_conflict_names_both_sources() -> None:
    assert terms("cc-by-sa-4.0", "mit", "cc-by-nc-4.0").warnings == (
        "CC BY-SA 4.0 (s0) wants adapted data under CC BY-SA 4.0, and CC BY-NC 4.0 (s2) does not allow that: "
        "together they may not be shared.",
        "Commercial use is not allowed (s2).",
    )


def test_a_source_without_a_licence_leaves_the_whole_unknown() -> None:
    assert terms("cc-by-4.0", None) == Terms(
        "other",
        "unknown-terms",
        "Not every source has known terms. The strictest of the known ones is CC BY 4.0.",
        ("No licence is known for s1: read its terms before you share or use this data.",),
    )
    assert combine([])[:2] == ("other", "unknown-terms")


def test_a_licence_that_the_table_lacks_is_named_where_it_is_the_only_one() -> None:
    assert terms("llama3.1", "llama3.1")[:2] == ("other", "llama3.1")
    assert terms("llama3.1", "mit")[:2] == ("other", "unknown-terms")
    assert terms("llama3.1").warnings == (
        "The terms of llama3.1 (s0) are not known here: read its terms before you share or use this data.",
    )


@given(st.lists(st.sampled_from([*IDS, None, "llama3"]), min_size=1, max_size=5), st.randoms())
def test_neither_order_nor_repetition_matters(ids: list[str | None], random: object) -> None:
    shuffled = [*ids, *ids]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert terms(*ids)[:2] == terms(*shuffled)[:2]


@given(st.lists(st.sampled_from(IDS), min_size=1, max_size=4), st.sampled_from(IDS))
def test_one_more_source_never_loosens_the_licence(ids: list[str], more: str) -> None:
    before, after = terms(*ids), terms(*ids, more)
    if before.id == "other":
        assert after.id == "other"
    elif after.id != "other":
        assert IDS.index(after.id) >= max(IDS.index(before.id), IDS.index(more))
        assert LICENCES[after.id].commercial <= LICENCES[before.id].commercial
