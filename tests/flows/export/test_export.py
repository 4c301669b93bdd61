"""`python -m flows.export`: counts that add up, a folder whole or not at all, and one error for what cannot be."""

import json
import sys

import datasets
import pytest
from difference_support import version_folder
from export_support import CALL, HOSTILE, TOOLS, kept, lines, run_of, structure
from published_support import finished_run

from flows.export.__main__ import main
from flows.versions.output_folder import output_folder
from flows.versions.version import open_folder
from transforms.errors import ConfigError, OutputError, SourceError

ALL = ("trl", "kto", "nemo_rl", "openrlhf")


def export(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["export", *map(str, words)])
    assert main() == 0


def loaded(path, tmp_path):
    return list(datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")))


@pytest.fixture
def run(tmp_path):
    """Two splits: hostile text, a cut, an unfinished response, and a repeated one."""
    train = [
        kept(0, chosen=HOSTILE, chosen_full=HOSTILE),
        kept(1, chosen="go", chosen_full="good", chosen_keep=2, chosen_cut=True, reward_chosen=4.0),
        kept(2, rejected_cut=True, rejected_finished=False, reward_rejected=-1.0),
        {**kept(2), "pair_id": "f" * 32, "rejected": "worse", "rejected_full": "worse", "reward_rejected": None},
    ]
    return run_of(tmp_path / "run", train, [kept(9)])


def test_each_layout_of_each_split_is_a_file_and_the_counts_add_up(run, monkeypatch, capsys):
    export(monkeypatch, run, "--to", *ALL, "--json")
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((run / "exports" / "export.json").read_text())
    assert [(one["path"], one["rows_in"], one["rows"], one["left_out"]) for one in record["files"]] == [
        ("trl/train.jsonl", 4, 4, {}),
        ("trl/test.jsonl", 1, 1, {}),
        ("kto/train.jsonl", 8, 6, {"no_score": 1, "repeated": 1}),
        ("kto/test.jsonl", 2, 2, {}),
        ("nemo_rl/train.jsonl", 4, 4, {}),
        ("nemo_rl/test.jsonl", 1, 1, {}),
        ("openrlhf/train.jsonl", 4, 4, {}),
        ("openrlhf/test.jsonl", 1, 1, {}),
    ]
    for one in record["files"]:
        assert (
            len(lines(run / "exports" / one["path"])) == one["rows"] == one["rows_in"] - sum(one["left_out"].values())
        )
    trl, kto = record["files"][0], record["files"][2]
    assert (trl["responses"], trl["without_end"], trl["unfinished"]) == (8, 2, 1)
    assert (kto["responses"], kto["without_end"], kto["unfinished"]) == (6, 2, 1)


def test_what_is_left_out_is_a_line_with_pair_side_and_reason(run, monkeypatch):
    export(monkeypatch, run, "--to", "kto")
    first = {"layout": "kto", "split": "train", "pair_id": "f" * 32}
    assert lines(run / "exports" / "left-out.jsonl") == [
        {**first, "side": "chosen", "reason": "repeated"},
        {**first, "side": "rejected", "reason": "no_score"},
    ]
    assert "`left-out.jsonl` a line for each row that is in no file" in (run / "exports/README.md").read_text()


def test_where_nothing_is_left_out_there_is_no_such_file(run, monkeypatch):
    export(monkeypatch, run, "--to", "trl")
    assert sorted(path.name for path in (run / "exports").iterdir()) == ["README.md", "export.json", "trl"]
    assert "left-out.jsonl" not in (run / "exports/README.md").read_text()


def test_datasets_reads_hostile_text_as_it_was_written(run, tmp_path, monkeypatch):
    export(monkeypatch, run, "--to", *ALL)
    for layout in ALL:
        path = run / "exports" / layout / "train.jsonl"
        assert loaded(path, tmp_path) == lines(path)
    assert lines(run / "exports" / "trl" / "train.jsonl")[0]["chosen"][0]["content"] == HOSTILE


def test_datasets_reads_structure_as_it_was_written_in_whatever_order_it_comes(tmp_path, monkeypatch):
    other = {
        "tool_calls": [{"type": "function", "function": {"name": "n", "arguments": {"n": 3, "deep": [{"a": None}]}}}]
    }
    rows = [
        kept(0),
        kept(1, structure=structure(tools=TOOLS, chosen=CALL)),
        kept(2, structure=structure(tools=TOOLS, chosen=other, rejected=CALL)),
        kept(3, structure=structure(chosen={"reasoning_content": HOSTILE})),
        kept(4, structure=structure(chat_template_kwargs={"enable_thinking": False})),
    ]
    run = run_of(tmp_path / "run", rows)
    export(monkeypatch, run, "--to", *ALL)
    found = {layout: lines(run / "exports" / layout / "train.jsonl") for layout in ALL}
    for layout, written in found.items():
        assert loaded(run / "exports" / layout / "train.jsonl", tmp_path) == written
    assert [len(found[layout]) for layout in ALL] == [5, 10, 2, 2]
    reasons = [(one["layout"], one["reason"]) for one in lines(run / "exports" / "left-out.jsonl")]
    expected = [("tools", 2), ("chat_template_kwargs", 1)]
    for layout in ("nemo_rl", "openrlhf"):
        assert [(reason, reasons.count((layout, reason))) for reason, _ in expected] == expected
    trl = {row["pair_id"]: row for row in found["trl"]}
    assert [trl[row["pair_id"]]["chat_template_kwargs"] for row in rows] == [{}] * 4 + [{"enable_thinking": False}]


def test_a_field_that_shows_first_behind_the_ten_megabytes_that_datasets_looks_at_is_read(tmp_path, monkeypatch):
    plain = [kept(number, chosen="x" * 600_000, chosen_full="x" * 600_000) for number in range(20)]
    run = run_of(tmp_path / "run", [*plain, kept(99, structure=structure(chosen={"reasoning_content": "hm"}))])
    export(monkeypatch, run, "--to", "trl")
    rows = loaded(run / "exports" / "trl" / "train.jsonl", tmp_path)
    assert sum("reasoning_content" in row["chosen"][0] for row in rows) == 1
    assert len(rows) == 21


def test_half_a_character_in_a_tool_call_is_left_out(tmp_path, monkeypatch):
    rows = [kept(0), kept(1, structure=structure(chosen={"reasoning_content": "\ud83d"}))]
    run = run_of(tmp_path / "run", rows)
    export(monkeypatch, run, "--to", "trl", "kto")
    assert [row["pair_id"] for row in lines(run / "exports" / "trl" / "train.jsonl")] == [rows[0]["pair_id"]]
    reasons = [(one["layout"], one["side"], one["reason"]) for one in lines(run / "exports" / "left-out.jsonl")]
    assert reasons == [("trl", None, "not_json"), ("kto", "chosen", "not_json")]


def test_the_page_says_what_each_file_is_and_what_happens_at_the_end_of_a_turn(run, monkeypatch, capsys):
    export(monkeypatch, run, "--to", *ALL)
    page, said = (run / "exports" / "README.md").read_text(), capsys.readouterr().out
    version = json.loads((run / "manifest.json").read_text())["version"]
    assert f"version `{version}`" in page
    for layout in ALL:
        assert f"| `{layout}/train.jsonl` |" in page
        assert f"\n## {layout}\n" in page
    for words in ("2 of 10 responses were cut or never finished (1 of them the latter)", "appends the eos token"):
        assert words in page
        assert words in said
    assert "docs/how-to/use-in-trl.md" in page
    assert "](scores.png)" in page
    assert (run / "exports" / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_where_all_responses_end_there_is_no_warning(tmp_path, monkeypatch, capsys):
    export(monkeypatch, run_of(tmp_path / "run", [kept(0)]), "--to", "trl")
    assert "all 2 responses end by themselves" in capsys.readouterr().out


def test_a_name_of_a_stranger_is_no_markup_of_the_page(tmp_path, monkeypatch):
    run = run_of(tmp_path / "run", [kept(0)])
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"name": "`x` <script>\n# y"}))
    export(monkeypatch, run, "--to", "trl")
    assert (run / "exports" / "README.md").read_text().startswith("# `` `x` <script> # y ``, exported\n")


