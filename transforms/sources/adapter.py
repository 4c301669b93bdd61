"""What a source kind is, and the small conversions that several of them share."""

import hashlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

import orjson

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.canonical import Adapted, Message, Prompt, check_text
from transforms.sources.options import SourceOptions

Row = dict[str, Any]
Options = TypeVar("Options", bound=SourceOptions)

ROLES: Final = {
    "human": "user",
    "gpt": "assistant",
    "user": "user",
    "assistant": "assistant",
    "system": "system",
}
SHOWN_TEXT_CHARS: Final = 20_000  # of one text in quarantine.jsonl
MAX_DEPTH: Final = 64  # JSON may nest 1,024 deep, which is more than Python's stack allows
_TURN: Final = re.compile(r"\n\n(Human|Assistant):")


class BadRow(NamedTuple):
    """A raw row that could not even be read.

    Attributes:
        error: what is wrong with it.
        row: as much of it as can be shown: escaped text, or a dict with bytes where text was broken.
        row_hash: of its whole raw content.
    """

    error: str
    row: Any
    row_hash: str


class Conversation(NamedTuple):
    """A prompt and the two single-turn responses to it. A response may still be null or empty."""

    prompt: Prompt
    chosen: str
    rejected: str


def as_they_come(rows: Iterable[Row | BadRow], options: SourceOptions) -> Iterator[Row | BadRow]:
    """Pass rows on: nearly every layout holds a whole pair in each."""
    yield from rows


@dataclass(frozen=True, slots=True)
class SourceKind(Generic[Options]):
    """One dataset family.

    Attributes:
        options: its keys in a recipe.
        required: columns without which no row can be adapted.
        looks_like: whether a raw row is laid out this way; for naming the right kind in an error.
        adapt: one row to at least one pair. Raises RowError.
        about: where its public sets are, and under which terms.
        gather: puts rows together where a layout spreads one prompt over several.
    """

    options: type[Options]
    required: frozenset[str]
    looks_like: Callable[[Row], bool]
    adapt: Callable[[Row, Options], Adapted]
    about: About
    gather: Callable[[Iterable[Row | BadRow], Options], Iterator[Row | BadRow]] = as_they_come


def row_hash(row: Row) -> str:
    """Return 16 hex digits over the row's content, whatever order its keys are in."""
    try:
        content = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # bytes, lone surrogates, numbers over 64 bits, deep nesting: rare, and far slower
        content = json.dumps(json_safe(row, max_chars=sys.maxsize), sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def json_safe(value: Any, *, max_chars: int = SHOWN_TEXT_CHARS, depth: int = 0) -> Any:
    """Return `value` as strict JSON can hold it: broken text escaped, long text shortened, NaN as text."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        if len(value) > max_chars:
            value = f"{value[:max_chars]}… [{len(value) - max_chars:,} more characters]"
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict | list | tuple) and depth >= MAX_DEPTH:
        return "… nested deeper"
    if isinstance(value, dict):
        return {
            json_safe(str(key)): json_safe(item, max_chars=max_chars, depth=depth + 1) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [json_safe(item, max_chars=max_chars, depth=depth + 1) for item in value]
    return json_safe(repr(value), max_chars=max_chars)


def messages(value: object, what: str, *, role: str = "role", content: str = "content") -> Prompt:
    """Return a raw list of turns as messages, with `human` and `gpt` renamed.

    Raises:
        RowError: not a list of objects, or a role that is neither system, user nor assistant.
    """
    if not isinstance(value, list):
        message = f"{what} is {_kind_of(value)}, expected a list of messages"
        raise RowError(message)
    turns = []
    for at, turn in enumerate(value):
        # isinstance of dict, not Mapping: the check of an abstract class takes longer than all the rest here.
        if not isinstance(turn, dict) or role not in turn or content not in turn:
            message = f"{what}[{at}] is {_kind_of(turn)}, expected an object with {role} and {content}"
            raise RowError(message)
        who, said = turn[role], turn[content]
        if not isinstance(who, str) or who not in ROLES:
            message = f"{what}[{at}] has the {role} {who!r}, expected one of {', '.join(ROLES)}"
            raise RowError(message)
        if not isinstance(said, str):
            message = f"{what}[{at}] has a {content} that is {_kind_of(said)}, expected text"
            raise RowError(message)
        turns.append(Message(ROLES[who], said))
    return tuple(turns)


def split_conversations(chosen: Prompt, rejected: Prompt) -> Conversation:
    """Return the common messages as the prompt and the one assistant turn after them on each side.

    Messages are compared whole, never characters: the start that two responses share stays in both.

    Raises:
        RowError: a side without messages, or anything but one assistant turn after the common ones.
    """
    for turns, what in ((chosen, "chosen"), (rejected, "rejected")):
        if not turns:
            message = f"{what} is empty, expected messages that end in an assistant turn"
            raise RowError(message)
        if turns[-1].role != "assistant":
            message = f"{what} ends in a {turns[-1].role} turn, expected assistant"
            raise RowError(message)
    prompt = chosen[:-1]
    if prompt != rejected[:-1]:
        shared = 0
        while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
            shared += 1
        message = (
            f"the sides agree in their first {shared} messages and then go on for {len(chosen) - shared}"
            f" (chosen) and {len(rejected) - shared} (rejected); expected one assistant turn each"
        )
        raise RowError(message)
    return Conversation(prompt, chosen[-1].content, rejected[-1].content)


def is_transcript(text: object) -> bool:
    """Whether `text` is an Anthropic transcript: it starts with a human turn and goes on."""
    return isinstance(text, str) and text.lstrip().startswith("Human:") and "\n\nAssistant:" in text


def transcript(text: object, what: str) -> Prompt:
    r"""Return the turns of a `\n\nHuman: …\n\nAssistant: …` text, white space around each turn removed.

    Raises:
        RowError: the text does not start with a human turn.
    """
    if not isinstance(text, str):
        message = f"{what} is {_kind_of(text)}, expected a transcript"
        raise RowError(message)
    before, *parts = _TURN.split("\n\n" + text.lstrip())
    if before or not parts:
        message = f"{what} starts with {text[:40]!r}, expected a transcript that starts with '\\n\\nHuman:'"
        raise RowError(message)
    return tuple(
        Message("user" if who == "Human" else "assistant", said.strip())
        for who, said in zip(parts[::2], parts[1::2], strict=True)
    )


def number(value: object, what: str) -> float | None:
    """Return a raw score as a float; None for null.

    Raises:
        RowError: not a number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"{what} is {_kind_of(value)}, expected a number"
        raise RowError(message)
    return float(value)


def is_usable(text: object) -> bool:
    """Whether a response could be one side of a pair."""
    try:
        check_text(text, "response")
    except RowError:
        return False
    return True


def text_id(value: object) -> str | None:
    """Return a raw id as text, or None where the row has none that can be used."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _kind_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return f"{value!r}" if isinstance(value, int | float) else type(value).__name__
