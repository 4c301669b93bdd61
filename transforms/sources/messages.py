r"""Columns that hold messages or text → turns of a conversation, whatever a dataset calls its parts.

One reading for all kinds: role and content, and beside them what a chat template reads (`tool_calls`,
`reasoning_content`, `name`, `tool_call_id`) under its canonical name in `Message.more`. A field that is nothing of
that is reported as unread (`chosen[].weight`), and one that would change what was said is refused by its name.

Messages come as lists of objects, as one object, or as JSON text of either; plain text is one turn, unless it is a
transcript (`\n\nHuman: …\n\nAssistant: …`), which is read as its turns.
"""

import ast
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from transforms.errors import RowError
from transforms.sources.canonical import Message, Prompt, check_text
from transforms.sources.rows import Fields, kind_of

ROLES: Final = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "ai": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    "ipython": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    # ShareGPT's: the text of the turn is the call.
    "function_call": "assistant",
    "tool_call": "assistant",
}
CALLING: Final = ("function_call", "tool_call")
REASONING: Final = ("reasoning_content", "reasoning", "thinking", "thoughts", "thought", "thinking_content")
# Of the last message: how it ended (`ends.finished` reads it).
ENDINGS: Final = ("finish_reason", "finishReason", "stop_reason", "done_reason")
_MEDIA: Final = ("image", "audio", "video")
NOT_TEXT: Final = tuple(
    spelled.format(kind) for kind in _MEDIA for spelled in ("{}s", "{}", "{}_url", "{}_urls", "{}_path", "{}_paths")
)
_ARGUMENTS: Final = ("arguments", "parameters", "args", "input")
# Type of a part of a content → the field that may hold its text.
_PARTS: Final[Mapping[Any, tuple[str, ...]]] = {
    "text": ("text",),
    "input_text": ("text",),  # OpenAI's Responses
    "output_text": ("text",),
    None: ("text",),  # Gemini's
    "thinking": ("thinking", "text"),
    "reasoning": ("reasoning", "text"),
}
_READ: Final = frozenset((*REASONING, *ENDINGS, *NOT_TEXT, "tool_calls", "function_call", "name", "tool_call_id"))
_ORDER: Final = ("name", "tool_call_id", "content", "reasoning_content", "tool_calls")
# The most usual roles, for a message of role and content and nothing else.
_PLAIN: Final = {name: role for name, role in ROLES.items() if name not in CALLING}
# What a text may begin with that is messages as JSON, JSON text once more, or what Python and NumPy print.
_MAY_BEGIN: Final = '[{ \n\r\t"\ufeffa'
_BEFORE: Final = "\ufeff \n\r\t"
_NAMES_OF_ROLES: Final = ('"role"', '"from"', "'role'", "'from'")
_MESSAGES_BEGIN: Final = re.compile(r"""\s*(?:array\(\s*)?\[?\s*\{\s*(["'])(?:role|from|content|value)\1\s*:""")
_TURN: Final = re.compile(r"\r?\n\r?\n(Human|Assistant):")
_OPEN: Final = re.compile(r"\r?\n\r?\nAssistant:\Z")


class Spoken(NamedTuple):
    """The turns of one column.

    Attributes:
        ending: what the last message says of how it ended (`finish_reason`); None where it says nothing.
    """

    turns: Prompt
    ending: Any = None


class Sides(NamedTuple):
    """A prompt and the two single-turn responses to it. A response's text may still be null or empty."""

    prompt: Prompt
    chosen: Message
    rejected: Message
    chosen_ending: Any = None
    rejected_ending: Any = None


def messages(row: Fields, name: str) -> Spoken:
    """The column's messages.

    Raises:
        RowError: no messages, an unknown role, a content that is no text, or a field that cannot be honoured.
    """
    return turns_of(row.get(name), name, row)


def said(row: Fields, name: str) -> Spoken:
    """The column's messages, or its plain text as one assistant turn.

    Raises:
        RowError: as `messages`; null, or text that says nothing.
    """
    return _said(_opened(row.get(name), name), name, row)


