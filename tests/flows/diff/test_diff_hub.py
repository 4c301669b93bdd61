"""Differences between published versions, read from a loopback hub."""

import sys

import pytest
from published_support import REPO, TOKEN, finished_run, publish

from flows.diff.__main__ import main
from transforms.errors import SourceError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Use 'content")]  # of the Hub's client


@pytest.fixture
def folders(hub, monkeypatch, tmp_path):
    """A run that is published as v1.0.0, and another."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    first = finished_run(tmp_path / "first")
    publish(first)
    return first, finished_run(tmp_path / "second", train=("a1", "a2", "a8", "a9"))


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["diff", *map(str, words)])
    assert main() == 0
    return capsys.readouterr().out


def test_a_run_equals_its_published_version(folders, monkeypatch, capsys):
    assert run(monkeypatch, capsys, f"{REPO}@v1.0.0", folders[0]).startswith("Equal: both are version ")


def test_two_tags_of_a_dataset_are_compared(folders, monkeypatch, capsys):
    made = publish(folders[1])
    said = run(monkeypatch, capsys, REPO, REPO, "--revision-a", "v1.0.0", "--revision-b", made.tag)
    # The new version has one pair more: the wrong way round it would have one fewer.
    assert "5 pairs kept, 1 more than before; 3 pairs changed" in said
    assert "2 pairs are new, of which 2 kept; 1 pair is gone, of which 1 had been kept." in said
    assert TOKEN not in said


def test_a_tag_that_is_not_there_is_one_error(folders, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["diff", f"{REPO}@v9.9.9", str(folders[0])])
    with pytest.raises(SourceError, match=r"org/pairs: cannot find v9\.9\.9"):
        main()
