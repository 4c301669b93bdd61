"""A policy on 127.0.0.1 that answers like `vllm serve`, or fails as it is told."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar


class PolicyServer(ThreadingHTTPServer):
    """Answers like `vllm serve`: echoes prompt ids, gives [seed, 2] as the completion."""

    daemon_threads = True
    fail_first = 0  # so many requests get `status`
    status = 503
    patch = None  # a function that changes a choice
    delay = 0.0
    hold_after: int | None = None  # requests after so many get no answer until `release`

    def __init__(self, handler=None):
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.bodies, self.headers, self.running, self.most, self.lock = [], [], 0, 0, threading.Lock()
        self.release = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


Server = TypeVar("Server", bound=PolicyServer)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body after its head waits 40 ms for an acknowledgement

    def log_message(self, *args):
        pass

    def do_GET(self):
        self._answer(200, {"object": "list", "data": [{"id": "org/policy", "object": "model", "created": 0,
                     "owned_by": "vllm", "root": "/models/policy", "max_model_len": 64}]})  # fmt: skip

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        with server.lock:
            server.bodies.append(body)
            server.headers.append({k.lower(): v for k, v in self.headers.items()})
            server.running += 1
            server.most = max(server.most, server.running)
            failing = len(server.bodies) <= server.fail_first
            held = server.hold_after is not None and len(server.bodies) > server.hold_after
        if held:
            server.release.wait()
            self.close_connection = True
            return
        time.sleep(server.delay)
        with server.lock:
            server.running -= 1
        if failing:
            self._answer(server.status, {"error": {"message": "overloaded"}})
            return
        choice = {"index": 0, "text": "", "finish_reason": "stop", "logprobs": None,
                  "token_ids": [body["seed"], 2], "prompt_token_ids": body["prompt"]}  # fmt: skip
        if server.patch:
            server.patch(choice)
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
                 "prompt_tokens_details": {"cached_tokens": 1}}  # fmt: skip
        self._answer(200, {"id": "c", "object": "text_completion", "created": 0, "model": body["model"],
                     "choices": [choice], "usage": usage})  # fmt: skip

    def _answer(self, status, content, headers=(("retry-after-ms", "1"),)):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def running_policy_server() -> Iterator[PolicyServer]:
    """One that answers until the end of the block."""
    with running(PolicyServer()) as server:
        yield server


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Let it answer until the end of the block."""
    with server as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield running
        finally:
            running.release.set()
            running.shutdown()
            thread.join()
