"""The command against a loopback hub, with a real Prefect: published, loaded, trained on, curated again; and no token
in anything that is left behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from difference_support import source
from loopback_hub import loopback_hub
from prefect_server import running_prefect_server
from published_support import REPO, TOKEN, environment, finished_run

pytestmark = [pytest.mark.slow]
ROOT = Path(__file__).parents[3]

# Rows by load_dataset at the tag against the run's own, and what a training and a curation would read.
LOADED = """
import json, sys
import datasets
from flows.versions.fingerprint import source_records
from flows.train.config import DatasetConfig
from flows.train.pairs import find_run, read_splits
from transforms.sources.kinds.curated import CuratedOptions
from transforms.sources.load import load_batches
from transforms.sources.read import fingerprint
repo, tag, run = sys.argv[1:]
kept = datasets.load_from_disk(run + "/dataset")
loaded = datasets.load_dataset(repo, revision=tag)
equal = all(loaded[split].to_list() == kept[split].to_list() for split in kept) and set(loaded) == set(kept)
features = all(loaded[split].features == kept[split].features for split in kept)
dropped = len(datasets.load_dataset(repo, "dropped", revision=tag)["dropped"])
found = find_run(DatasetConfig(path=repo, revision=tag, pairs="all"))
trained = {split: len(table) for split, table in read_splits(found).items()}
options = CuratedOptions(kind="curated", path=repo, revision=tag)
commit = fingerprint(options).revision
pairs = sum(len(batch.pairs) for batch in load_batches(options.model_copy(update={"revision": commit})))
[record] = source_records([options])
print(record.license, record.license_from, file=sys.stderr)
print(json.dumps([equal, features, dropped, trained, found.version.commit, commit, pairs, len(kept["train"])]))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_prefect_server(tmp_path_factory.mktemp("prefect-home")) as running:
        yield running


def reports_to(server):
    return {"PREFECT_API_URL": server.url, "PREFECT_HOME": str(server.home), "PREFECT_LOGGING_LEVEL": "DEBUG"}


def python(env, *words):
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


def files_with(secret, *folders):
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(found) > 20
    return [path for path in found if secret.encode() in path.read_bytes()]


def test_a_run_goes_to_the_hub_and_comes_back_and_the_token_stays_where_it_was(tmp_path, server):
    names = [f"{number:032x}" for number in range(12)]
    config = {"output": {"test_size": 0.5}}
    sources = [source().model_copy(update={"license": "cc-by-4.0"})]
    run = finished_run(tmp_path / "run", names[:6], names[6:9], names[9:], config=config, sources=sources)
    with loopback_hub(TOKEN) as hub:
        env = environment(tmp_path, hub) | reports_to(server)
        publish = ["-m", "flows.publish", str(run), "--repo", REPO, "--token-env", "MY_TOKEN"]
        outputs = [
            python(env, *publish),
            python(env | {"MY_TOKEN": "hf_WrongWrongWrong"}, *publish),
            python(env | {"MY_TOKEN": TOKEN}, *publish, "--public"),
            python(env | {"MY_TOKEN": TOKEN}, *publish),
        ]
        missing, wrong, first, again = outputs
        assert (missing[0], missing[2].count("error:")) == (2, 1)
        assert "the environment variable MY_TOKEN is empty or not set" in missing[2]
        assert wrong[0] == 2
        assert "Name a token that may do this" in wrong[2]
        assert first[0] == 0, first[2]
        assert f"{REPO} v1.0.0: 12 files" in first[1]
        assert again[1].startswith(f"Nothing to publish: this is v1.0.0 of {REPO} already.")
        assert len(hub.repos[REPO].commits) == 2
        sha = hub.repos[REPO].tags["v1.0.0"]
        code, out, err = python(env, "-c", LOADED, REPO, "v1.0.0", str(run))
        assert code == 0, err
        assert "cc-by-4.0 card" in err.splitlines()
    # The ids are small numbers, so all pairs of another split are its test.
    assert json.loads(out) == [True, True, 3, {"train": 0, "test": 12}, sha, sha, 6, 6]
    for secret in (TOKEN, "WrongWrongWrong"):
        assert not any(secret in text for _, *texts in outputs for text in texts)
        assert files_with(secret, run, server.home, tmp_path / "hf") == []
        assert not any(secret.encode() in content for content in hub.repos[REPO].tip.files.values())
    assert not any(TOKEN in request.url or TOKEN.encode() in request.body for request in hub.seen)


SECRET = """
from prefect.blocks.system import Secret
from flows.hub.token import hub_token
from transforms.errors import ConfigError
Secret(value="hf_OfABlock").save("hub-token")
print(hub_token(block="hub-token") == "hf_OfABlock")
try:
    hub_token(block="other")
except ConfigError as error:
    print(error)
"""


def test_a_token_comes_from_a_prefect_secret_block(tmp_path, server):
    with loopback_hub(TOKEN) as hub:
        code, out, err = python(environment(tmp_path, hub) | reports_to(server), "-c", SECRET)
    assert code == 0, err
    found, missing = out.splitlines()
    assert found == "True"
    assert missing.startswith("there is no Prefect Secret block other")