def test_a_threshold_is_told_with_what_it_says_of_chosen_and_rejected(tmp_path, monkeypatch, capsys):
    rows = [
        kept(n, reward_chosen=high, reward_rejected=low)
        for n, (high, low) in enumerate([(9, 8), (9.5, 1), (2, 0), (8.5, 8.25)])
    ]
    export(monkeypatch, run_of(tmp_path / "run", rows), "--to", "kto", "--json")
    found = json.loads(capsys.readouterr().out)["threshold"]
    # sorted: 0 1 2 | 8 8.25 8.5 9 9.5
    assert (found["value"], found["method"], found["score"], found["split"]) == (5.0, "otsu", "reward", "train")
    assert (found["chosen_below"], found["chosen"], found["rejected_above"], found["rejected"]) == (1, 4, 2, 4)
    assert (found["desirable"], found["undesirable"]) == (5, 3)
    assert (found["desirable_weight"], found["undesirable_weight"]) == (1.0, pytest.approx(5 / 3 * 6 / 7))
    rows = {row["score"]: row["label"] for row in lines(tmp_path / "run" / "exports" / "kto" / "train.jsonl")}
    assert rows == {9: True, 8: True, 9.5: True, 1: False, 2: False, 0: False, 8.5: True, 8.25: True}


def test_the_test_split_gets_the_threshold_of_the_training_split(tmp_path, monkeypatch, capsys):
    run = run_of(tmp_path / "run", [kept(0)], [kept(1, reward_chosen=100.0, reward_rejected=90.0)])
    export(monkeypatch, run, "--to", "kto", "--json")
    assert json.loads(capsys.readouterr().out)["threshold"]["value"] == 1.0
    assert [row["label"] for row in lines(run / "exports" / "kto" / "test.jsonl")] == [True, True]


