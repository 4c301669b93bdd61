"""What `python -m flows.explain` says of a pair, from a run with tiny real models."""

import json
import shutil
import sys
from dataclasses import replace
from io import StringIO

import pyarrow as pa
import pytest
from earlier_release import as_an_earlier_release_wrote_it
from flows_support import call_plainly, model_folders, pair, sampling_recipe
from rich.console import Console

import flows.curate.flow as curate_module
from flows.curate.plan import plan_run
from flows.explain import __main__ as command
from flows.explain.facts import explain
from flows.publish.export import export_run
from flows.train.config import DatasetConfig
from flows.train.pairs import find_run, read_splits
from transforms.dataset.shards import file_sha256
from transforms.errors import ConfigError, SchemaError, SourceError

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
    with pytest.raises(SourceError, match="holds no finished run"):
        explain(tmp_path, "abcdef")


def test_what_map_left_in_the_folder_changes_nothing(folder, rows, tmp_path, caplog):
    import datasets

    shutil.copytree(folder, tmp_path / "run")
    train = datasets.load_from_disk(str(tmp_path / "run" / "dataset"))["train"]
    train.map(lambda row: {"chosen_ids": row["chosen_ids"][: row["chosen_keep"]]})
    train.filter(lambda row: row["chosen_cut"])
    train.train_test_split(0.5, seed=0)
    assert len(list((tmp_path / "run" / "dataset" / "train").glob("cache-*.arrow"))) == 4
    for row in rows:
        found = explain(tmp_path / "run", row["pair_id"], find_raw=False)
        before = explain(folder, row["pair_id"], find_raw=False)
        assert (found.row, found.copies, found.texts) == (before.row, before.copies, before.texts)
    assert sum("not of this run and not read" in line for line in caplog.messages) == 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "quarantine.jsonl").unlink(), r"quarantine\.jsonl is missing"),
        (lambda run: next(run.glob("dropped/*.arrow")).unlink(), r"dropped/data-00000-of-00001\.arrow is missing"),
        (lambda run: next(run.glob("dropped/*.arrow")).write_bytes(b""), r"dropped/data-.* has sha256 e3b0c44298fc…"),
    ],
)
def test_a_folder_that_lost_or_changed_a_file_is_one_message(folder, rows, tmp_path, damage, message):
    shutil.copytree(folder, tmp_path / "run")
    damage(tmp_path / "run")
    with pytest.raises(SourceError, match=message):
        explain(tmp_path / "run", rows[0]["pair_id"])


def test_a_table_of_another_release_is_refused_by_its_columns(folder, rows, tmp_path):
    run = shutil.copytree(folder, tmp_path / "run")
    [shard] = (run / "dropped").glob("*.arrow")
    old = pa.table({"pair_id": ["a" * 32], "verdict": ["drop"]})
    with pa.ipc.new_stream(str(shard), old.schema) as stream:
        stream.write_table(old)
    manifest = json.loads((run / "manifest.json").read_text())
    for file in manifest["files"]:
        file["sha256"] = file_sha256(run / file["path"])
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SchemaError, match=r"run, dropped: .*chosen_ids"):
        explain(run, rows[0]["pair_id"])


def test_a_run_of_an_earlier_release_is_explained_and_trained_on_without_what_came_later(folder, rows, tmp_path):
    run = shutil.copytree(folder, tmp_path / "run")
    as_an_earlier_release_wrote_it(run)
    row = by_prompt(rows, 2)
    found = explain(run, row["pair_id"])
    assert found.row["posterior"] is None
    assert f"P(consistency ≥ 0.5) = {row['p_keep']:.4f}" in printed(found)
    splits = read_splits(find_run(DatasetConfig(path=str(run), pairs="all")))
    assert sum(len(table) for table in splits.values()) >= len([one for one in rows if one["verdict"] == "keep"])
    assert all(table["posterior"].null_count == len(table) for table in splits.values())


@pytest.mark.parametrize("published", [False, True])
def test_a_published_version_is_explained_too(folder, rows, tmp_path, published):
    if published:
        export_run(folder, tmp_path, "org/unit")
        # A published recipe names models without their folders.
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        manifest["config"] = json.loads((folder / "manifest.json").read_text())["config"]
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    row = by_prompt(rows, 2)
    found = explain(tmp_path if published else folder, row["pair_id"])
    assert (found.place, found.row["chosen_ids"]) == (
        "dataset/train" if row["verdict"] == "keep" else "dropped",
        row["chosen_ids"],
    )
    assert len(found.completions) == 2


def test_a_ledger_that_was_cleared_is_said(folder, rows, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["config"]["ledger"] = str(tmp_path / "empty")
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    found = explain(tmp_path / "run", by_prompt(rows, 2)["pair_id"], find_raw=False)
    assert found.completions == []
    assert "2 of 2 completions are not in the ledger" in found.completions_note
    assert not (tmp_path / "empty").exists()
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


def test_values_at_the_cuts_are_shown_where_there_are_any(folder, rows):
    found = explain(folder, by_prompt(rows, 2)["pair_id"])
    assert "values at the cuts" not in printed(found)
    valued = replace(found, row=found.row | {"value_chosen": 1.25, "value_rejected": None})
    assert "values at the cuts: +1.250 chosen\n" in "\n".join(line.rstrip() for line in printed(valued).splitlines())


def test_the_posterior_is_drawn_with_the_threshold_under_it(folder, rows):
    row = by_prompt(rows, 2)
    found = explain(folder, row["pair_id"])
    lines = printed(found).splitlines()
    at = next(number for number, line in enumerate(lines) if line.strip().startswith("consistency   0 "))
    bars = lines[at].split("consistency   0 ")[1][:20]
    assert [bar == " " for bar in bars] == [part == 0 for part in row["posterior"]]
    assert bars[row["posterior"].index(max(row["posterior"]))] == "█"
    assert lines[at + 1].index("↑") == lines[at].index("0 ") + 2 + 10
    assert "τ = 0.5" in lines[at + 1]


def test_a_picture_shows_every_part_that_holds_anything():
    bars, mark = command.posterior_picture([0.0, 1e-6, 0.5, 0.499999], 0.99)
    assert bars == "consistency   0  ▁██ 1"
    assert mark.index("↑") == bars.index("0 ") + 2 + 3
