"""A Hub id is read from the Hub at one commit, through a loopback stand-in for the Hub's API."""

import gzip
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlparse

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = [{"prompt": f"q{at}", "chosen": "a", "rejected": "b"} for at in range(3)]
FILE = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)

# The endpoint is read when huggingface_hub is imported, hence another process.
SCRIPT = """
import json, sys
from transforms.errors import SourceError
from transforms.sources.kinds.preference import PreferenceOptions
from transforms.sources.read import fingerprint, read_rows
options = PreferenceOptions(kind="preference", path="org/prefs")
revision = fingerprint(options).revision
rows = list(read_rows(options.model_copy(update={"revision": revision})))
errors = []
for change in ({"path": "org/nothing"}, {"split": "other"}):
    try:
        list(read_rows(options.model_copy(update=change)))
    except SourceError as error:
        errors.append(str(error))
print(json.dumps([revision, rows, errors]))
"""


class Hub(BaseHTTPRequestHandler):
    """One dataset with one file at one commit."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body after its head waits 40 ms for an acknowledgement

    def log_message(self, *args):
        pass

    def answer(self, code, body, **headers):
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        path = urlparse(self.path).path
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        entry = {"type": "file", "path": "train.jsonl", "size": len(FILE), "oid": "1" * 40}
        info = {"id": "org/prefs", "sha": COMMIT, "private": False, "tags": [], "siblings": []}
        if "org/prefs" not in path:
            self.answer(404, b"{}", X_Error_Code="RepoNotFound")
        elif path.startswith("/api/datasets/org/prefs/tree/") or path.endswith(f"paths-info/{COMMIT}"):
            self.answer(200, json.dumps([entry]).encode(), Content_Type="application/json")
        elif path.startswith("/api/datasets/org/prefs"):
            self.answer(200, json.dumps(info).encode(), Content_Type="application/json")
        elif path == f"/datasets/org/prefs/resolve/{COMMIT}/train.jsonl":
            self.answer(200, FILE, X_Repo_Commit=COMMIT, ETag='"1"')
        else:
            self.answer(404, b"{}", X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)

    do_HEAD = do_POST = do_GET


@pytest.fixture
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def run_script(script, endpoint, folder):
    """What the script prints with `endpoint` as the Hub."""
    unset = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env = {
        **unset, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(Path(__file__).parents[3]),
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=env, capture_output=True, timeout=240)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.slow
def test_a_hub_id_is_read_at_its_commit_even_beside_a_folder_of_that_name(endpoint, tmp_path):
    (tmp_path / "org" / "prefs").mkdir(parents=True)
    (tmp_path / "org" / "prefs" / "train.jsonl").write_text('{"chosen": "not this one"}\n')
    revision, rows, (missing, no_split) = json.loads(run_script(SCRIPT, endpoint, tmp_path))
    assert revision == COMMIT
    assert rows == ROWS
    assert missing.startswith("org/nothing: cannot be read from the Hub: DatasetNotFoundError")
    assert no_split.startswith("org/prefs: ") and "other" in no_split


# JSON lines whose rows are not all alike, the same as Parquet with Json columns, and splits.
MIXED_SCRIPT = """
import json, sys
from transforms.sources.load import load_batches
from transforms.sources.kinds.preference import PreferenceOptions
from transforms.sources.read import fingerprint, read_rows
found = {}
for name in ("org/lines", "org/table", "org/splits"):
    options = PreferenceOptions(kind="preference", path=name, split="train")
    options = options.model_copy(update={"revision": fingerprint(options).revision})
    batches = list(load_batches(options))
    found[name] = {
        "pairs": sum((batch.pairs.select(["pair_id", "chosen", "chosen_score"]).to_pylist() for batch in batches), []),
        "bad": [line.error for batch in batches for line in batch.quarantined],
        "unread": [batch.columns.unread_values() for batch in batches],
    }
print(json.dumps(found))
"""


@pytest.mark.slow
def test_lines_on_the_hub_are_read_one_by_one_and_tables_give_the_rows_that_went_into_them(tmp_path):
    import io

    import datasets
    from hub_api import Repo
    from loopback_hub import loopback_hub

    rows = [
        {"prompt": f"q{at}", "chosen": [{"role": "assistant", "content": "a"}], "rejected": "b", "chosen_score": at}
        for at in range(20)
    ]
    rows[7]["chosen"][0]["weight"] = 1
    rows[9]["chosen"] = "a"  # a text among messages
    table = io.BytesIO()
    datasets.Dataset.from_list(rows, on_mixed_types="use_json").to_parquet(table)
    mixed = [row | {"chosen_score": "N/A"} if at == 5 else row for at, row in enumerate(rows)]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in mixed)
    with loopback_hub() as hub:
        hub.repos |= {name: Repo(private=False) for name in ("org/lines", "org/table", "org/splits")}
        hub.push("org/lines", {"data/train.jsonl": lines})
        hub.push("org/table", {"data/train-00000-of-00001.parquet": table.getvalue()})
        hub.push("org/splits", {"train.jsonl.gz": gzip.compress(lines), "test.jsonl": b'{"prompt": "no"}\n'})
        done = run_script(MIXED_SCRIPT, hub.endpoint, tmp_path)
    found = json.loads(done)
    whole = found["org/table"]
    assert [(pair["chosen"], pair["chosen_score"]) for pair in whole["pairs"]] == [("a", float(at)) for at in range(20)]
    assert (whole["bad"], whole["unread"]) == ([], [{"chosen[].weight": 1}])
    for name in ("org/lines", "org/splits"):
        assert found[name]["pairs"] == [pair for at, pair in enumerate(whole["pairs"]) if at != 5]
        assert found[name]["bad"] == ["chosen_score is the text 'N/A', expected a number"]
        assert found[name]["unread"] == whole["unread"]
