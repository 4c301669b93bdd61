"""A version in a folder: what is handed out, and that nothing is whose hash is another."""

import pytest
from published_support import finished_run

from flows.publish_export import contents_of, export_run
from flows.versions import open_version
from transforms.errors import OutputError, SourceError
from transforms.schema import CURATED, RESPONSES, check


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
    with pytest.raises(SourceError, match=r"dropped-?.* has sha256 .*the manifest says .*restore them"):
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


def test_a_folder_without_a_run_and_a_revision_of_a_folder_are_refused(run, tmp_path):
    with pytest.raises(SourceError, match=r"holds no finished run of flows\.curate \(no manifest\.json\)"):
        open_version(str(tmp_path / "nothing"))
    with pytest.raises(SourceError, match=r"is a folder, so leave out revision 'v1\.0\.0'"):
        open_version(str(run), "v1.0.0")
    (run / "manifest.json").write_text("{}")
    with pytest.raises(OutputError, match="is not a manifest of this version"):
        open_version(str(run))
