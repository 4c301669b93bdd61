"""The output folder: what is refused, what is cleaned up, what never looks complete."""

import errno

import pytest
from flows_support import manifest

from flows.versions.output_folder import finished_run, output_folder, publish, read_manifest
from transforms.dataset.shards import file_sha256
from transforms.errors import OutputError
from transforms.records.manifest import FileRecord


def finish(folder, fingerprint="f1", **claim):
    with output_folder(folder, fingerprint=fingerprint, overwrite=claim.get("overwrite", False)) as work:
        (work / "dataset").mkdir()
        (work / "dataset" / "data.arrow").write_text(fingerprint)
        (work / "report.html").write_text("r")
        (work / "README.md").write_text("card")
        records = [
            FileRecord(path=path, rows=0, sha256=file_sha256(work / path))
            for path in ("dataset/data.arrow", "report.html", "README.md")
        ]
        publish(folder, manifest(fingerprint=fingerprint).model_copy(update={"files": records}))


def test_a_finished_run_leaves_the_contract_and_nothing_else(tmp_path):
    finish(tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "README.md",
        "dataset",
        "manifest.json",
        "report.html",
    ]
    assert finished_run(tmp_path / "run", "f1") is not None


def test_another_run_is_refused_and_left_as_it_is(tmp_path):
    finish(tmp_path)
    with pytest.raises(OutputError, match=r"already holds another run .*--output.overwrite true"):
        finish(tmp_path, "f2")
    assert finished_run(tmp_path, "f1") is not None


def test_overwrite_replaces_it(tmp_path):
    finish(tmp_path)
    finish(tmp_path, "f2", overwrite=True)
    assert finished_run(tmp_path, "f2") is not None


def test_a_folder_with_foreign_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"holds no run of this project \(found thesis.tex\)"):
        finish(tmp_path)


def test_a_run_that_dies_leaves_no_manifest_and_the_next_one_starts_afresh(tmp_path):
    with pytest.raises(RuntimeError), output_folder(tmp_path, fingerprint="f1", overwrite=False) as work:
        (work / "dataset").mkdir()
        raise RuntimeError
    assert read_manifest(tmp_path) is None
    finish(tmp_path, "f2")
    assert finished_run(tmp_path, "f2") is not None


@pytest.mark.parametrize("when", ["while the old files go", "while it works"])
def test_a_run_that_dies_while_it_replaces_another_does_not_look_like_that_one(tmp_path, monkeypatch, when):
    import flows.versions.output_folder as output

    def dies(*_):
        raise RuntimeError

    finish(tmp_path)
    if when == "while the old files go":
        monkeypatch.setattr(output, "_remove", dies)
    with pytest.raises(RuntimeError), output_folder(tmp_path, fingerprint="f2", overwrite=True):
        dies()
    assert read_manifest(tmp_path) is None
    assert finished_run(tmp_path, "f1") is None
    monkeypatch.undo()
    finish(tmp_path, "f3")  # without overwrite: there is no other run any more
    assert finished_run(tmp_path, "f3") is not None


def test_a_run_that_dies_while_its_files_move_up_is_not_complete(tmp_path, monkeypatch):
    import flows.versions.output_folder as output

    monkeypatch.setattr(output.json, "dump", lambda *a, **k: (_ for _ in ()).throw(RuntimeError))
    with pytest.raises(RuntimeError):
        finish(tmp_path)
    assert (tmp_path / "dataset").is_dir()
    assert finished_run(tmp_path, "f1") is None
    monkeypatch.undo()
    finish(tmp_path)
    assert finished_run(tmp_path, "f1") is not None


def test_a_run_with_a_file_missing_is_not_finished(tmp_path):
    finish(tmp_path)
    (tmp_path / "report.html").unlink()
    assert finished_run(tmp_path, "f1") is None


def test_a_run_whose_data_were_changed_is_not_finished_and_says_so(tmp_path, caplog):
    finish(tmp_path)
    (tmp_path / "dataset" / "data.arrow").write_text("others")
    assert finished_run(tmp_path, "f1") is None
    assert caplog.messages == [f"{tmp_path}: dataset/data.arrow was changed after the run, so the run is made again"]


def test_a_card_that_somebody_improved_is_still_of_a_finished_run(tmp_path):
    finish(tmp_path)
    (tmp_path / "README.md").write_text("a better card")
    assert finished_run(tmp_path, "f1") is not None


def test_two_runs_at_once_in_one_folder_are_refused(tmp_path):
    first = output_folder(tmp_path, fingerprint="f1", overwrite=False)
    with first, pytest.raises(OutputError, match="another run is writing"):
        finish(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_is_one_clear_message_and_nothing_looks_complete(tmp_path, code):
    claim = output_folder(tmp_path, fingerprint="f1", overwrite=False)
    with pytest.raises(OutputError, match=r"cannot write to .*MiB free.*run again"), claim:
        raise OSError(code, "the disk says no")
    assert read_manifest(tmp_path) is None


def test_a_manifest_of_something_else_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text('{"some": "other tool"}')
    with pytest.raises(OutputError, match="is not a manifest of this version"):
        finish(tmp_path)
