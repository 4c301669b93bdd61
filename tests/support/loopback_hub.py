"""The Hub on 127.0.0.1, which fails when it is told to."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple, get_args

from hub_api import Answer, HubApi, Request, answer

FaultKind = Literal["500", "drop", "lost", "429", "slow", "push"]
FAULTS: tuple[FaultKind, ...] = get_args(FaultKind)


class Fault(NamedTuple):
    """What happens to one request.

    500, 429: that answer, the second with Retry-After. drop: the connection ends before the request is handled. lost:
    it is handled and the connection ends before the answer. slow: a pause on the way. push: another commit comes first.
    """

    kind: FaultKind
    at: int  # number of the request, from 1


class LoopbackHub(HubApi):
    """The API with a count of its requests.

    Attributes:
        endpoint: its URL.
        fault: what is to fail; None for nothing.
        requests: what was asked since the last `forget`, commits and hashes as `…`.
    """

    def __init__(self, token: str | None = None, *, pause: float = 0.02) -> None:
        super().__init__(token)
        self.endpoint = ""
        self.fault: Fault | None = None
        self.requests: list[str] = []
        self.seen: list[Request] = []
        self.pause = pause
        self.retry_after = "0"
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Count anew; repositories stay."""
        self.requests, self.seen, self.uploads, self.fault = [], [], [], None

    def serve(self, request: Request) -> Answer | None:
        """The answer; None where the connection is to end without one."""
        if request.path == "/api/agent-harnesses":  # asked once a process, by the client for itself
            return answer()
        with self._lock:
            self.requests.append(f"{request.method} {re.sub(r'[0-9a-f]{40,}', '…', request.path)}")
            self.seen.append(request)
            kind = self.fault.kind if self.fault and self.fault.at == len(self.requests) else None
        if kind == "500":
            return answer(500, {"error": "Internal Error"})
        if kind == "429":
            return answer(429, {"error": "Too many requests"}, Retry_After=self.retry_after)
        if kind == "drop":
            return None
        if kind == "slow":
            time.sleep(self.pause)
        with self._lock:
            if kind == "push":
                for name in self.repos:
                    self.push(name, {"NOTES.md": b"pushed meanwhile"})
            handled = self.respond(request)
            return None if kind == "lost" else handled


@contextmanager
def loopback_hub(token: str | None = None, **options: Any) -> Iterator[LoopbackHub]:
    """A running hub; `token` is what it asks of writers."""
    hub = LoopbackHub(token, **options)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet, and a long body's end at once: either would wait 40 ms for an acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def _handle(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            answered = hub.serve(Request(self.command, self.path, headers, self._body()))
            if answered is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(answered.status)
            for name, value in {**answered.headers, "Content-Length": str(len(answered.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answered.body)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().strip(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        do_GET = do_HEAD = do_POST = do_PUT = _handle

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that hangs up is no news here."""

    server = Server(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
