"""A run on a loopback hub: published, published again, changed, refused."""

import datasets
import pyarrow as pa
import pytest
import yaml
from published_support import REPO, TOKEN, finished_run, publish, published_files

from flows.hub.repository import Hub
from flows.versions.version import open_version
from transforms.errors import ConfigError, OutputError, SourceError
from transforms.records.manifest import ModelRecord, SourceRecord

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Use 'content")]  # of the Hub's client


@pytest.fixture
def run(tmp_path):
    return finished_run(tmp_path / "run", responses=["r1"])


def test_one_commit_a_tag_and_exactly_the_layout(hub, run):
    made = publish(run)
    repo = hub.repos[REPO]
    assert [commit.sha for commit in repo.commits[1:]] == [made.commit]
    assert (repo.tags, made.tag, made.unchanged, repo.private) == ({"v1.0.0": made.commit}, "v1.0.0", False, True)
    assert sorted(repo.tip.files) == [
        "README.md",
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "dropped/dropped-00000-of-00001.parquet",
        "figures/funnel.png",
        "manifest.json",
        "quarantine.jsonl",
        "report.html",
        "responses/responses-00000-of-00001.parquet",
    ]
    assert repo.tip.title == "v1.0.0: unit, 4 pairs"
    assert not (run / ".publish").exists()


def test_published_rows_are_the_runs_rows(hub, run):
    publish(run)
    version = open_version(REPO, "v1.0.0", token=TOKEN)
    kept = datasets.load_from_disk(str(run / "dataset"))
    assert version.commit == hub.repos[REPO].tip.sha
    for split in ("train", "test"):
        assert version.read(split).equals(kept[split].data.table.cast(version.read(split).schema))
    assert version.read("dropped")["reason"].to_pylist() == ["inconsistent"]
    assert version.read("responses")["response"].to_pylist() == ["r1!"]


def test_publishing_again_sends_nothing_and_says_so(hub, run):
    first = publish(run)
    hub.forget()
    again = publish(run)
    assert (again.tag, again.commit, again.unchanged) == ("v1.0.0", first.commit, True)
    assert all(request.startswith("GET") for request in hub.requests)


def test_the_same_data_curated_elsewhere_later_is_the_same_version(hub, run, tmp_path):
    publish(run)
    other = finished_run(tmp_path / "other", responses=["r1"], seconds={"load": 9.0}, finished_at="2027-01-01")
    assert publish(other).unchanged
    assert len(hub.repos[REPO].commits) == 2


def test_no_folder_of_the_machine_leaves_it_and_another_one_makes_no_version(hub, tmp_path):
    runs = []
    for home in ("/home/alice", "/mnt/bob"):
        source = SourceRecord(
            label="mine", kind="preference", path=f"{home}/x.jsonl", revision=None, fingerprint="f", raw_rows=5, pairs=5
        )
        model = ModelRecord(
            name=f"{home}/reward", revision="local", fingerprint="f", dtype="float32", engine="transformers"
        )
        config = {"sources": [{"path": f"{home}/x.jsonl"}], "output": {"dir": f"{home}/run"}, "ledger": f"{home}/l"}
        runs.append(finished_run(tmp_path / home[1:], sources=[source], reward=model, config=config))
    publish(runs[0])
    assert [path for path, content in hub.repos[REPO].tip.files.items() if b"alice" in content] == []
    assert open_version(REPO, "v1.0.0", token=TOKEN).manifest.sources[0].path == "x.jsonl"
    assert publish(runs[1]).unchanged


