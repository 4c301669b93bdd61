"""The client of OpenAI-compatible servers: key, retries, what is served, and errors in which no key can be."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from transforms.errors import ConfigError, EngineError, ModelError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# Of the client: 0.5, 1, 2, 4, 8, 8 s with jitter, or what the server asks for (up to two minutes), after 408, 409, 429,
# 5xx, timeouts and lost connections. A server that restarts is back within that time or is down.
RETRIES: Final = 6
LOGGERS: Final = ("httpx", "httpx2", "openai")  # one line a request at level INFO
_NO_KEY: Final = "EMPTY"
# What is shown of `api_key_env`: who puts the key itself there must not find it in a log.
_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]*")


class Server(NamedTuple):
    """Where a server is, and how it is spoken to."""

    url: str  # base URL, e.g. http://127.0.0.1:8000/v1
    api_key_env: str | None = None  # name of the variable that holds the key, None for a server without one
    timeout: float = 600.0  # seconds for one request
    section: str = "policy"  # of the recipe, for messages


def open_client(server: Server) -> "AsyncOpenAI":
    """A client that asks again by itself; to be used in one event loop.

    Raises:
        ConfigError: the key's variable is not set, or holds no key.
    """
    from openai import AsyncOpenAI

    key, name = _NO_KEY, server.api_key_env
    if name is not None:
        key = _key(name)
        shown = f"the variable {name}" if _VARIABLE.fullmatch(name) else "the variable that the recipe names"
        if not key:
            message = f"{shown} ({server.section}.api_key_env) is not set: put the server's key into it"
            raise ConfigError(message)
        if not (key.isascii() and key.isprintable()):  # HTTP's own complaint would quote it
            message = f"{shown} ({server.section}.api_key_env) holds no key: it has characters that no header can have"
            raise ConfigError(message)
    return AsyncOpenAI(base_url=server.url, api_key=key, max_retries=RETRIES, timeout=server.timeout)


async def model_card(server: Server, model: str) -> dict[str, Any]:
    """The server's own description of the model.

    Raises:
        ModelError: the server does not serve `model`.
        EngineError: the server does not answer.
    """
    async with open_client(server) as client:
        with server_errors(server):
            cards = [card.model_dump() async for card in client.models.list()]
    for card in cards:
        if card["id"] == model:
            return card
    served = ", ".join(card["id"] for card in cards) or "nothing"
    message = f"the server at {server.url} serves {served}, expected {model}: set {server.section}.model to what it"
    raise ModelError(message + " serves")


@contextmanager
def server_errors(server: Server) -> Iterator[None]:
    """What the client raises as an EngineError. Its own errors are left out where they may quote a key."""
    from openai import APIConnectionError, APIStatusError, OpenAIError

    try:
        yield
    except APIConnectionError as error:
        message = f"the server at {server.url} does not answer ({type(error).__name__}), also after {RETRIES} retries"
        raise EngineError(message) from error
    except APIStatusError as error:
        raise EngineError(status_message(server, error.status_code, error.body)) from None
    except OpenAIError as error:
        message = f"the answer of the server at {server.url} cannot be read: {type(error).__name__}"
        raise EngineError(message) from error


def status_message(server: Server, status: int, body: object) -> str:
    """What a server answered instead. The body only, and without the key: some repeat the one that they refuse."""
    said = str(body)
    if server.api_key_env is not None and (key := _key(server.api_key_env)):
        said = said.replace(key, "[key]")
    return f"the server at {server.url} answered {status}: {said[:500]}"


def _key(name: str) -> str:
    return os.environ.get(name, "").strip()