@pytest.mark.parametrize(
    ("words", "value", "labels"),
    [
        (["--threshold", "median"], 1.0, [True, False]),
        (["--threshold", "1.5"], 1.5, [True, False]),
        (["--score", "source"], 1.5, [True, False]),
        (["--threshold", "-0.5"], None, None),
    ],
)
def test_score_and_threshold_are_what_was_asked_for(tmp_path, monkeypatch, capsys, words, value, labels):
    run = run_of(tmp_path / "run", [kept(0)])
    if value is None:
        with pytest.raises(ConfigError, match="every response is desirable"):
            export(monkeypatch, run, "--to", "kto", *words)
        return
    export(monkeypatch, run, "--to", "kto", "--json", *words)
    assert json.loads(capsys.readouterr().out)["threshold"]["value"] == value
    assert [row["label"] for row in lines(run / "exports" / "kto" / "train.jsonl")] == labels


def test_the_reward_is_taken_by_itself_where_half_of_the_responses_have_it(tmp_path, monkeypatch, capsys):
    unread = {"reward_chosen": None, "reward_rejected": None}
    few = [kept(0), kept(1, **unread), kept(2, **unread)]
    export(monkeypatch, run_of(tmp_path / "few", few), "--to", "kto", "--json")
    assert json.loads(capsys.readouterr().out)["threshold"]["score"] == "source"
    export(monkeypatch, run_of(tmp_path / "half", [kept(0), kept(1, **unread)]), "--to", "kto", "--json")
    assert json.loads(capsys.readouterr().out)["threshold"]["score"] == "reward"


UNSCORED = dict.fromkeys(("reward_chosen", "reward_rejected", "chosen_score", "rejected_score"))


@pytest.mark.parametrize(
    ("rows", "words", "said"),
    [
        ([kept(0, **UNSCORED)], [], "has a score, neither the reward model's"),
        ([kept(0, **UNSCORED)], ["--score", "reward"], "has no rewards of a reward model in its split 'train'"),
        ([kept(0), kept(1, source="two")], ["--score", "source"], r"scores of 2 sources \(one, two\), each on a scale"),
        ([kept(0)], ["--margin", "7"], "a margin of 7 about the threshold 1 leaves 0 desirable and 0 undesirable"),
        ([kept(0)], ["--margin", "-1"], "--margin is -1, expected a distance"),
        ([kept(0)], ["--margin", "nan"], "--margin is nan, expected a distance"),
    ],
)
def test_labels_that_cannot_be_are_one_error_and_leave_nothing(tmp_path, monkeypatch, rows, words, said):
    run = run_of(tmp_path / "run", rows)
    before = sorted(path.name for path in run.iterdir())
    with pytest.raises(ConfigError, match=said):
        export(monkeypatch, run, "--to", "trl", "kto", *words)
    assert sorted(path.name for path in run.iterdir() if path.name != ".lock") == before


@pytest.mark.parametrize("words", [["--score", "reward"], ["--threshold", "median"], ["--margin", "0"]])
def test_flags_of_kto_without_kto_are_an_error(run, monkeypatch, words):
    with pytest.raises(ConfigError, match=f"{words[0]} decides labels of kto"):
        export(monkeypatch, run, "--to", "trl", *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "axolotl"], "invalid choice: 'axolotl' (choose from "),
        (["--to", "kto", "--threshold", "best"], "invalid threshold value: 'best'"),
        (["--to", "kto", "--threshold", "nan"], "invalid threshold value: 'nan'"),
        ([], "the following arguments are required: --to"),
    ],
)
def test_what_is_not_known_is_told_with_what_is(run, monkeypatch, capsys, words, said):
    with pytest.raises(SystemExit) as refused:
        export(monkeypatch, run, *words)
    assert refused.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert "choose from" not in said or all(layout in error for layout in ALL)