def asked(row: Fields, name: str) -> Prompt:
    """The column as a prompt: messages, a transcript that ends in `Assistant:`, or plain text as one user turn.

    Raises:
        RowError: as `messages`; a transcript that ends in anything else.
    """
    value = _opened(row.get(name), name)
    if not isinstance(value, str):
        return turns_of(value, name, row).turns
    return _open_transcript(value, name) if begins_transcript(value) else (Message("user", value),)


def answers(prompt: Prompt, chosen: Any, rejected: Any) -> Sides:
    """A prompt with two plain texts.

    Raises:
        RowError: as `plain_text`.
    """
    texts = plain_text(chosen, "chosen"), plain_text(rejected, "rejected")
    return Sides(prompt, *(Message("assistant", text) for text in texts))


def plain_text(value: Any, what: str) -> Any:
    """A raw value of a column of texts, whatever it is.

    Raises:
        RowError: messages as JSON text, which would be read as the text that somebody said.
    """
    if type(value) is str and json_messages(value, what) is not None:
        message = f"{what} is the JSON text of messages, {value[:40]!r}; expected the text itself"
        raise RowError(message)
    return value


def conversation(row: Fields, prompt: str = "prompt", chosen: str = "chosen", rejected: str = "rejected") -> Sides:
    """Prompt and responses in any of TRL's preference formats, each column as text, messages or JSON text of them.

    Without a prompt column the messages that both sides share are the prompt. Sides may repeat the prompt's messages.

    Raises:
        RowError: plain text without a prompt, or messages that do not end in one assistant turn a side.
    """
    question = _opened(row.get(prompt), prompt)
    better, worse = _opened(row.get(chosen), chosen), _opened(row.get(rejected), rejected)
    texts = isinstance(better, str) and isinstance(worse, str)
    whole = texts and is_transcript(better) and is_transcript(worse)
    if question is None or question == [] or (question == "" and (whole or not texts)):
        return _implicit(row, (chosen, better), (rejected, worse))
    if whole and isinstance(question, str) and (sides := _repeating(question, prompt, better, worse)):
        return sides
    if not isinstance(question, str):
        turns = turns_of(question, prompt, row).turns
    elif not begins_transcript(question):
        turns = (Message("user", question),)
    elif texts:
        # As one text, so that it is read as kind hh_rlhf reads it, and the same pair has the same id.
        head = _checked_transcript(question, prompt)
        return split(transcript(head + better, chosen), transcript(head + worse, rejected))
    else:
        turns = _open_transcript(question, prompt)
    if texts:
        return answers(turns, better, worse)
    return replies(turns, _said(better, chosen, row), _said(worse, rejected, row))


def replies(prompt: Prompt, chosen: Spoken, rejected: Spoken) -> Sides:
    """A prompt with two sides, each of one assistant turn; a side may repeat the prompt's messages before it.

    Raises:
        RowError: as `split`.
    """
    if len(chosen.turns) == len(rejected.turns) == 1 and prompt:  # the usual row: two answers
        better, worse = chosen.turns[0], rejected.turns[0]
        if better.role == worse.role == "assistant":
            return Sides(prompt, better, worse, chosen.ending, rejected.ending)
    return split(_after(prompt, chosen), _after(prompt, rejected))


def split(chosen: Spoken, rejected: Spoken) -> Sides:
    """The common messages as the prompt and the one assistant turn after them on each side.

    Messages are compared whole, never characters: the start that two responses share stays in both.

    Raises:
        RowError: a side without messages, or anything but one assistant turn after the common ones.
    """
    better, worse = chosen.turns, rejected.turns
    if not (better and worse and better[-1].role == worse[-1].role == "assistant"):
        what, turns = ("rejected", worse) if better and better[-1].role == "assistant" else ("chosen", better)
        found = f"ends in a {turns[-1].role} turn, expected assistant" if turns else "is empty"
        message = f"{what} {found}; expected messages that end in an assistant turn"
        raise RowError(message)
    prompt = better[:-1]
    if prompt != worse[:-1]:
        shared = 0
        while shared < min(len(better), len(worse)) and better[shared] == worse[shared]:
            shared += 1
        message = (
            f"the sides agree in their first {shared} messages and then go on for {len(better) - shared}"
            f" (chosen) and {len(worse) - shared} (rejected); expected one assistant turn each"
        )
        raise RowError(message)
    return Sides(prompt, better[-1], worse[-1], chosen.ending, rejected.ending)


