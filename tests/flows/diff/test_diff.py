"""`python -m flows.diff`: text, JSON and files; one error for what cannot be compared."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from difference_support import config, dropped, manifest, row, version_folder

from flows.diff.__main__ import main
from flows.diff.difference import summarize_difference
from flows.versions.version import open_version
from transforms.dataset.shards import file_sha256
from transforms.errors import ConfigError, SourceError
from transforms.records.manifest import TokenizerRecord

ROWS = [row(number) for number in range(4)]
UNSURE = {"n": 4, "consistency": 0.75, "consistency_by_reward": 0.75, "decided_by": "n_max"}


@pytest.fixture
def folders(tmp_path):
    old = version_folder(tmp_path / "a", [row(number, **UNSURE) for number in range(4)])
    strict = config(consistency={"threshold": 0.9})
    new = version_folder(tmp_path / "b", [dropped(number, **UNSURE) for number in range(4)], config=strict)
    return str(old), str(new)


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["diff", *words])
    assert main() == 0
    return capsys.readouterr().out


def test_it_says_what_changed_and_why(folders, monkeypatch, capsys):
    said = " ".join(run(monkeypatch, capsys, *folders).split())
    assert "0 pairs kept, 4 fewer than before; 4 pairs changed" in said
    assert "Why: the recipe changed (4)." in said
    assert "4 of 4 other verdicts are proven" in said
    assert "By the new rules the old evidence keeps 0 of 4 pairs, by its own 4." in said
    assert "By the old rules the new evidence keeps 4 of 4 pairs, by its own 0." in said
    assert "consistency.threshold" in said


def test_json_is_the_record_that_other_flows_get(folders, monkeypatch, capsys):
    found = json.loads(run(monkeypatch, capsys, *folders, "--json"))
    record = summarize_difference(*(open_version(folder) for folder in folders))
    assert found == record.model_dump(mode="json")
    assert found["settings"] == [{"kind": "recipe", "key": "consistency.threshold", "old": 0.5, "new": 0.9}]


def test_out_leaves_a_page_its_numbers_and_every_changed_pair(folders, tmp_path, monkeypatch, capsys):
    run(monkeypatch, capsys, *folders, "--out", str(tmp_path / "out"))
    lines = [json.loads(line) for line in (tmp_path / "out" / "changes.jsonl").read_text().splitlines()]
    assert [(one["outcome_old"], one["outcome_new"], one["first"]) for one in lines] == [("keep", "drop", "recipe")] * 4
    assert sorted(one["pair_id_new"] for one in lines) == sorted(one["pair_id"] for one in ROWS)
    assert json.loads((tmp_path / "out" / "diff.json").read_text())["changed"] == 4
    assert (tmp_path / "out" / "diff.html").read_text().startswith("<!doctype html>")


def test_pairs_that_did_not_change_are_no_line_of_the_changes(folders, tmp_path, monkeypatch, capsys):
    mixed = version_folder(tmp_path / "mixed", [row(0, **UNSURE), dropped(1, **UNSURE), row(2, **UNSURE)])
    run(monkeypatch, capsys, folders[0], str(mixed), "--out", str(tmp_path / "out"))
    lines = [json.loads(line) for line in (tmp_path / "out" / "changes.jsonl").read_text().splitlines()]
    assert {one["pair_id_old"]: one["change"] for one in lines} == {
        row(1)["pair_id"]: "verdict",
        row(3)["pair_id"]: "removed",
    }
    assert len(lines) == json.loads((tmp_path / "out" / "diff.json").read_text())["changed"] == 2


def test_the_same_versions_give_the_same_bytes(folders, tmp_path, monkeypatch, capsys):
    for name in ("one", "two"):
        run(monkeypatch, capsys, *folders, "--out", str(tmp_path / name))
    for name in ("diff.html", "diff.json", "changes.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_version_equals_itself_in_one_line(folders, monkeypatch, capsys):
    said = run(monkeypatch, capsys, folders[0], folders[0])
    assert said.startswith("Equal: both are version ")
    assert said.count("\n") == 1


def test_a_run_equals_what_was_published_of_it(tmp_path, monkeypatch, capsys):
    run_folder = version_folder(tmp_path / "run", ROWS)
    published = version_folder(tmp_path / "published", ROWS, published=True)
    assert run(monkeypatch, capsys, str(run_folder), str(published)).startswith("Equal")


def test_other_tokenizers_make_lengths_incomparable_and_it_says_so(tmp_path):
    other = TokenizerRecord(name="other", sha256="bb", eot="</s>", eot_id=2)
    folders = [version_folder(tmp_path / "a", ROWS), version_folder(tmp_path / "b", ROWS, tokenizer=other)]
    found = summarize_difference(*(open_version(str(folder)) for folder in folders))
    assert not found.same_tokenizer
    assert any("lengths are not comparable" in caveat for caveat in found.caveats)
    assert all(one.paired is None for one in found.lengths)


def test_a_folder_of_a_run_may_be_named_without_a_dot(folders, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    (tmp_path / "a").rename(tmp_path / "runs" / "a")
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, capsys, "runs/a", "./runs/a").startswith("Equal")


def test_a_folder_that_is_there_is_never_looked_up_on_the_hub(folders, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs" / "half" / ".work").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"^\./runs/half holds no finished run .* died or is not done"):
        run(monkeypatch, capsys, "runs/half", folders[0])


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["/nowhere", "/nowhere"], SourceError, "/nowhere holds no finished run"),
        (["org/name@v1", "org/name", "--revision-a", "v2"], ConfigError, "names a revision and so does the flag"),
        (["./x", "./y", "--revision-b", "v2"], SourceError, "./x holds no finished run"),
        (["./x", "./y", "--out", __file__], ConfigError, "is a file; name a folder"),
    ],
)
def test_what_cannot_be_compared_is_one_error(words, kind, message, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["diff", *words])
    with pytest.raises(kind, match=message):
        main()


def test_a_table_of_another_release_is_refused_by_the_column_that_it_lacks(folders):
    [shard] = Path(folders[1]).glob("dropped/*-00000-of-*.arrow")
    old = pa.table({"pair_id": ["a"], "verdict": ["drop"]})
    with pa.ipc.new_stream(str(shard), old.schema) as stream:
        stream.write_table(old)
    version = open_version(folders[1])
    files = [
        file.model_copy(update={"sha256": file_sha256(Path(folders[1]) / file.path)}) for file in version.manifest.files
    ]
    rewritten = version.manifest.model_copy(update={"files": files})
    (Path(folders[1]) / "manifest.json").write_text(rewritten.model_dump_json())
    with pytest.raises(SourceError, match=r"data-00000-of-00002\.arrow cannot be read: .*source"):
        summarize_difference(open_version(folders[0]), open_version(folders[1]))


def test_a_shard_that_is_not_the_manifests_is_refused(folders, monkeypatch):
    quarantine = Path(folders[1]) / "quarantine.jsonl"
    quarantine.write_text("{}\n")
    monkeypatch.setattr(sys, "argv", ["diff", *folders])
    with pytest.raises(SourceError, match=r"quarantine\.jsonl has sha256"):
        main()


def test_a_manifest_without_quarantine_is_no_version(tmp_path):
    folder = version_folder(tmp_path / "a", ROWS)
    bare = manifest(files=[], counts=open_version(str(folder)).manifest.counts)
    (folder / "manifest.json").write_text(bare.model_dump_json())
    with pytest.raises(SourceError, match=r"has no quarantine\.jsonl"):
        summarize_difference(*[open_version(str(folder))] * 2)
