"""What `python -m flows.explain` says of a pair, from a run with tiny real models."""

import json
import shutil
import sys
from dataclasses import replace
from io import StringIO

import pytest
from flows_support import call_plainly, model_folders, pair, sampling_recipe
from rich.console import Console

import flows.curate as curate_module
from flows import explain as command
from flows.explaining import explain
from flows.plan import plan_run
from transforms.errors import ConfigError

pytestmark = pytest.mark.slow
ROWS = [
    *[pair(i, chosen=f"the cat sat on the mat {i}") for i in range(4)],
    pair(9, chosen="dog", rejected="cat"),
    pair(1, chosen="the cat sat on the mat 1"),
    {"prompt": "bad", "chosen": "", "rejected": "x"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("explain")
    patch = pytest.MonkeyPatch()
    call_plainly(patch, curate_module)
    curate_module.run_stages(plan_run(sampling_recipe(home, model_folders(home / "models"), ROWS)))
    patch.undo()
    return home / "out"


@pytest.fixture(scope="module")
def rows(folder):
    import datasets

    found = [*datasets.load_from_disk(str(folder / "dataset" / "train"))]
    return [*found, *datasets.load_from_disk(str(folder / "dropped"))]


def by_prompt(rows, number):
    return next(row for row in rows if row["prompt"][0]["content"] == f"question {number}" and row["n"] is not None)


def printed(found):
    out = StringIO()
    command.print_explanation(Console(file=out, width=200), found)
    return out.getvalue()


def test_every_completion_is_shown_with_its_reward_and_they_give_the_consistency(folder, rows):
    row = by_prompt(rows, 2)
    found = explain(folder, row["pair_id"])
    assert [(one.side, one.sample) for one in found.completions] == [("chosen", 0), ("chosen", 1)]
    wins = [one.reward > row["reward_rejected"] for one in found.completions]
    assert sum(wins) / 2 == row["consistency"]
    assert found.completions_note == ""


def test_the_raw_row_is_the_sources_own(folder, rows):
    found = explain(folder, by_prompt(rows, 2)["pair_id"])
    assert found.raw == pair(2, chosen="the cat sat on the mat 2")


def test_kept_and_cut_text_together_are_the_response(folder, rows):
    found = explain(folder, by_prompt(rows, 3)["pair_id"])
    kept, tail = found.texts["chosen"]
    assert kept + tail == "the cat sat on the mat 3"
    assert found.texts["rejected"] == ("dog", "")


def test_the_start_of_an_id_is_enough_and_copies_are_counted(folder, rows):
    row = by_prompt(rows, 1)
    found = explain(folder, row["pair_id"][:20])
    assert (found.row["pair_id"], found.copies) == (row["pair_id"], 1)
    assert found.row["reason"] != "duplicate"


def test_a_pair_that_was_not_cut_says_so(folder, rows):
    text = printed(explain(folder, by_prompt(rows, 9)["pair_id"]))
    assert "consistent by definition" in text
    assert "no completion was sampled" in text


def test_a_quarantined_row_is_found_by_its_sources_id_with_its_error(folder):
    line = json.loads((folder / "quarantine.jsonl").read_text().splitlines()[0])
    text = printed(explain(folder, line["source_id"]))
    assert "quarantined" in text
    assert line["error"] in text


@pytest.mark.parametrize(("wanted", "message"), [("f" * 32, "no pair"), ("ab", "too short")])
def test_an_unknown_pair_is_one_message(folder, wanted, message):
    with pytest.raises(ConfigError, match=message):
        explain(folder, wanted)


def test_a_folder_without_a_run_is_one_message(tmp_path):
    with pytest.raises(ConfigError, match="no finished run"):
        explain(tmp_path, "abcdef")


def test_a_ledger_that_was_cleared_is_said(folder, rows, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["config"]["ledger"] = str(tmp_path / "empty")
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    found = explain(tmp_path / "run", by_prompt(rows, 2)["pair_id"], find_raw=False)
    assert found.completions == []
    assert "2 of 2 completions are not in the ledger" in found.completions_note
    assert found.raw_note == "not looked for"


def test_json_holds_everything(folder, rows, monkeypatch, capsys):
    row = by_prompt(rows, 2)
    monkeypatch.setattr(sys, "argv", ["explain", str(folder), row["pair_id"], "--json"])
    assert command.main() == 0
    content = json.loads(capsys.readouterr().out)
    assert content["row"]["pair_id"] == row["pair_id"]
    assert len(content["completions"]) == 2
    assert any("P(consistency" in line for line in content["why"])


def test_long_lists_of_numbers_are_one_line_in_the_terminal(folder, rows):
    found = explain(folder, by_prompt(rows, 2)["pair_id"])
    text = printed(replace(found, raw={"ids": list(range(20)), "pair": [1, 2]}))
    assert "0, 1, 2, 3, 4, 5, … (20 numbers)" in text


def test_dataset_text_cannot_write_to_the_terminal(folder, rows):
    found = explain(folder, by_prompt(rows, 2)["pair_id"])
    hostile = replace(found, texts={"chosen": ("\x1b[2Jcleared [red]x", ""), "rejected": ("dog", "")})
    text = printed(hostile)
    assert "\x1b[2J" not in text
    assert "[U+001B][2Jcleared [red]x" in text