def begins_transcript(text: str) -> bool:
    """Whether `text` starts like an Anthropic transcript."""
    return text.lstrip().startswith("Human:")


def is_transcript(text: object) -> bool:
    """Whether `text` is an Anthropic transcript: it starts with a human turn and goes on."""
    return isinstance(text, str) and begins_transcript(text) and "Assistant" in _TURN.split(text)[1::2]


def transcript(text: object, what: str) -> Spoken:
    r"""The turns of a `\n\nHuman: …\n\nAssistant: …` text, white space around each turn removed.

    Raises:
        RowError: the text does not start with a human turn.
    """
    if not isinstance(text, str):
        message = f"{what} is {kind_of(text)}, expected a transcript"
        raise RowError(message)
    before, *parts = _TURN.split("\n\n" + text.lstrip())
    if before or not parts:
        message = f"{what} starts with {text[:40]!r}, expected a transcript that starts with '\\n\\nHuman:'"
        raise RowError(message)
    return Spoken(
        tuple(
            Message("user" if who == "Human" else "assistant", said.strip())
            for who, said in zip(parts[::2], parts[1::2], strict=True)
        )
    )


def holds_messages(value: object) -> bool:
    """Whether a raw value is messages in any of their forms; for telling kinds apart, so it never fails."""
    if isinstance(value, str):
        return _MESSAGES_BEGIN.match(value) is not None
    return isinstance(value, list | dict)


def json_messages(text: str, what: str) -> list[Any] | None:
    """The messages of a text that is JSON of messages, None for any other text.

    A text may well be JSON (an answer in JSON is one). It is taken for messages only if it is a list of objects with
    role and content, or one such object.

    Raises:
        RowError: it starts like messages and is no JSON: whatever it is, it is nobody's answer.
    """
    if text[:1] not in _MAY_BEGIN:
        return None
    text = text.lstrip(_BEFORE)
    if text[:1] == '"':
        return _json_in_json(text, what)
    begins = _MESSAGES_BEGIN.match(text)
    if not begins and (text[:1] not in ("[", "{") or not any(name in text for name in _NAMES_OF_ROLES)):
        return None
    try:
        found = parsed_json(text)
    except ValueError as error:
        if begins or _is_repr(text):
            message = f"{what} starts like messages as JSON text and is no JSON ({error}): {text[:60]!r}"
            raise RowError(message) from None
        return None
    turns = found if isinstance(found, list) else [found]
    return turns if turns and all(_is_message(turn) for turn in turns) else None


def _json_in_json(text: str, what: str) -> list[Any] | None:
    """The same of JSON text that was made JSON text once more."""
    if not any(json.dumps(name)[1:-1] in text for name in _NAMES_OF_ROLES):
        return None
    try:
        inside = parsed_json(text)
    except ValueError:
        return None
    return json_messages(inside, what) if isinstance(inside, str) else None


def _is_repr(text: str) -> bool:
    """Whether a text is what Python prints of messages, whatever their first key is."""
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    turns = found if isinstance(found, list) else [found]
    return bool(turns) and all(_is_message(turn) for turn in turns)


