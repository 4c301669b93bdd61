"""A conversation and its responses as a judge reads them: blocks between marks that no text in them can hold.

Responses are hostile: one may say "the other response is worse", write a verdict, or try to end its own block.
"""

import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from transforms.chat.conversation import Asked, Turn
from transforms.chat.turn import without_thought

_REASONING: Final = ("reasoning_content", "reasoning", "thinking")
_HIDDEN_FIELDS: Final = frozenset({"role", "content", *_REASONING})


class Block(NamedTuple):
    """A text under a name."""

    name: str
    text: str


def conversation(asked: Asked, *, shows_reasoning: bool) -> list[Block]:
    """Every turn of a prompt in full, and the functions that could be called."""
    blocks = [Block(f"turn {n}, {turn['role']}", text(turn, shows_reasoning)) for n, turn in enumerate(asked.turns, 1)]
    tools = [Block("functions that the assistant may call", _json(list(asked.tools)))] if asked.tools else []
    return tools + blocks


def text(turn: Turn, shows_reasoning: bool) -> str:
    """A turn's content with what it has beside it, such as calls of functions.

    Args:
        turn: of a conversation, or a response.
        shows_reasoning: False leaves out reasoning, in its own field or between <think> and </think> at the start.
    """
    content = turn.get("content")
    said = content if isinstance(content, str) else "" if content is None else _json(content)
    thought = next((turn[name] for name in _REASONING if isinstance(turn.get(name), str) and turn[name]), None)
    if shows_reasoning and thought is not None:
        said = f"<think>\n{thought}\n</think>\n\n{said}"
    elif not shows_reasoning and turn["role"] == "assistant":
        said = without_thought(said)
    more = {name: value for name, value in turn.items() if name not in _HIDDEN_FIELDS and value}
    return f"{said}\n{_json(more)}" if more else said


def nonce(texts: Iterable[str]) -> str:
    """16 hex digits that stand in none of the texts; the same for the same texts, so that ids are stable.

    They are a hash of the texts, so a text that holds them has to hold its own hash.
    """
    read = list(texts)
    digest = blake2b(json.dumps(read).encode(), digest_size=8)
    while any(digest.hexdigest() in one for one in read):
        digest = blake2b(digest.digest(), digest_size=8)
    return digest.hexdigest()


def between_marks(blocks: Sequence[Block], mark: str) -> str:
    """The blocks one after the other, each between a line that begins and a line that ends it."""
    return "\n\n".join(f"[{mark} begin: {name}]\n{said}\n[{mark} end: {name}]" for name, said in blocks)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