def test_a_run_without_a_test_split_or_with_an_empty_one_has_no_file_of_it(tmp_path, monkeypatch):
    for name, test in (("none", None), ("empty", [])):
        run = run_of(tmp_path / name, [kept(0)], test)
        export(monkeypatch, run, "--to", "trl", "kto")
        assert [path.name for path in (run / "exports" / "trl").iterdir()] == ["train.jsonl"]


def test_a_split_of_which_no_row_has_a_place_has_no_file_and_says_so(tmp_path, monkeypatch, capsys):
    run = run_of(tmp_path / "run", [kept(0, structure=structure(tools=TOOLS))])
    export(monkeypatch, run, "--to", "openrlhf", "trl")
    assert "openrlhf, train: no file" in capsys.readouterr().out
    assert not (run / "exports" / "openrlhf").exists()


def test_a_run_that_kept_nothing_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="kept no pair"):
        export(monkeypatch, run_of(tmp_path / "run", []), "--to", "trl")


def test_a_folder_without_a_run_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(SourceError, match="holds no finished run"):
        export(monkeypatch, tmp_path, "--to", "trl")


def test_an_export_replaces_the_one_before_and_one_that_fails_leaves_it(run, monkeypatch):
    export(monkeypatch, run, "--to", "openrlhf")
    export(monkeypatch, run, "--to", "trl")
    before = sorted(path.name for path in (run / "exports").iterdir())
    assert before == ["README.md", "export.json", "trl"]
    shard = next((run / "dataset" / "train").glob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(SourceError, match="not what the run wrote"):
        export(monkeypatch, run, "--to", "kto")
    assert sorted(path.name for path in (run / "exports").iterdir()) == before
    assert not [path for path in run.iterdir() if path.name.startswith(".exports")]


def test_files_that_are_no_export_are_never_replaced(run, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    with pytest.raises(OutputError, match=r"is not empty and holds no export \(found thesis.txt\)"):
        export(monkeypatch, run, "--to", "trl", "--out", mine)
    with pytest.raises(OutputError, match="is a file"):
        export(monkeypatch, run, "--to", "trl", "--out", mine / "thesis.txt")
    assert (mine / "thesis.txt").read_text() == "years"


def test_out_leaves_the_run_as_it_is(run, tmp_path, monkeypatch):
    before = sorted(path.name for path in run.iterdir())
    export(monkeypatch, run, "--to", "trl", "--out", tmp_path / "deep" / "out")
    assert sorted(path.name for path in run.iterdir()) == before
    assert (tmp_path / "deep" / "out" / "trl" / "train.jsonl").exists()


def test_a_published_folder_is_exported_like_a_run(tmp_path, monkeypatch):
    rows = [kept(0), kept(1)]
    for name, published in (("run", False), ("published", True)):
        version_folder(tmp_path / name, rows, published=published)
        export(monkeypatch, tmp_path / name, "--to", "trl", "kto")
    for path in ("trl/train.jsonl", "kto/train.jsonl"):
        exports = [(tmp_path / name / "exports" / path).read_bytes() for name in ("run", "published")]
        assert exports[0] == exports[1]


def test_a_dataset_of_the_hub_needs_a_folder(run):
    from dataclasses import replace

    from flows.export.export import Choices
    from flows.export.output import export as write

    version = replace(open_folder(run), where="org/name", commit="a" * 40)
    with pytest.raises(ConfigError, match="org/name is on the Hub; name a folder to write to with --out"):
        write(version, Choices(("trl",)), None)


def test_the_same_run_gives_the_same_bytes(run, tmp_path, monkeypatch):
    for name in ("one", "two"):
        export(monkeypatch, run, "--to", *ALL, "--out", tmp_path / name)
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_a_run_that_is_made_again_has_no_export_of_the_one_before(run, monkeypatch):
    export(monkeypatch, run, "--to", "trl")
    with output_folder(run, fingerprint="another", overwrite=True):
        assert not (run / "exports").exists()


def test_an_export_is_no_file_of_the_run(tmp_path, monkeypatch, caplog):
    from published_support import published_files

    run = finished_run(tmp_path / "run")
    before = published_files(run).files
    export(monkeypatch, run, "--to", "trl")
    assert (run / "exports" / "trl" / "train.jsonl").exists()
    published_files.cache_clear()
    assert published_files(run).files == before
    assert "not of this run" not in caplog.text