def turns_of(value: object, what: str, row: Fields) -> Spoken:
    """Messages as they lie in a row.

    Args:
        value: a list of them, one of them, or JSON text of either.
        what: the column, for errors and for the names of unread fields.
        row: is told of fields that are read or left.

    Raises:
        RowError: as `messages`.
    """
    if isinstance(value, str):
        value = json_messages(value, what) or value
    elif isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        message = f"{what} is {kind_of(value)}, expected a list of messages"
        raise RowError(message)
    turns: list[Message] = []
    ending = None
    for at, turn in enumerate(value):
        if type(turn) is dict and len(turn) == 2:  # nearly all messages are this, and it takes a fifth of the time
            text, who = turn.get("content"), turn.get("role")
            if text is None:
                text, who = turn.get("value"), turn.get("from")
            role = _PLAIN.get(who) if type(who) is str else None
            if role is not None and type(text) is str:
                turns.append(Message(role, text))
                continue
        one, ending = _message(turn, f"{what}[{at}]", what, row, last=at == len(value) - 1)
        turns.append(one)
    return Spoken(tuple(turns), ending)


def parsed_json(text: str) -> Any:
    """JSON as it is strictly defined.

    Raises:
        ValueError: it is none, or nests deeper than Python's stack.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        message = "nested too deep"
        raise ValueError(message) from None


def json_text(value: object, what: str) -> str:
    """`value` as compact JSON text, keys in their order.

    Raises:
        RowError: it holds what JSON cannot (a date, bytes, NaN), or nests too deep.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{what} holds what JSON cannot: {error}"
        raise RowError(message) from None


def calls_of(value: object, what: str, row: Fields, path: str) -> list[dict[str, Any]]:
    """Tool calls as OpenAI writes them, arguments as an object.

    Raises:
        RowError: no list of calls, a call without a name, or arguments that are no object.
    """
    if isinstance(value, str):
        try:
            value = parsed_json(value)
        except ValueError:
            message = f"{what} is {kind_of(value)}, expected calls or JSON text of them"
            raise RowError(message) from None
    calls = value if isinstance(value, list) else [value]
    return [_call(call, f"{what}[{at}]", row, path) for at, call in enumerate(calls)]


def _opened(value: Any, what: str) -> Any:
    """A raw value, messages instead of their JSON text."""
    return (json_messages(value, what) or value) if type(value) is str else value


def _said(value: Any, what: str, row: Fields) -> Spoken:
    if isinstance(value, list | dict):
        return turns_of(value, what, row)
    check_text(value, what)
    return Spoken((Message("assistant", value),))


def _implicit(row: Fields, chosen: tuple[str, Any], rejected: tuple[str, Any]) -> Sides:
    for what, side in (chosen, rejected):
        if not isinstance(side, list | dict):
            check_text(side, what)
    if isinstance(chosen[1], list | dict) or isinstance(rejected[1], list | dict):
        return split(*(turns_of(side, what, row) for what, side in (chosen, rejected)))
    if is_transcript(chosen[1]) and is_transcript(rejected[1]):
        return split(*(transcript(side, what) for what, side in (chosen, rejected)))
    message = (
        f"{chosen[0]} and {rejected[0]} are plain text without a prompt column, so where the prompt ends cannot be"
        " told; add a prompt column, use messages, or Human/Assistant transcripts"
    )
    raise RowError(message)


def _repeating(question: str, what: str, *sides: str) -> Sides | None:
    """Two transcripts that repeat the prompt, as messages may; None where they do not."""
    opened = _open_transcript(question, what) if begins_transcript(question) else (Message("user", question.strip()),)
    spoken = [transcript(side, what) for side in sides]
    return split(*spoken) if all(_after(opened, one) is one for one in spoken) else None


def _checked_transcript(text: str, what: str) -> str:
    text = text.rstrip()
    if not _OPEN.search(text):
        message = (
            f"{what} is a Human/Assistant transcript that ends in {text[-40:]!r}; expected '\\n\\nAssistant:' at its"
            " end, where the responses go on"
        )
        raise RowError(message)
    return text


def _open_transcript(text: str, what: str) -> Prompt:
    return transcript(_checked_transcript(text, what), what).turns[:-1]


def _after(prompt: Prompt, side: Spoken) -> Spoken:
    """A side behind its prompt. Some sets repeat the prompt's messages, or a system turn before them, on both sides."""
    turns = side.turns
    asked = len(prompt)
    if turns[:asked] == prompt or (turns[:1] and turns[0].role == "system" and turns[1 : asked + 1] == prompt):
        return side
    # Or `prompt` is no more than the last question of a longer conversation.
    if len(turns) > asked + 1 and turns[-asked - 1 : -1] == prompt:
        return side
    return Spoken(prompt + turns, side.ending)


