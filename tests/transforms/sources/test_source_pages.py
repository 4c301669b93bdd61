"""What a source's page says is what its code says, and the raw row that it shows is one that the code can use."""

import json
from typing import Any, Final, Literal

import pytest
from docs_support import Page

from transforms.errors import ConfigError, RowError
from transforms.sources import about, adapter, canonical, fields, messages, options, rows
from transforms.sources.about import About, hub_id
from transforms.sources.adapter import row_hash
from transforms.sources.canonical import validate
from transforms.sources.kinds import SOURCES
from transforms.sources.licences import LICENCES
from transforms.sources.pages import facts, parsed_rows, renewed
from transforms.sources.rows import Fields


@pytest.mark.parametrize("name", SOURCES)
def test_the_raw_rows_of_a_docstring_become_pairs(name: str) -> None:
    kind = SOURCES[name]
    options = kind.options(kind=name, path="./rows.jsonl")
    rows = parsed_rows(kind)
    assert rows
    for row in rows:
        assert kind.looks_like(row)
        assert not kind.missing(row.keys())
    if name == "starter":  # one response a row: a prompt needs one at each temperature
        other = {**rows[0], "temperature": 1.1, "response": "Nile."}
        rows = [rows[0], other]
    for row in kind.gather([Fields(row) for row in rows], options):
        for pair in kind.adapt(row, options).pairs:
            validate(pair)
            assert row_hash(row.raw)


def test_several_raw_rows_stand_one_after_the_other() -> None:
    assert [sorted(row) for row in parsed_rows(SOURCES["preference"])] == [
        ["chosen", "prompt", "rejected"],
        ["chosen", "prompt", "rejected"],
        ["chosen", "rejected"],
    ]


def test_licences_of_public_sets_are_known_ones() -> None:
    stated = {licence for kind in SOURCES.values() for licence in kind.about.sets.values() if licence}
    assert stated <= LICENCES.keys()


def test_a_set_without_a_licence_says_what_holds_instead() -> None:
    for kind in SOURCES.values():
        assert kind.about.terms or None not in kind.about.sets.values()


def test_facts_name_sets_licences_languages_and_papers() -> None:
    assert facts(SOURCES["shp"]).splitlines() == [
        "- **Sets:**",
        "  - [stanfordnlp/SHP](https://huggingface.co/datasets/stanfordnlp/SHP): no licence stated",
        "- **Where no licence is stated:** Reddit's API terms",
        "- **Languages:** en",
        "- **Cite:** Understanding Dataset Difficulty with V-Usable Information "
        "([arXiv 2110.08420](https://arxiv.org/abs/2110.08420))",
    ]


def test_a_file_is_a_copy_of_the_only_set_but_may_be_anything_where_others_share_the_layout() -> None:
    only, shared = About(sets={"a/b": "mit"}), About(sets={"a/b": "mit"}, any_set=True)
    assert [about.licence("./x.jsonl") for about in (only, shared)] == ["mit", None]
    assert [about.knows("./x.jsonl") for about in (only, shared)] == [True, False]
    assert [about.licence("hf://datasets/a/b/x.jsonl") for about in (only, shared)] == ["mit", "mit"]
    assert hub_id("hf://datasets/a/b@main/x.jsonl") == "a/b"


def test_parts_are_put_between_their_markers_and_nothing_else_changes() -> None:
    page = "by hand\n<!-- row:begin -->\nold\n<!-- row:end -->\nby hand\n"
    assert renewed(page, {"row": "new"}, name="x.md") == page.replace("old", "new")
    assert renewed(renewed(page, {"row": "new"}, name="x.md"), {"row": "new"}, name="x.md") == page.replace(
        "old", "new"
    )


def test_a_page_without_its_markers_is_named() -> None:
    with pytest.raises(ConfigError, match=r"x.md has no <!-- row:begin --> … <!-- row:end -->"):
        renewed("<!-- row:begin -->\n", {"row": "new"}, name="x.md")


def test_the_kind_that_the_how_to_shows_reads_a_row_and_refuses_another() -> None:
    [code] = Page("docs/how-to/add-a-source.md").blocks("python")
    names: dict[str, Any] = {"Final": Final, "Literal": Literal, "RowError": RowError}
    for module in (about, adapter, canonical, fields, messages, options, rows):
        names |= vars(module)
    exec(code.text, names)  # a page whose code does not run teaches nothing
    asked_for = names["MineOptions"](kind="mine", path="./x.jsonl", vote="crowd")
    row = Fields(
        {
            "id": 7,
            "question": "Name a river.",
            "answer_a": "Nile.",
            "answer_b": "The Nile.",
            "expert": "a",
            "crowd": "b",
        }
    )
    [pair] = names["adapt"](row, asked_for).pairs
    assert (pair.source_id, pair.chosen, pair.rejected) == ("7", "The Nile.", "Nile.")
    assert list(row.unread_names()) == ["expert"]
    assert names["KIND"].looks_like(row.raw)
    assert names["KIND"].missing(row.raw) == []
    with pytest.raises(RowError, match="crowd is None, expected a or b"):
        names["adapt"](Fields({}), asked_for)


def test_the_rows_of_the_tutorial_are_read_whole() -> None:
    tutorial = Page("docs/tutorial/2-own-data.md").blocks("json")
    assert len(tutorial) == 2
    for block in tutorial:
        row = Fields(json.loads(block.text))
        [pair] = SOURCES["preference"].adapt(row, SOURCES["preference"].options(kind="preference", path="./x")).pairs
        validate(pair)
        assert list(row.unread_names()) == []
    assert (pair.chosen_finished, pair.rejected_finished, pair.rejected_score) == (True, False, 2.0)
    assert list(json.loads(str(pair.structure))) == ["tools", "chosen"]
