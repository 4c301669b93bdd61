"""What a command line names: papers and entries in any spelling that is clear, and one error for what is not."""

import pytest
from reproduce_support import ENTRIES, PAPER, SMALL, catalogue

from flows.reproduce.asked import asked, check_out, choose_asked
from transforms.errors import ConfigError, OutputError

RAO = {
    "paper": "rao",
    "title": "RAO",
    "source": "ACL",
    "known": "all",
    "entries": [one for one in ENTRIES if one["id"] in ("table-1", "figure-3")],
}


@pytest.fixture
def found(tmp_path):
    sizes = {
        size: {"entries": lines | {f"rao/{one}": lines[f"poet/{one}"] for one in ("table-1", "figure-3")}}
        for size, lines in (("small", SMALL), ("paper", PAPER))
    }
    return catalogue(tmp_path, rao=RAO, **sizes)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], {}),
        (["poet"], {"poet": []}),
        (["POET", "Table-1", "figure-2", "table-1"], {"poet": ["table-1", "figure-2"]}),
        (["poet/table-1"], {"poet": ["table-1"]}),
        (["poet/table-1", "figure-2", "RAO/figure-3"], {"poet": ["table-1", "figure-2"], "rao": ["figure-3"]}),
    ],
)
def test_names_are_read_in_any_case_and_with_the_paper_before_a_slash(words, names, found):
    assert asked(found, words) == names


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["table-1"], "table-1 is no paper; name one that has it: poet table-1, rao table-1"),
        (["figure-2"], "figure-2 is no paper; name one that has it: poet figure-2"),
        (["poe"], "no paper is called 'poe'; did you mean poet?; there are poet, rao"),
        (["poet/tabel-1"], "poet has no 'tabel-1'; did you mean table-1?; it has "),
        (["poet", "table-1", "Rao"], "rao is a paper, and one command takes one; run it by itself, or name its"),
    ],
)
def test_a_name_that_is_not_clear_is_one_error_that_helps(words, said, found):
    with pytest.raises(ConfigError) as raised:
        asked(found, words)
    assert str(raised.value).startswith(said)


def test_entries_of_two_papers_are_chosen_together_and_nothing_is_all(found):
    chosen = choose_asked(found, "small", {"poet": ["table-1"], "rao": ["table-1"]})
    assert [one.key for one in chosen] == ["poet/table-1", "rao/table-1"]
    assert [one.key for one in choose_asked(found, "small", {})] == ["poet/table-1", "poet/figure-2", "rao/table-1"]
    assert [one.key for one in choose_asked(found, "small", {"poet": []})] == ["poet/table-1", "poet/figure-2"]


def test_only_what_cannot_be_done_is_named_with_what_to_leave_out(found):
    with pytest.raises(ConfigError) as raised:
        choose_asked(found, "small", {"poet": ["table-1", "figure-3", "figure-2", "figure-1"]})
    said = str(raised.value)
    assert said.startswith("poet figure-3: not done at the small size: Needs a GPU; it is done with --size paper; ")
    assert said.endswith("nothing to redo: A drawing. Leave out poet/figure-3 and poet/figure-1 to do the rest")
    assert "table-1" not in said
    with pytest.raises(ConfigError) as raised:
        choose_asked(found, "small", {"poet": ["figure-3"]})
    assert "Leave out" not in str(raised.value)


def test_a_folder_can_be_there_or_not_and_no_file(tmp_path):
    check_out(tmp_path)
    check_out(tmp_path / "a" / "b")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OutputError, match=r"file is a file; name a folder with --out"):
        check_out(file)
    with pytest.raises(OutputError, match=r"file is a file, and .*/file/b lies below it; name a folder with --out"):
        check_out(file / "b")
