"""An LLM judge on 127.0.0.1 that answers like an OpenAI-compatible server, as a test's function tells it to."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from policy_server import Handler, PolicyServer, running

from flows.annotators.protocol import Group
from transforms.chat.conversation import Asked, answer

PROMPT_TOKENS, COMPLETION_TOKENS = 30, 7  # of every answer


class Reply(NamedTuple):
    """What a request gets. `content` as bytes is sent as it is."""

    content: Any
    status: int = 200
    finish_reason: str = "stop"
    refusal: str | None = None
    headers: tuple[tuple[str, str], ...] = (("retry-after-ms", "1"),)


class ScriptedJudge(PolicyServer):
    """Always prefers what stands first, until told otherwise."""

    def __init__(self) -> None:
        super().__init__(JudgeHandler)
        self.reply: Callable[[dict[str, Any]], Reply] = lambda body: Reply(verdict("first"))
        self.before: Callable[[dict[str, Any]], object] = lambda body: None  # waits, without holding up others
        self.listed = 0
        self.served = "org/judge"

    @property
    def prompts(self) -> list[str]:
        """What it was asked, in the order of arrival."""
        return [prompt_of(body) for body in self.bodies]


class JudgeHandler(Handler):
    server: ScriptedJudge

    def do_GET(self) -> None:
        self.server.listed += 1
        card = {"id": self.server.served, "object": "model", "created": 0, "owned_by": "x", "root": "/models/judge"}
        self._answer(200, {"object": "list", "data": [card]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        with server.lock:
            server.bodies.append(body)
            server.headers.append({k.lower(): v for k, v in self.headers.items()})
            held = server.hold_after is not None and len(server.bodies) > server.hold_after
            server.running += 1
            server.most = max(server.most, server.running)
            reply = server.reply(body)
        if held:
            server.release.wait()
            self.close_connection = True
            return
        server.before(body)
        time.sleep(server.delay)
        with server.lock:
            server.running -= 1
        if reply.status != 200 or isinstance(reply.content, bytes):
            self._answer(reply.status, reply.content, reply.headers)
            return
        message = {"role": "assistant", "content": reply.content, "refusal": reply.refusal}
        usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS, "total_tokens": 37}
        choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
        self._answer(200, {"id": "c", "object": "chat.completion", "created": 0, "model": body["model"],
                     "choices": [choice], "usage": usage})  # fmt: skip


@contextmanager
def running_judge() -> Iterator[ScriptedJudge]:
    """One that answers until the end of the block."""
    with running(ScriptedJudge()) as server:
        yield server


def prompt_of(body: Mapping[str, Any]) -> str:
    """The one turn of a request."""
    [turn] = body["messages"]
    text: str = turn["content"]
    return text


def shown(prompt: str, name: str) -> str:
    """The text of a block of a judge's prompt."""
    found = re.search(rf"^\[(\w+) begin: {name}\]\n(.*?)\n\[\1 end: {name}\]$", prompt, re.DOTALL | re.MULTILINE)
    assert found, prompt
    return found[2]


def verdict(word: str) -> str:
    return json.dumps({"reason": "because", "verdict": word})


def prefers(best: str) -> Callable[[dict[str, Any]], Reply]:
    """A judge without a preference for places: the response that is called so is better than any other."""

    def reply(body: dict[str, Any]) -> Reply:
        first, second = (shown(prompt_of(body), f"{place} response") for place in ("first", "second"))
        return Reply(verdict("first" if first == best else "second" if second == best else "tie"))

    return reply


def group(*answers: str, prompt: str = "What is the capital of France?", prompt_id: str = "0" * 16) -> Group:
    return Group(prompt_id, Asked([{"role": "user", "content": prompt}]), [answer(text) for text in answers])


def pay_at_once(name: str, work: Callable[[], None]) -> None:
    """Calls it once, without Prefect."""
    work()


class Counter:
    """What a progress bar would be told."""

    def __init__(self) -> None:
        self.requests = self.tokens = 0

    def __call__(self, requests: int, tokens: int = 0, *, reused: bool = False) -> None:
        self.requests += requests
        self.tokens += tokens
