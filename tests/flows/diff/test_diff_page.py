"""diff.html: sums that are right, and strangers' texts that stay texts."""

import re

from difference_support import dropped, manifest, quarantined, row, source, version_folder
from report_support import HOSTILE, Tags, data_of, script_of, words

from flows.diff.difference import difference
from flows.diff.output import write_difference
from flows.versions.version import open_version
from transforms.report.difference_page import waterfall
from transforms.report.difference_words import headline, sentences, value_in_words


def compared(tmp_path, old, new, before=None, now=None, **lines):
    """The difference of two versions and its page."""
    versions = [
        open_version(str(version_folder(tmp_path / name, rows, lines.get(name), **(changes or {}))))
        for name, rows, changes in (("a", old, before), ("b", new, now))
    ]
    found = difference(*versions)
    write_difference(found, *versions, tmp_path / "out")
    return found.record, (tmp_path / "out" / "diff.html").read_text()


OLD = [row(1), row(2), row(3), dropped(4), row(5)]
NEW = [row(1), dropped(2), row(3, chosen="better"), row(4), row(6), row(7)]


def test_the_waterfall_goes_from_kept_before_to_kept_now(tmp_path):
    found, _ = compared(tmp_path, OLD, NEW)
    steps = [(one.name, one.kind, one.pairs) for one in waterfall(found)]
    assert steps == [
        ("kept before", "all", 4),
        ("gone", "lost", 1),
        ("rewritten, their old text", "lost", 1),
        ("dropped now", "lost", 1),
        ("new", "gained", 2),
        ("rewritten, their new text", "gained", 1),
        ("had been dropped", "gained", 1),
        ("kept now", "kept", 5),
    ]


def test_the_page_has_every_changed_pair_with_both_rows(tmp_path):
    found, page = compared(tmp_path, OLD, NEW, now={"sources": [source(fingerprint="f2")]})
    data = data_of(page)
    assert len(data["rows"]) == found.changed == 6
    column = {name: place for place, name in enumerate(data["columns"])}
    verdicts = [(cells[column["verdict before"]], cells[column["verdict now"]]) for cells in data["rows"]]
    assert sorted(verdicts) == [
        ("drop", "keep"),
        ("keep", "drop"),
        ("keep", "keep"),
        ("keep", "–"),
        ("–", "keep"),
        ("–", "keep"),
    ]
    assert data["command"] == ""
    assert script_of(page)
    assert "5 pairs kept, 1 more than before; 6 pairs changed" in words(page)


def test_texts_of_strangers_are_escaped_wherever_they_stand(tmp_path):
    hostile = HOSTILE.replace("\ud800", "")
    rows = [row(1, prompt=hostile, source=hostile, chosen=hostile)]
    now = {"name": hostile, "git_commit": hostile, "config": {**manifest().config, "x": hostile}}
    _, page = compared(tmp_path, [row(2)], rows, now=now)
    tags = Tags(page)
    assert not tags.open
    assert tags.names.count("script") == 2  # the data and the page's own
    assert "img" not in tags.names
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert "\u202e" not in page


def test_the_page_loads_nothing(tmp_path):
    _, page = compared(tmp_path, OLD, NEW)
    assert "default-src 'none'" in page
    assert not re.findall(r"(?:src|href)=\"(?!#)[^\"]+\"", page)


def test_equal_versions_are_one_line_and_a_page_without_a_table(tmp_path):
    found, page = compared(tmp_path, OLD, OLD)
    assert found.equal
    assert headline(found).startswith("Equal: both are version ")
    assert "with the same 4 pairs kept and 1 not" in headline(found)
    assert sentences(found) == []
    assert script_of(page) == ""


def test_the_same_verdicts_of_other_measurements_are_not_equal_and_said_so(tmp_path):
    found, _ = compared(tmp_path, [row(1)], [row(1, reward_chosen=9.0)])
    assert not found.equal
    assert headline(found) == "The same 1 pair kept, and no verdict differs"
    assert "1 pair of the same outcome got other rewards or completions." in sentences(found)


def test_versions_of_different_datasets_are_said_to_be(tmp_path):
    found, _ = compared(tmp_path, [row(1), row(2)], [row(3)])
    assert headline(found) == "No pair in common: 2 pairs of test-run and 1 pair of test-run"


def test_counts_add_up_to_all_pairs_of_each_version(tmp_path):
    lines = [quarantined(9), quarantined(10)]
    found, _ = compared(tmp_path, OLD, NEW, a=lines, b=lines[:1])
    for side, version in (("old", found.old), ("new", found.new)):
        counted = sum(one.pairs for one in found.transitions if getattr(one, side) is not None)
        assert counted == version.pairs - version.copies
        assert version.kept + sum(version.dropped.values()) + version.quarantined == counted
    assert sum(one.first for one in found.reasons) == found.changed
    assert sum(one.pairs for one in found.transitions if one.change != "same") == found.changed


def test_a_hash_is_shown_by_its_first_digits():
    assert value_in_words("0123456789abcdef0123456789abcdef") == "0123456789ab…"
    assert value_in_words(None) == "–"
    assert value_in_words(0.5) == "0.5"
