"""The temporary server: started where the user has none, told to Prefect, and gone with the run however that ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flows.runtime import temporary_server
from transforms.errors import EngineError

ROOT = Path(__file__).parents[3]
RUN = """
import os, sys, time
from flows.runtime.temporary_server import while_server_starts
with while_server_starts():
    assert os.environ["PREFECT_API_URL"]
from prefect.settings import PREFECT_API_URL
assert PREFECT_API_URL.value() == os.environ["PREFECT_API_URL"]
assert "prefect.server.api.server" not in sys.modules
try:
    print("ready", flush=True)  # the signal may come at once
    time.sleep(120)
except KeyboardInterrupt:
    print("server answers:", temporary_server_answers(), flush=True)
"""
ANSWERS = """
def temporary_server_answers():
    from flows.runtime import temporary_server
    return all(temporary_server._answers(port, 5) for port in temporary_server._started)
"""


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """A user without any setting of Prefect, in an empty folder."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nobody_without_a_setting_has_a_server(alone):
    (alone / "pyproject.toml").write_text('[project]\ndependencies = ["prefect==3.7.7", "fastapi"]\n')
    (alone / ".env").write_text("HF_TOKEN=x\n")
    assert not temporary_server._has_a_server()


def test_a_server_in_the_environment_is_the_users(alone, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    assert temporary_server._has_a_server()


def test_a_server_in_the_environment_may_be_written_in_small_letters_as_prefect_reads_it(alone, monkeypatch):
    monkeypatch.setenv("prefect_api_url", "http://127.0.0.1:4200/api")
    assert temporary_server._has_a_server()


# Files of a user, and whether they name a server.
FILES = {
    "a profile": (
        {"home/profiles.toml": 'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://127.0.0.1:1/api"\n'},
        True,
    ),
    "prefect.toml": ({"prefect.toml": '[api]\nurl = "http://127.0.0.1:1/api"\n'}, True),
    ".env": ({".env": "PREFECT_API_URL=http://127.0.0.1:1/api\n"}, True),
    "a table of pyproject.toml": ({"pyproject.toml": '[tool.prefect.api]\nurl = "http://127.0.0.1:1/api"\n'}, True),
    "an inline table": (
        {"pyproject.toml": '[tool]\nprefect = {api = {url = "http://127.0.0.1:1/api"}}\n'},
        True,
    ),
    "profiles elsewhere": (
        {
            "mine.toml": 'active = "a"\n[profiles.a]\nPREFECT_API_URL = "http://127.0.0.1:1/api"\n',
            "prefect.toml": 'profiles_path = "mine.toml"\n',
        },
        True,
    ),
    "other settings": (
        {
            "prefect.toml": "[server]\nanalytics_enabled = false\n",
            "pyproject.toml": "[tool.prefect.results]\npersist_by_default = false\n",
        },
        False,
    ),
}
ASK = """
import json, os, sys
from flows.runtime.temporary_server import _has_a_server
found = []
for folder in sys.argv[1:]:
    os.chdir(folder)
    os.environ["PREFECT_HOME"] = folder + "/home"
    if "prefect" in sys.modules:  # it read its files when it was imported
        from prefect.context import refresh_global_settings_context
        refresh_global_settings_context()
    found.append(_has_a_server())
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What is found where each of those files lies, from a process in which nothing has read settings of Prefect's."""
    folders = []
    for files, _ in FILES.values():
        folders.append(tmp_path_factory.mktemp("user"))
        (folders[-1] / "home").mkdir()
        for file, text in files.items():
            (folders[-1] / file).write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", ASK, *map(str, folders)],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(FILES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("which", FILES)
def test_a_server_in_a_file_of_prefects_is_the_users(answers, which):
    assert answers[which] is FILES[which][1]


def test_whoever_forbids_a_temporary_server_gets_none(alone, monkeypatch):
    monkeypatch.setenv("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "false")
    temporary_server.start_server()
    assert "PREFECT_API_URL" not in os.environ


# Ends as uvicorn does where another run makes the same new database, as often as it is told to.
STARTS_LATE = """
import http.server, pathlib, socket, sys
count = pathlib.Path("starts")
starts = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(starts))
if starts <= int(sys.argv[2]):
    sys.exit(int(sys.argv[3]))
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Healthy, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[1]))
server.serve_forever()
"""


@pytest.fixture
def starts_late(alone, monkeypatch):
    """A server that fails to start a number of times, with a code."""

    def make(failures, code=3):
        def command(fd):
            return [sys.executable, "-c", STARTS_LATE, str(fd), str(failures), str(code)]

        monkeypatch.setattr(temporary_server, "_command", command)

    monkeypatch.setattr(temporary_server, "_without_heartbeats", lambda: None)
    monkeypatch.setattr(temporary_server, "_started", {})
    monkeypatch.setenv("PREFECT_API_URL", "")  # to be put back
    yield make
    for server in temporary_server._started.values():
        temporary_server._stop(server)


def test_a_server_that_meets_another_in_a_new_database_starts_again_where_it_was(starts_late, alone):
    starts_late(2)
    with temporary_server.while_server_starts():
        address = os.environ["PREFECT_API_URL"]
    assert (alone / "starts").read_text() == "3"
    [port] = temporary_server._started
    assert os.environ["PREFECT_API_URL"] == address == f"http://127.0.0.1:{port}/api"


@pytest.mark.parametrize(("code", "starts"), [(3, 5), (1, 1)])
def test_a_server_that_never_starts_is_an_error(starts_late, alone, code, starts):
    starts_late(9, code)
    with (
        pytest.raises(EngineError, match=f"temporary server ended with code {code}; give it longer"),
        temporary_server.while_server_starts(),
    ):
        pass
    assert (alone / "starts").read_text() == str(starts)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_server_outlives_a_signal_to_the_run_and_not_the_run(alone, how):
    process = subprocess.Popen(
        [sys.executable, "-c", ANSWERS + RUN],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert any("uvicorn" in child.cmdline() for child in children)
    if how == signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, how)
    output, _ = process.communicate(timeout=60)
    assert output == ("server answers: True\n" if how == signal.SIGINT else "")
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
