"""Prefect's temporary server lives as long as the run that started it: no longer, and no shorter.

Prefect starts one itself at a flow's first call, and for that imports its whole server into the run too (3.5 s of a
core), beside the server's own process (7 s). A command starts the same process earlier, so that it gets ready while the
command reads its recipe and its tokenizer, and tells Prefect its address.
"""

import atexit
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from transforms.errors import EngineError

_API: Final = "PREFECT_API_URL"
# As Prefect starts its own, and without two things that a server for one run has no use for: describing block types to
# its database, and the UI.
_SERVER: Final = {
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_UI_ENABLED": "0",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
}
_ALLOWED: Final = "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"
_TIMEOUT: Final = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
# uvicorn's, where its application cannot start: for one, since another run makes the same new database just now.
# Prefect starts its own again too.
_NOT_STARTED: Final = 3
_TRIES: Final = 5
# Reads until the run's end of the pipe closes, which the kernel does however the run ends, kill -9 included.
_WATCH: Final = 'cat >/dev/null; kill "$0" 2>/dev/null'
logger = logging.getLogger(__name__)
_watchers: dict[int, "subprocess.Popen[bytes]"] = {}  # a collected Popen would close the pipe
_settings = ExitStack()  # left as the process ends
_started: dict[int, "subprocess.Popen[bytes]"] = {}  # port → the server of this process, one at most


def start_server() -> None:
    """Begin to start the temporary server, unless the user has a server; `while_server_starts` waits for it.

    To be called before Prefect is imported, which reads its address from the environment.
    """
    if _started or _has_a_server() or os.environ.get(_ALLOWED, "").lower() in ("0", "false", "no", "off"):
        return
    port = _serve()
    os.environ[_API] = f"http://127.0.0.1:{port}/api"
    if "prefect" in sys.modules:  # it has read its settings already
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


@contextmanager
def while_server_starts() -> Iterator[None]:
    """Do what takes a while too, such as importing a flow, and have a server that answers when that is done.

    It is the user's own, or a temporary one that is started here and ends with this process.

    Raises:
        EngineError: the temporary one does not answer in time.
    """
    start_server()
    yield
    _wait_for_server()


def _wait_for_server() -> None:
    seconds = float(os.environ.get(_TIMEOUT, "120"))
    end = time.monotonic() + seconds
    tries = _TRIES
    for port in list(_started):
        while not _answers(port, max(0.1, end - time.monotonic())):
            ended = _started[port].poll()
            if ended == _NOT_STARTED and tries > 1 and time.monotonic() < end:
                tries -= 1
                _serve(port)
            elif ended is not None or time.monotonic() > end:
                what = f"ended with code {ended}" if ended is not None else f"did not answer in {seconds:.0f} s"
                message = (
                    f"Prefect's temporary server {what}; give it longer with {_TIMEOUT}, or set {_API} to a server "
                    "that runs (prefect server start)"
                )
                raise EngineError(message)
            time.sleep(0.05)
        _without_heartbeats()


def _serve(port: int = 0) -> int:
    """Start a server on a port, or on one that is free; which one."""
    # Listening from here on: the port is taken, and who connects too early waits.
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    port = listener.getsockname()[1]
    # A session of its own: Ctrl-C in a terminal, and systemd's SIGTERM, go to a whole process group. A run whose
    # server is gone asks it for two and a half minutes and then ends in a traceback.
    server = subprocess.Popen(
        _command(listener.fileno()),
        env={name: value for name, value in os.environ.items() if name != _API} | _SERVER,
        pass_fds=[listener.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    listener.close()
    _started[port] = server
    atexit.register(_stop, server)
    _watch(server.pid)
    return port


def _command(listener: int) -> list[str]:
    package = find_spec("prefect")
    above = str(Path(str(package.origin)).parent) if package else ""
    return [
        sys.executable, "-m", "uvicorn", "--app-dir", above, "--factory", "prefect.server.api.server:create_app",
        "--fd", str(listener), "--log-level", "error", "--lifespan", "on",
    ]  # fmt: skip


def end_server_with_us() -> None:
    """Let the server that Prefect started for this process end with it, where a flow was called as a function.

    Without a server of the user's own, Prefect runs one as a child and stops it at exit; after kill -9 nothing
    does, and every killed run would leave a server of 200 MB behind.
    """
    module = sys.modules.get("prefect.server.api.server")  # imported only by who starts such a server
    server = module.SubprocessASGIServer().server_process if module else None
    if server is not None:
        _watch(server.pid)


def _has_a_server() -> bool:
    """Whether Prefect has an address of a server: in the environment, or in one of its files."""
    if any(value for name, value in os.environ.items() if name.upper() == _API):  # Prefect reads it in any case
        return True
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    # Any of the last three may also say where the first lies (home, profiles_path).
    files = {
        Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml"): "api",
        Path("prefect.toml"): "",
        Path(".env"): "prefect_",
        Path("pyproject.toml"): "prefect",
    }
    for file, word in files.items():
        with suppress(OSError):
            text = file.read_text(encoding="utf-8", errors="replace")
            if word in text.lower() and (file.name != "pyproject.toml" or _has_a_table(text)):
                from prefect.settings import PREFECT_API_URL  # 1.4 s, and the only one who knows how they add up

                return bool(PREFECT_API_URL.value())
    return False


def _has_a_table(pyproject: str) -> bool:
    """Whether a pyproject.toml sets something of Prefect's; that it depends on it says nothing."""
    import tomllib

    try:
        return "prefect" in tomllib.loads(pyproject).get("tool", {})
    except tomllib.TOMLDecodeError:
        return True  # Prefect says what it makes of it


def _answers(port: int, timeout: float) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=min(timeout, 5.0))
    try:
        connection.request("GET", "/api/health")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _without_heartbeats() -> None:
    """They tell a server which of its runs have crashed. This one has no other run, and a flow waits up to a second for
    the thread that sends them to wake up and end."""
    from prefect.settings import temporary_settings

    _settings.enter_context(temporary_settings({"flows.heartbeat_frequency": None}))


def _watch(pid: int) -> None:
    if pid in _watchers:
        return
    # A group of its own: Ctrl-C in the terminal must not end the watcher before the run.
    command = ["sh", "-c", _WATCH, str(pid)]
    try:
        _watchers[pid] = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    except OSError as error:
        logger.warning("after kill -9, process %s (Prefect's temporary server) stays: %s", pid, error)


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(timeout=5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
