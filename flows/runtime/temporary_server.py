"""Prefect's temporary server lives as long as the run that started it: no longer, and no shorter."""

import functools
import logging
import subprocess
import sys
from typing import Any, Final
from unittest.mock import patch

# Reads until the run's end of the pipe closes, which the kernel does however the run ends, kill -9 included.
_WATCH: Final = 'cat >/dev/null; kill "$0" 2>/dev/null'
logger = logging.getLogger(__name__)
_watchers: dict[int, "subprocess.Popen[bytes]"] = {}  # a collected Popen would close the pipe


def keep_server_from_signals() -> None:
    """Let Ctrl-C in a terminal, and systemd's SIGTERM, end the run and not at once the server under it.

    Both go to a whole process group. A run whose server is gone asks it for two and a half minutes and then ends in a
    traceback. To be called before the flow, which starts the server.
    """
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():
        return
    from prefect.server.api.server import SubprocessASGIServer

    class InItsOwnGroup(SubprocessASGIServer):
        def _run_uvicorn_command(self) -> "subprocess.Popen[Any]":
            popen = functools.partial(subprocess.Popen, start_new_session=True)
            with patch("prefect.server.api.server.subprocess.Popen", popen):
                return super()._run_uvicorn_command()

    InItsOwnGroup()  # Prefect keeps one server a port, and goes by the first


def end_server_with_us() -> None:
    """Let the server that Prefect started for this process end with it.

    Without a server of the user's own, Prefect runs one as a child and stops it at exit; after kill -9 nothing
    does, and every killed run would leave a server of 200 MB behind.
    """
    module = sys.modules.get("prefect.server.api.server")  # imported only by who starts such a server
    server = module.SubprocessASGIServer().server_process if module else None
    if server is None or server.pid in _watchers:
        return
    # A group of its own: Ctrl-C in the terminal must not end the watcher before the run.
    command = ["sh", "-c", _WATCH, str(server.pid)]
    try:
        _watchers[server.pid] = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    except OSError as error:
        logger.warning("after kill -9, process %s (Prefect's temporary server) stays: %s", server.pid, error)
