"""The temporary server: started where the user has none, told to Prefect, and gone with the run however that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flows.runtime import temporary_server

ROOT = Path(__file__).parents[3]
RUN = """
import os, sys, time
from flows.runtime.temporary_server import keep_server_from_signals, start_server
start_server()
keep_server_from_signals()
from prefect.settings import PREFECT_API_URL
assert PREFECT_API_URL.value() == os.environ["PREFECT_API_URL"]
assert "prefect.server.api.server" not in sys.modules
print("ready", flush=True)
try:
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
    (alone / "pyproject.toml").write_text('dependencies = ["prefect==3.7.7", "fastapi"]\n')
    (alone / ".env").write_text("HF_TOKEN=x\n")
    assert not temporary_server._has_a_server()


def test_a_server_in_the_environment_is_the_users(alone, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    assert temporary_server._has_a_server()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("home/profiles.toml", 'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://127.0.0.1:1/api"\n'),
        ("prefect.toml", '[api]\nurl = "http://127.0.0.1:1/api"\n'),
        (".env", "PREFECT_API_URL=http://127.0.0.1:1/api\n"),
        ("pyproject.toml", '[tool.prefect.api]\nurl = "http://127.0.0.1:1/api"\n'),
    ],
)
def test_a_server_in_a_file_of_prefects_is_the_users(alone, file, text):
    (alone / file).write_text(text)
    # In a process of its own: Prefect reads its files once.
    code = "from flows.runtime.temporary_server import _has_a_server; print(_has_a_server())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True"]


def test_whoever_forbids_a_temporary_server_gets_none(alone, monkeypatch):
    monkeypatch.setenv("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "false")
    temporary_server.start_server()
    assert "PREFECT_API_URL" not in os.environ


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