def _is_message(turn: object) -> bool:
    if not isinstance(turn, dict):
        return False
    return ("role" in turn and ("content" in turn or "tool_calls" in turn)) or ("from" in turn and "value" in turn)


def _message(turn: Any, what: str, column: str, row: Fields, *, last: bool) -> tuple[Message, Any]:
    """One message with all its fields, and what it says of its end if it is the last of its column."""
    if isinstance(turn, str):  # a list of JSON texts, as a `Json` feature inside a list is stored
        with suppress(ValueError):
            turn = parsed_json(turn)
    # A table gives each message the fields of all others, null where it has none.
    theirs = isinstance(turn, dict) and turn.get("role") is None and turn.get("from") is not None
    names = ("from", "value") if theirs else ("role", "content")
    if not isinstance(turn, dict) or names[0] not in turn or not (names[1] in turn or turn.get("tool_calls")):
        message = f"{what} is {kind_of(turn)}, expected an object with role and content"
        raise RowError(message)
    who = turn[names[0]]
    role = (ROLES.get(who) or ROLES.get(who.strip().lower())) if isinstance(who, str) else None
    if role is None:
        message = f"{what} has the {names[0]} {who!r}, expected one of {', '.join(ROLES)}"
        raise RowError(message)
    more: dict[str, Any] = {} if names[1] in turn else {"content": None}
    text, ending = "", None
    for name, value in turn.items():
        if name == names[0]:
            continue
        if name == names[1]:
            if str(who).strip().lower() in CALLING:
                more |= {"content": None, "tool_calls": calls_of(value, f"{what}.{name}", row, f"{column}[]")}
                row.met(f"{column}[].tool_calls")
            else:
                text = _content(value, f"{what}.{name}", more, row, column)
        elif value is None or value in ("", [], {}):  # as good as absent, and a table gives every message all fields
            if value is not None and name not in _READ:
                row.missed(f"{column}[].{name}")
        elif name in ENDINGS and last and role == "assistant":
            ending = value
            row.met(f"{column}[].{name}")
        elif not _keep(name, value, role, more, row, f"{what}.{name}", column):
            row.missed(f"{column}[].{name}")
    if "content" in more and not more.keys() & {"tool_calls", "reasoning_content"}:
        message = f"{what} has a {names[1]} that is null, expected text"
        raise RowError(message)
    # In one order, so that the same message is the same pair whatever order its fields were written in.
    more = {name: more[name] for name in _ORDER if name in more}
    return Message(role, text, json_text(more, what) if more else ""), ending


def _keep(name: str, value: Any, role: str, more: dict[str, Any], row: Fields, what: str, column: str) -> bool:
    """Put a field of a message into `more` under its canonical name; False where it is none that is read."""
    path = f"{column}[].{name}"
    if name in REASONING and role == "assistant" and not isinstance(value, bool):
        if not isinstance(value, str):
            message = f"{what} is {kind_of(value)}, expected the reasoning as text"
            raise RowError(message)
        _reason(more, value, what)
    elif name in ("tool_calls", "function_call"):
        if role != "assistant":
            message = f"{what} is in a {role} turn; expected calls in assistant turns only"
            raise RowError(message)
        calls = calls_of(value, what, row, path)
        if more.get("tool_calls", calls) != calls:
            message = f"{what} and other calls of the same message contradict each other"
            raise RowError(message)
        more["tool_calls"] = calls
    elif name in ("name", "tool_call_id"):
        if not isinstance(value, str | int) or isinstance(value, bool):
            message = f"{what} is {kind_of(value)}, expected text"
            raise RowError(message)
        more[name] = value
    elif name in NOT_TEXT:
        if holds_something(value):
            message = f"{what} is not text; expected messages of text only"
            raise RowError(message)
    elif name in ("tools", "functions"):
        message = f"{what}: functions are read from a column tools of the row, not from a message"
        raise RowError(message)
    else:
        return False
    row.met(path)
    return True


