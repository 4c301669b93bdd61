"""A version in a folder: what is handed out, and that nothing is whose hash is another."""

import datasets
import pytest
from published_support import finished_run

from flows.publish.export import contents_of, export_run
from flows.versions.version import open_version
from transforms.errors import ConfigError, OutputError, SourceError
from transforms.tables.schema import CURATED, RESPONSES, check


@pytest.fixture
def run(tmp_path):
    return finished_run(tmp_path / "run", responses=["r1", "r2"])


@pytest.fixture
def published(run, tmp_path):
    export_run(run, tmp_path / "published", "org/pairs")
    return tmp_path / "published"


def test_a_run_and_what_was_published_of_it_are_the_same_tables(run, published):
    one, other = open_version(str(run)), open_version(str(published))
    assert sorted(one.tables) == sorted(other.tables) == ["dropped", "responses", "test", "train"]
    assert one.splits == other.splits == ["train", "test"]
    for table in one.tables:
        assert one.read(table).equals(other.read(table))
        check(other.read(table), RESPONSES if table == "responses" else CURATED, where=table)
    before, after = contents_of(one), contents_of(other)
    assert (before.columns, before.rows, before.kept) == (after.columns, after.rows, after.kept)
    assert after.kept == {"a1", "a2", "a3", "b1"}


@pytest.mark.parametrize("which", ["run", "published"])
def test_some_columns_of_several_shards_in_order(which, request):
    version = open_version(str(request.getfixturevalue(which)))
    assert len(version.paths("train")) == 2
    found = version.read("train", ["chosen_keep", "pair_id"])
    assert found.to_pydict() == {"chosen_keep": [2, 2, 2], "pair_id": ["a1", "a2", "a3"]}


@pytest.mark.parametrize("which", ["run", "published"])
def test_a_shard_that_is_not_the_manifests_is_not_read(which, request):
    version = open_version(str(request.getfixturevalue(which)))
    path = version.paths("dropped")[0]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(SourceError, match=r"dropped-?.* has sha256 .*the manifest says (?s:.*)restore it"):
        version.read("dropped")
    path.unlink()
    with pytest.raises(SourceError, match="is missing"):
        version.read("dropped")


def test_a_table_that_is_not_there_is_named(run):
    with pytest.raises(SourceError, match="has no table 'validation'; it has train, test, dropped, responses"):
        open_version(str(run)).read("validation")


def test_a_column_that_is_not_there_is_one_error(run, published):
    for folder in (run, published):
        with pytest.raises(SourceError, match=r"cannot be read: KeyError.*verdicts"):
            open_version(str(folder)).read("train", ["verdicts"])


def test_paths_in_a_manifest_that_are_no_shards_are_no_tables(run):
    text = (run / "manifest.json").read_text()
    (run / "manifest.json").write_text(text.replace("dropped/data-00000", "../../etc/data-00000"))
    assert "dropped" not in open_version(str(run)).tables


def test_files_that_datasets_left_among_the_shards_are_not_read_and_told_once_in_a_line(run, caplog):
    before = open_version(str(run)).read("train")
    dataset = datasets.load_from_disk(str(run / "dataset"))["train"]
    dataset.map(lambda row: {"chosen_keep": 1})
    dataset.filter(lambda row: row["pair_id"] == "a1")
    left = sorted(path.relative_to(run).as_posix() for path in run.rglob("cache-*.arrow"))
    assert len(left) == 2
    for _ in range(2):
        assert open_version(str(run)).read("train").equals(before)
    assert caplog.messages == [
        f"{run}: not of this run and not read, left by map, filter or sort of datasets: {', '.join(left)}"
    ]


@pytest.mark.parametrize("which", ["run", "published"])
def test_what_save_to_disk_writes_and_hidden_files_are_not_foreign_and_four_others_are_counted(which, request, caplog):
    folder = request.getfixturevalue(which)
    (folder / "dropped" / ".DS_Store").write_text("")
    (folder / "notes.txt").write_text("beside the data, which nobody reads for data")
    open_version(str(folder))
    assert caplog.messages == []
    for number in range(4):
        (folder / "dropped" / f"copy-{number}.arrow").write_text("")
    assert sorted(open_version(str(folder)).tables) == ["dropped", "responses", "test", "train"]
    assert caplog.messages == [
        f"{folder}: not of this run and not read: dropped/copy-0.arrow, dropped/copy-1.arrow, dropped/copy-2.arrow "
        "and 1 more"
    ]


def test_a_page_that_is_missing_or_was_changed_is_an_error(run):
    (run / "quarantine.jsonl").write_text("{}")
    with pytest.raises(SourceError, match=r"quarantine\.jsonl has sha256 .*: this is not what the run wrote"):
        open_version(str(run)).file("quarantine.jsonl")
    (run / "quarantine.jsonl").unlink()
    with pytest.raises(SourceError, match=r"quarantine\.jsonl is missing"):
        open_version(str(run)).file("quarantine.jsonl")


def test_the_recipe_of_another_release_is_refused_by_the_keys_that_differ(run):
    with pytest.raises(
        ConfigError, match=r"recipe in its manifest\.json is of another version .*policy: Field required"
    ):
        _ = open_version(str(run)).recipe


def test_what_is_there_instead_of_a_run_is_said(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def said(path):
        with pytest.raises(SourceError, match=r"holds no finished run of flows\.curate \(no manifest\.json\)") as error:
            open_version(str(path))
        return str(error.value).split("(no manifest.json)")[1]

    assert said(tmp_path / "nothing").startswith(": there is no such folder; a folder is written ./runs/NAME")
    assert said("./runs/starter").startswith(
        ": there is no such folder; make curate (or python -m flows.curate) makes it; a folder is written"
    )
    assert said(run / "report.html").startswith(": it is a file")
    assert said(run / "dataset" / "train") == f", but {run} does: name that folder"
    (tmp_path / "new").mkdir()
    assert said(tmp_path / "new").startswith(": it is empty. Curate first")
    (tmp_path / "new" / "evaluation.json").write_text("{}")
    assert said(tmp_path / "new").startswith(": it holds evaluation.json. Curate first")
    (tmp_path / "new" / ".work").mkdir()
    assert said(tmp_path / "new").startswith(": the run in it died or is not done. Run the same flows.curate again")


def test_a_name_that_is_not_on_the_hub_is_told_with_the_folder_that_it_may_mean(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    with pytest.raises(
        SourceError, match=r"^runs/mine: cannot find main: .*; \./runs/mine is a folder here: name it so$"
    ):
        open_version("runs/mine")
    with pytest.raises(SourceError, match=r"or run `hf auth login`; a folder is written \./runs/other$"):
        open_version("runs/other")


def test_a_folder_without_a_run_and_a_revision_of_a_folder_are_refused(run, tmp_path):
    with pytest.raises(SourceError, match=r"holds no finished run of flows\.curate \(no manifest\.json\)"):
        open_version(str(tmp_path / "nothing"))
    with pytest.raises(SourceError, match=r"is a folder, so leave out revision 'v1\.0\.0'"):
        open_version(str(run), "v1.0.0")
    (run / "manifest.json").write_text("{}")
    with pytest.raises(OutputError, match=r"is not a manifest of this version \(name: Field required, and \d+ more\)"):
        open_version(str(run))
    (run / "manifest.json").write_text('{"name": "cut')
    with pytest.raises(OutputError, match=r"is not a manifest of this version \(Invalid JSON: EOF .*\): it is damaged"):
        open_version(str(run))