def test_changed_data_is_a_new_version_and_the_old_tag_still_gives_its_old_bytes(hub, run, tmp_path):
    first = publish(run)
    before = dict(hub.repos[REPO].tip.files)
    hub.forget()
    second = publish(finished_run(tmp_path / "second", ["a1", "a2", "a4"], responses=["r1"]))
    assert (second.tag, second.why[:2]) == ("v1.1.0", ["1 kept pairs added", "1 kept pairs removed"])
    assert hub.repos[REPO].at("v1.0.0").files == before
    assert open_version(REPO, "v1.0.0", token=TOKEN).read("train")["pair_id"].to_pylist() == ["a1", "a2", "a3"]
    assert open_version(REPO, "v1.1.0", token=TOKEN).read("train")["pair_id"].to_pylist() == ["a1", "a2", "a4"]
    # a1 and a2 fill a shard that the Hub has; the card, the test split and the rest too
    assert len(hub.uploads) == 1
    assert first.commit == hub.repos[REPO].tags["v1.0.0"]


def test_an_older_version_says_which_one_it_is_and_which_is_the_newest(hub, run, tmp_path):
    publish(run)
    publish(finished_run(tmp_path / "second", ["a1", "a2", "a4"], responses=["r1"]))
    again = publish(run)
    assert (again.tag, again.newest, again.unchanged) == ("v1.0.0", "v1.1.0", True)


def test_files_that_a_version_has_no_more_go_with_its_commit_and_others_stay(hub, run, tmp_path):
    publish(run)
    hub.push(REPO, {"LICENSE": b"mit"})
    made = publish(finished_run(tmp_path / "small", ["a1", "a2"]))
    assert made.tag == "v2.0.0"
    assert made.why == ["table responses is gone"]
    files = hub.repos[REPO].tip.files
    assert "responses/responses-00000-of-00001.parquet" not in files
    assert [path for path in files if path.startswith("data/train")] == ["data/train-00000-of-00001.parquet"]
    assert files["LICENSE"] == b"mit"


def test_new_pages_of_the_same_rows_are_published_when_asked_for(hub, run):
    publish(run)
    (run / "README.md").write_text("---\nlicense: mit\n---\n# better words\n")
    assert publish(run).unchanged
    assert publish(run, bump="patch").tag == "v1.0.1"
    card = hub.repos[REPO].at("v1.0.1").files["README.md"].decode()
    assert card.endswith("---\n# better words\n")
    # Its words are theirs; where the files lie is the version's.
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "mit"
    assert "path: data/train-*.parquet" in card
    assert "dataset/" not in card


def test_the_card_says_how_to_load_the_repository(hub, run):
    publish(run)
    card = hub.repos[REPO].at("v1.0.0").files["README.md"].decode()
    assert f'datasets.load_dataset("{REPO}")' in card
    assert "path: data/train-*.parquet" in card
    assert "load_from_disk" not in card


def test_what_the_manifest_says_of_the_same_rows_is_a_patch(hub, run, tmp_path):
    publish(run)
    made = publish(finished_run(tmp_path / "named", responses=["r1"], name="renamed"))
    assert (made.tag, made.why) == ("v1.0.1", ["equal rows; card, report or metadata changed"])


def test_a_page_that_was_changed_by_hand_is_refused_unless_it_is_the_card(hub, run):
    (run / "report.html").write_text("<p>prettier</p>")
    with pytest.raises(OutputError, match=r"report\.html was changed after the run"):
        publish(run)


def test_a_tag_is_named_counted_or_made_of_the_content(hub, run, tmp_path):
    assert publish(run, tag="v0.3.0").tag == "v0.3.0"
    assert publish(run, tag="v0.4.0").commit == hub.repos[REPO].tags["v0.3.0"]
    content = publish(run, tag="content")
    assert content.tag == f"v-{content.version}"
    assert publish(run, tag="content").unchanged
    assert len(hub.repos[REPO].commits) == 2
    other = finished_run(tmp_path / "other", ["a1"])
    with pytest.raises(ConfigError, match=r"v0\.3\.0 is there with other content, and tags are never moved"):
        publish(other, tag="v0.3.0")
    with pytest.raises(ConfigError, match=r"tag v0\.2\.0 is lower than v0\.4\.0"):
        publish(other, tag="v0.2.0")
    assert publish(other, bump="major").tag == "v1.0.0"