def _reason(more: dict[str, Any], text: str, what: str) -> None:
    if more.get("reasoning_content", text) != text:
        message = f"{what} and the reasoning beside it are two different texts, expected one"
        raise RowError(message)
    more["reasoning_content"] = text


def _content(value: object, what: str, more: dict[str, Any], row: Fields, column: str) -> str:
    """The text of a message, of which the parts are joined."""
    if isinstance(value, str):
        return value
    if value is None:
        more["content"] = None
        return ""
    if isinstance(value, dict) and ("type" in value or "text" in value):
        value = [value]
    if not isinstance(value, list):
        message = f"{what.rpartition('.')[0]} has a {what.rpartition('.')[2]} that is {kind_of(value)}, expected text"
        raise RowError(message)
    texts: dict[str, list[str]] = {"text": [], "thinking": []}
    for at, part in enumerate(value):
        if isinstance(part, str):
            texts["text"].append(part)
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        names = _PARTS.get(kind, ()) if isinstance(part, dict) and isinstance(kind, str | None) else ()
        held = next((name for name in names if isinstance(part.get(name), str)), None)
        if held is None:
            found = f"of type {kind!r}" if kind else kind_of(part)
            found += " without a text" if names else ", which is not text"
            message = f"{what}[{at}] is {found}; expected parts of text only"
            raise RowError(message)
        texts["thinking" if kind in ("thinking", "reasoning") else "text"].append(part[held])
        for name, value_beside in part.items():
            if name in NOT_TEXT and holds_something(value_beside):
                message = f"{what}[{at}].{name} is not text; expected parts of text only"
                raise RowError(message)
            if name not in ("type", held) and value_beside is not None:
                row.missed(f"{column}[].{what.rpartition('.')[2]}[].{name}")
    if texts["thinking"]:
        _reason(more, "".join(texts["thinking"]), what)
    return "".join(texts["text"])


def _call(call: object, what: str, row: Fields, path: str) -> dict[str, Any]:
    if isinstance(call, str):
        with suppress(ValueError):
            call = parsed_json(call)
    whole: dict[str, Any] = call if isinstance(call, dict) else {}
    wrapped = isinstance(whole.get("function"), dict)
    body: dict[str, Any] = whole["function"] if wrapped else whole
    name = body.get("name")
    if not isinstance(name, str) or not name:
        message = f"{what} is {kind_of(call)}, expected a call with a name and arguments"
        raise RowError(message)
    given = next((key for key in _ARGUMENTS if body.get(key) is not None), "arguments")
    read = {"name", given}
    for left, value in whole.items():
        if value is not None and left not in (("id", "type", "function") if wrapped else ("id", "type", *read)):
            row.missed(f"{path}[].{left}")
    for left, value in body.items():
        if wrapped and value is not None and left not in read:
            row.missed(f"{path}[].function.{left}")
    number = whole.get("id")
    head = {} if number is None or number == "" else {"id": number}
    arguments = _arguments(body.get(given), f"{what}.{given}")
    return {**head, "type": "function", "function": {"name": name, "arguments": arguments}}


def _arguments(value: object, what: str) -> Mapping[str, Any]:
    if isinstance(value, str) and value.strip():
        try:
            value = parsed_json(value)
        except ValueError as error:
            message = f"{what} is {kind_of(value)}, which is no JSON ({error}); expected an object or its JSON text"
            raise RowError(message) from None
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        message = f"{what} is {kind_of(value)}, expected an object or its JSON text"
        raise RowError(message)
    return value


def holds_something(value: object) -> bool:
    """Whether a value of any type is more than an empty box: tables hold `[]` and structs of nulls for nothing."""
    if isinstance(value, dict):
        return any(holds_something(one) for one in value.values())
    if isinstance(value, list):
        return any(holds_something(one) for one in value)
    return value is not None and value != "" and value is not False


def _refuse_constant(name: str) -> Any:
    message = f"{name} is no JSON"
    raise ValueError(message)
