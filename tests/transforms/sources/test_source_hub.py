"""A Hub id is read from the Hub at one commit, through a loopback stand-in for the Hub's API."""

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
from transforms.sources.preference import PreferenceOptions
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


@pytest.mark.slow
def test_a_hub_id_is_read_at_its_commit_even_beside_a_folder_of_that_name(endpoint, tmp_path):
    (tmp_path / "org" / "prefs").mkdir(parents=True)
    (tmp_path / "org" / "prefs" / "train.jsonl").write_text('{"chosen": "not this one"}\n')
    root = Path(__file__).parents[3]
    unset = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env = {
        **unset, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(root),
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, env=env, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    revision, rows, (missing, no_split) = json.loads(done.stdout)
    assert revision == COMMIT
    assert rows == ROWS
    assert missing.startswith("org/nothing: cannot be read from the Hub: DatasetNotFoundError")
    assert no_split.startswith("org/prefs: ") and "other" in no_split