def test_a_base_that_is_not_the_newest_commit_any_more_is_refused(hub, run, tmp_path):
    base = publish(run).commit
    pushed = hub.push(REPO, {"NOTES.md": b"x"})
    other = finished_run(tmp_path / "other", ["a1", "a2", "a3", "a4"], responses=["r1"])
    with pytest.raises(OutputError, match=rf"is at {pushed[:12]} and not at {base[:12]}: somebody pushed"):
        publish(other, revision=base)
    assert publish(other, revision=pushed).tag == "v1.1.0"


def test_a_repository_with_another_dataset_is_left_alone(hub, run):
    Hub(REPO, token=TOKEN).create(private=True)
    hub.push(REPO, {"data/train.parquet": b"years of work"})
    with pytest.raises(OutputError, match="holds another dataset, of which this would remove files"):
        publish(run)
    assert hub.repos[REPO].tip.files == {"data/train.parquet": b"years of work"}


def test_what_comes_back_with_another_hash_is_not_tagged(hub, run, monkeypatch):
    real = hub._put

    def corrupt(request, sha256):
        answered = real(request, sha256)
        hub.blobs[sha256] = hub.blobs[sha256][:-1] + b"x"
        return answered

    hub._routes = [(m, p, corrupt if handle == real else handle) for m, p, handle in hub._routes]
    with pytest.raises(OutputError, match=r"data/train-00000-of-00002\.parquet came back with sha256 .* no tag"):
        publish(run)
    assert hub.repos[REPO].tags == {}


def test_two_who_publish_the_same_run_at_once_make_one_version(hub, run, monkeypatch):
    files, mark = published_files(run)
    upload = Hub.upload

    def and_the_other_one_commits(self, additions):
        upload(self, additions)
        hub.repos[REPO].push("v1.0.0: unit", mark, files)

    monkeypatch.setattr(Hub, "upload", and_the_other_one_commits)
    made = publish(run)
    assert hub.repos[REPO].tags == {"v1.0.0": made.commit}
    assert len(hub.repos[REPO].commits) == 2


def test_a_public_dataset_is_read_without_a_token_and_a_private_one_is_not(hub, run):
    publish(run, public=True)
    assert len(open_version(REPO).read("train")) == 3
    assert "authorization" not in hub.seen[-1].headers
    hub.repos[REPO].private = True
    with pytest.raises(SourceError, match=r"org/pairs: cannot find main: RepositoryNotFoundError"):
        open_version(REPO)


def test_a_revision_that_is_not_there_is_one_error(hub, run):
    publish(run)
    with pytest.raises(SourceError, match=r"org/pairs: cannot find v9\.0\.0: RevisionNotFoundError"):
        open_version(REPO, "v9.0.0", token=TOKEN)


def test_a_wrong_token_says_what_to_do_and_is_nowhere_in_the_error(hub, run):
    with pytest.raises(
        OutputError, match=r"cannot create the repository: .*401.* Name a token that may do this"
    ) as error:
        publish(run, token="hf_WrongWrongWrong")
    assert "WrongWrong" not in repr(error.value)
    assert error.value.__cause__ is None


def test_a_card_whose_front_matter_was_broken_by_hand_is_said_before_anything_is_sent(hub, run):
    (run / "README.md").write_text("---\nlicense: [mit\n---\n")
    with pytest.raises(OutputError, match=r"README\.md: its front matter is no YAML: .*Mend it"):
        publish(run)
    assert REPO not in hub.repos


def test_a_run_that_is_being_written_or_is_none_is_refused(hub, run, tmp_path):
    from flows.versions.output_folder import locked

    with locked(run), pytest.raises(OutputError, match="another run is writing to"):
        publish(run)
    with pytest.raises(ConfigError, match="is no folder"):
        publish(tmp_path / "nothing")
    path = next((run / "dataset" / "train").glob("*.arrow"))
    with pa.OSFile(str(path), "ab") as sink:
        sink.write(b"x")
    with pytest.raises(SourceError, match="this is not what the run wrote"):
        publish(run)
    assert REPO not in hub.repos
