"""A finished run's second place: the same files, the manifest last, and nobody's files replaced."""

import json
import logging
import shutil

import fsspec
import pytest
from flows_support import call_plainly, manifest, pair, truncate_recipe

from flows.curate import __main__ as command
from flows.curate import flow
from flows.curate.flow import curate, run_stages
from flows.curate.plan import plan_run
from flows.rounds.config import RoundsConfig
from flows.rounds.recipes import curation_of
from flows.versions.copies import check_copy, copy_run
from flows.versions.output_folder import output_folder, publish
from transforms.dataset.shards import file_sha256
from transforms.errors import OutputError
from transforms.records.manifest import FileRecord

ROWS = [pair(number) for number in range(3)]


@pytest.fixture
def store():
    """A place that is no folder."""
    found = fsspec.filesystem("memory")
    yield found
    found.rm("/", recursive=True)


def finish(folder, fingerprint="f1", files=("dataset/train/a.arrow", "report.html")):
    with output_folder(folder, fingerprint=fingerprint, overwrite=True) as work:
        for name in files:
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(f"{name} of {fingerprint}")
        records = [FileRecord(path=name, rows=0, sha256=file_sha256(work / name)) for name in files]
        publish(folder, manifest(fingerprint=fingerprint).model_copy(update={"files": records}))


def content(store, root):
    return {path.removeprefix(root): store.cat_file(path) for path in store.find(root)}


def local_content(folder):
    return {f"/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_copy_is_the_same_files_and_the_second_time_nothing(tmp_path, store, caplog):
    finish(tmp_path)
    check_copy("memory://runs/one", tmp_path, "f1", overwrite=False)
    with caplog.at_level(logging.INFO):
        assert copy_run(tmp_path, "memory://runs/one")
    assert content(store, "/runs/one") == local_content(tmp_path)
    assert "copied to memory://runs/one: 3 files" in caplog.text
    assert not copy_run(tmp_path, "memory://runs/one/")
    assert copy_run(tmp_path, str(tmp_path.parent / "copy"))
    assert local_content(tmp_path.parent / "copy") == local_content(tmp_path)


def test_another_run_there_is_refused_or_replaced_whole(tmp_path, store):
    finish(tmp_path, "f1", files=("dataset/train/a.arrow", "dataset/train/b.arrow", "figures/x.png"))
    copy_run(tmp_path, "memory://run")
    with pytest.raises(OutputError, match=r"copy_to memory://run already holds another run \(unit, version 0{16}\)"):
        check_copy("memory://run", tmp_path, "f2", overwrite=False)
    check_copy("memory://run", tmp_path, "f2", overwrite=True)
    finish(tmp_path, "f2")
    copy_run(tmp_path, "memory://run")
    assert content(store, "/run") == local_content(tmp_path)  # b.arrow and figures/ are gone


def test_somebodys_files_are_refused(tmp_path, store):
    store.pipe_file("/thesis/chapter.tex", b"years of work")
    with pytest.raises(OutputError, match=r"memory://thesis is not empty .*\(found chapter.tex\)"):
        check_copy("memory://thesis", tmp_path, "f1", overwrite=True)
    store.pipe_file("/other/manifest.json", b"[1]")
    with pytest.raises(OutputError, match="already holds another run"):
        check_copy("memory://other", tmp_path, "f1", overwrite=False)


@pytest.mark.parametrize("where", [".", "copy", ".."])
def test_a_run_is_not_copied_onto_itself(tmp_path, where):
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(OutputError, match=r"ValueError: it is output.dir \(.*run\), or one of them lies in the"):
        check_copy(str(folder / where), folder, "f1", overwrite=True)


def test_a_copy_that_breaks_off_has_no_manifest_and_the_next_one_completes_it(tmp_path, store, monkeypatch):
    finish(tmp_path)
    copy_run(tmp_path, "memory://run")
    finish(tmp_path, "f2")

    def broken(self, *_, **__):
        self.pipe_file("/run/report.html", b"half")
        message = "no route to host; key hf_abcdefghijklmnopqrstuvwxyz012345"
        raise ConnectionError(message)

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "put", broken)
        told = r"ConnectionError: no route to host; key \*\*\*\. The run is complete in .* copy it again"
        with pytest.raises(OutputError, match=told):
            copy_run(tmp_path, "memory://run")
    assert sorted(content(store, "/run")) == ["/.copying", "/report.html"]
    check_copy("memory://run", tmp_path, "f2", overwrite=False)  # .copying says whose it is
    assert copy_run(tmp_path, "memory://run")
    assert content(store, "/run") == local_content(tmp_path)


def test_a_url_that_nothing_here_reads_is_said_before_anything_is_computed(tmp_path):
    with pytest.raises(OutputError, match=r"copy_to nosuch://bucket cannot be used: ValueError: .*nosuch"):
        check_copy("nosuch://bucket", tmp_path, "f1", overwrite=False)


def test_a_curation_is_copied_when_it_is_made_and_again_when_it_is_found_finished(tmp_path, monkeypatch, store):
    call_plainly(monkeypatch, flow)
    output = {"dir": str(tmp_path / "out"), "test_size": 0, "copy_to": "memory://made"}
    recipe = truncate_recipe(tmp_path, ROWS, output=output)
    run_stages(plan_run(recipe))
    assert content(store, "/made") == local_content(tmp_path / "out")
    store.rm("/made", recursive=True)
    elsewhere = truncate_recipe(tmp_path, ROWS, output=output | {"copy_to": "memory://again"})
    assert plan_run(elsewhere).finished  # another place makes no other run
    curate.fn(elsewhere)
    assert content(store, "/again") == local_content(tmp_path / "out")
    assert json.loads(store.cat_file("/again/manifest.json"))["counts"]["kept"] == 3


def test_the_command_copies_a_finished_run_too(tmp_path, monkeypatch, store):
    call_plainly(monkeypatch, flow)
    output = {"dir": str(tmp_path / "out"), "test_size": 0}
    run_stages(plan_run(truncate_recipe(tmp_path, ROWS, output=output)))
    recipe = truncate_recipe(tmp_path, ROWS, output=output | {"copy_to": "memory://late"})
    monkeypatch.setattr(command, "load_recipe", lambda *_, **__: recipe)
    monkeypatch.setattr("sys.argv", ["curate"])
    assert command.main() == 0
    assert content(store, "/late") == local_content(tmp_path / "out")


def test_a_place_that_is_taken_stops_a_run_before_it_is_begun(tmp_path, monkeypatch, store):
    call_plainly(monkeypatch, flow)
    store.pipe_file("/taken/a.txt", b"mine")
    recipe = truncate_recipe(tmp_path, ROWS, output={"dir": str(tmp_path / "out"), "copy_to": "memory://taken"})
    with pytest.raises(OutputError, match="memory://taken is not empty"):
        plan_run(recipe)
    shutil.rmtree(tmp_path / "out", ignore_errors=True)


def test_each_round_is_copied_to_a_place_of_its_own():
    prompts = [{"kind": "prompts", "path": "./prompts.jsonl"}]
    config = RoundsConfig.model_validate({
        "name": "r",
        "start": {"model": "smollm2"},
        "curate": {
            "generate": {"policies": [{"n": 2}], "annotators": [{"kind": "reward", "model": "m"}]},
            "output": {"copy_to": "s3://bucket/r/"},
        },
        "train": {},
        "held_out": {"prompts": prompts, "judge": {"model": "judge"}},
        "output": {"dir": "runs/r"},
    })  # fmt: skip
    assert curation_of(config, 2, prompts).output.copy_to == "s3://bucket/r/round-2"
