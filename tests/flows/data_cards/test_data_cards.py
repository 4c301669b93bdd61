"""`python -m flows.data_cards`: pages say what the code says, and the check fails where they do not."""

import shutil
import sys

import pytest

from flows.data_cards import __main__ as data_cards
from transforms.errors import ConfigError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the pages, which the command works on."""
    pages = tmp_path / "sources"
    shutil.copytree(data_cards.FOLDER, pages)
    monkeypatch.setattr(data_cards, "FOLDER", pages)
    return pages


def run(monkeypatch, *flags):
    monkeypatch.setattr(sys, "argv", ["data_cards", *flags])
    return data_cards.main()


def test_the_pages_in_the_repository_are_what_the_code_says():
    assert data_cards.outdated(data_cards.FOLDER) == {}


def test_the_check_prints_the_difference_and_the_command_mends_it(folder, monkeypatch, capsys):
    page = folder / "shp.md"
    before = page.read_text()
    page.write_text(before.replace("Reddit's API terms\n", "anything goes\n"))
    assert run(monkeypatch, "--check") == 1
    shown = capsys.readouterr().out
    assert "-- **Where no licence is stated:** anything goes" in shown
    assert "+- **Where no licence is stated:** Reddit's API terms" in shown
    assert run(monkeypatch) == 0
    assert page.read_text() == before
    assert run(monkeypatch, "--check") == 0


def test_what_is_written_by_hand_stays(folder, monkeypatch):
    page = folder / "shp.md"
    page.write_text(page.read_text() + "\nMore by hand.\n")
    assert run(monkeypatch, "--check") == 0


def test_a_kind_without_a_page_and_a_page_without_a_kind_are_named(folder):
    (folder / "reddit.md").write_text("")
    with pytest.raises(ConfigError, match=r"reddit\.md is of no source kind"):
        data_cards.outdated(folder)
    (folder / "shp.md").unlink()
    with pytest.raises(ConfigError, match=r"has no page shp.md: copy skywork.md to it"):
        data_cards.outdated(folder)
