"""`--list`: every entry in a line as far as there is room, nothing cut, and all of those that are named."""

import json
import re

import pytest
from reproduce_support import ENTRIES, PAPER, SMALL, Terminal, catalogue

from flows.reproduce.listing import listed
from transforms.errors import ConfigError

LONG = "table-ultrafeedback-tasks"
NOT_KNOWN = {"shows": "Not known here.", "nothing": "Its content is not known here."}
UNKNOWN = [{"id": one} | NOT_KNOWN for one in ("figure-4", "figure-5", "figure-6", "figure-8", "table-2", "table-3-b")]
PATH = "docs/how-to/" + "a-very-long-name-of-a-page-that-is-longer-than-any-column-" * 2 + ".md"
ENTRY = {
    "id": LONG, "shows": "First of all. Then more.", "x": "ratio", "y": "%", "printed_in": "a README",
    "printed": [{"label": "a", "points": [{"x": "b", "y": 1.5}, {"x": "c", "y": 2}]}],
}  # fmt: skip
LINE = {
    "steps": ["other"], "needs": f"A model (gated), see {PATH}. Some data.", "notes": ["gated", "estimate"], "hours": 2,
    "series": [{"label": "a", "step": "other", "reads": "r"}],
    "claims": [{"says": "It grows.", "higher": {"series": "a", "x": 1.0}, "than": 0}],
}  # fmt: skip
TABLE_1 = SMALL["poet/table-1"] | {"notes": ["estimate"]}
FIGURE_2 = SMALL["poet/figure-2"] | {"notes": ["estimate"]}


@pytest.fixture
def files():
    notes = {"gated": "Gated models want a token.", "estimate": "Hours are an estimate."}
    lines = SMALL | {"poet/table-1": TABLE_1, "poet/figure-2": FIGURE_2, f"poet/{LONG}": LINE}
    poet = {
        "paper": "poet",
        "title": "POET",
        "source": "arXiv",
        "known": "What is known.",
        "entries": [*ENTRIES, ENTRY],
    }
    poet["entries"] += UNKNOWN
    return {
        "poet": poet,
        "small": {"notes": notes, "entries": lines},
        "paper": {"entries": PAPER | {f"poet/{LONG}": {"cannot": "No.", "needs": "x"}}},
    }


@pytest.fixture
def terminal(tmp_path, monkeypatch, capsys, files):
    found = Terminal(tmp_path, monkeypatch, capsys)
    found.change(**files)
    return found


@pytest.mark.parametrize("width", [None, "60", "80", "100", "200"])
def test_nothing_is_cut_at_any_width_and_no_line_is_longer(width, terminal, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    if width:
        monkeypatch.setenv("COLUMNS", width)
    for words in (["--list"], ["--list", "poet", LONG]):
        _, printed = terminal.type(*words)
        assert max(map(len, printed.splitlines())) <= int(width or 100)
        assert not re.search(r"\S…", printed), (
            "a word was cut; what is left out is a sentence, and the sign stands alone"
        )
        whole = "".join(printed.split())
        assert words == ["--list"] or (PATH in whole and LONG in whole)
        assert "Gatedmodelswantatoken." in whole


def test_a_line_has_name_time_numbers_what_it_shows_and_what_it_needs(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    _, printed = terminal.type("--list")
    lines = printed.splitlines()
    assert lines[:2] == ["poet  POET, arXiv", "What is known."]
    [line] = [line for line in lines if line.startswith("table-1")]
    assert line.split() == ["table-1", "30", "min", "1", "Judged", "policies", "what", "ships"]
    [line] = [line for line in lines if line.startswith("figure-3")]
    assert line.split() == ["figure-3", "Both", "not", "done:", "Needs", "a", "GPU"]
    assert "A drawing [sic]" in printed
    assert "First of all …" in printed
    assert "Then more" not in printed


def test_a_long_name_stands_in_one_piece_where_there_is_room(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, printed = terminal.type("--list")
    assert any(line.startswith(f"{LONG} ") for line in printed.splitlines())


def test_what_is_not_known_is_one_row_a_paper(terminal):
    _, printed = terminal.type("--list")
    assert "figure-4 to 6, 8, table-2, table-3-b: not known here" in " ".join(printed.split())
    assert printed.count("not known here") == 1


def test_notes_are_printed_once_and_those_of_every_entry_mark_none(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    _, printed = terminal.type("--list")
    assert printed.count("Gated models want a token.") == 1
    assert "all: Hours are an estimate." in printed
    assert "… [gated]" in printed
    assert "[gated, estimate]" not in printed


def test_the_footer_says_how_many_can_be_done_of_what_the_time_is_and_whose_the_numbers_may_be(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    _, printed = terminal.type("--list")
    assert "3 of 11 can be done at the small size. time: of two cores, with all steps" in printed
    assert "may be a third party's transcription" in printed
    _, printed = terminal.type("--list", "--size", "paper")
    assert "2 of 11 can be done at the paper size. time: hours of one H100 (GPU-hours), with all steps" in printed


def test_a_named_entry_is_listed_alone_and_whole(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    _, printed = terminal.type("--list", "POET", LONG)
    rows = [line.rstrip() for line in printed.splitlines()]
    for row in (
        f"poet {LONG}",
        "shows    First of all. Then more.",
        f"needs    A model (gated), see {PATH}. Some data. See below: gated, estimate.",
        "time     2.0 h of two cores",
        "printed  2 numbers, read in a README",
        "steps    other, and those that they build on",
        "claims   It grows.",
        "gated: Gated models want a token.",
    ):
        assert row in rows
    assert "table-1" not in printed
    _, printed = terminal.type("--list", "poet/figure-3")
    assert "why not  not done at the small size: Needs a GPU" in printed
    with pytest.raises(ConfigError, match="poet has no 'figure-33'; did you mean figure-3"):
        terminal.type("--list", "poet", "figure-33")


def test_json_has_all_of_an_entry(terminal):
    _, printed = terminal.type("--list", "poet", LONG, "--json")
    [found] = json.loads(printed)
    assert found["notes"] == {"gated": "Gated models want a token.", "estimate": "Hours are an estimate."}
    assert (found["steps"], found["claims"]) == (["other"], ["It grows."])
    assert (found["title"], found["source"], found["known"]) == ("POET", "arXiv", "What is known.")
    assert (found["printed_numbers"], found["printed_in"]) == (2, "a README")


def test_json_lists_every_entry_also_those_that_are_not_known(tmp_path, files):
    found = listed(catalogue(tmp_path, **files), "small", {})
    assert [one["entry"] for one in found] == [one["id"] for one in [*ENTRIES, ENTRY, *UNKNOWN]]


def test_a_note_that_is_not_there_and_one_that_nobody_names_are_errors(tmp_path, files):
    small = files["small"]
    with pytest.raises(ConfigError, match=r"small\.yaml: .*poet/.*: no note is called gated; there are estimate"):
        lone = {"estimate": small["notes"]["estimate"]}
        catalogue(tmp_path / "a", **files | {"small": small | {"notes": lone}})
    with pytest.raises(ConfigError, match=r"notes: no entry names idle"):
        catalogue(tmp_path / "b", **files | {"small": small | {"notes": small["notes"] | {"idle": "x"}}})
