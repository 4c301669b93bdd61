"""A real Prefect server on 127.0.0.1, with a database of its own, and what tests ask it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.error import HTTPError

Found = TypeVar("Found")


class PrefectServer(NamedTuple):
    """Its API, the environment of processes that report to it, and where its database is."""

    url: str
    environment: dict[str, str]
    home: Path

    def ask(self, path: str, **body: Any) -> Any:
        """What a POST to the API answers."""
        return self._answer(path, json.dumps(body).encode())

    def get(self, path: str) -> Any:
        """What a GET answers."""
        return self._answer(path)

    def _answer(self, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(f"{self.url}/{path}", body, {"Content-Type": "application/json"})

        def answered() -> list[Any] | None:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return [json.load(answer)]
            except HTTPError as error:
                if error.code == HTTPStatus.SERVICE_UNAVAILABLE:  # its database was busy for a moment
                    return None
                raise

        return eventually(answered)[0]


@contextmanager
def running_prefect_server(home: Path) -> Iterator[PrefectServer]:
    """One that answers until the end of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    environment["PREFECT_UI_ENABLED"] = "false"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/api"
    server = PrefectServer(url, environment | {"PREFECT_API_URL": url}, home)
    try:
        # Not by server.get, which waits for a server by itself and gives up after 120 s.
        eventually(lambda: urllib.request.urlopen(f"{url}/health", timeout=60).close() or True, seconds=240)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def eventually(look: Callable[[], Found], *, seconds: float = 120) -> Found:
    """The first truthy thing that `look` finds; something that cannot be reached yet is not there yet."""
    deadline = time.monotonic() + seconds
    found: Found | OSError | None = None
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except OSError as error:
            found = error
        time.sleep(0.2)
    message = f"not within {seconds:.0f} s: {found!r}"
    raise AssertionError(message)
