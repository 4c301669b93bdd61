"""What every source is turned into: a prompt, two responses, and ids that come from the content alone.

An adapter makes `Pair`s; `validate` decides whether one can be used; `pair_ids` names it. Nothing here knows
a file format or a dataset.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final, NamedTuple

from transforms.errors import RowError

# One million characters is some 250 times an ordinary response: what is longer is a broken row, and one such
# row would cost more tokenizer time than thousands of good ones.
MAX_TEXT_CHARS: Final = 1_000_000
_ESCAPED_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class Message(NamedTuple):
    """One turn of a conversation. Roles are `system`, `user`, `assistant` and `tool`.

    Attributes:
        more: what a chat template may read beside role and content (`tool_calls`, `reasoning_content`, `name` …), as
            the JSON text of an object; within functions and arguments keys in the order in which they came, because
            templates print them; empty for nothing. A content that is null is `""` here and null in `more`.
    """

    role: str
    content: str
    more: str = ""


Prompt = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses to one conversation.

    Attributes:
        source_id: the raw row's own id, else the hash of its content; never its position.
        prompt: optional system turn, then user and assistant in turn, tools behind calls; the last is a user's or a
            tool's.
        chosen: content of the response; empty where `chosen_more` is the response (a tool call without a word).
        chosen_score: whatever the source gives; scales differ between sources.
        chosen_finished: False where the source knows that sampling ran out of room.
        chosen_more: as in Message.
        tools: functions that the assistant may call, JSON text of a list as the chat template takes it; empty for none.
        template_kwargs: the row's own arguments of the chat template, JSON text of an object; empty for none.
        prompt_ids: tokens that the row brought along, which were generated from; None where it has none.
        chosen_ids: likewise, the response's, with its end-of-turn if it has one.
        reason: why the pair will be dropped, None for a usable one.
        subset: the part of the source that the pair belongs to (a benchmark's subset), where the source says.
    """

    source_id: str
    prompt: Prompt
    chosen: str
    rejected: str
    chosen_score: float | None = None
    rejected_score: float | None = None
    chosen_finished: bool = True
    rejected_finished: bool = True
    reason: str | None = None
    subset: str | None = None
    chosen_more: str = ""
    rejected_more: str = ""
    tools: str = ""
    template_kwargs: str = ""
    prompt_ids: tuple[int, ...] | None = None
    chosen_ids: tuple[int, ...] | None = None
    rejected_ids: tuple[int, ...] | None = None

    @property
    def ids(self) -> "PairIds":
        """What the pair and its prompt are known by."""
        state = _hash_of_prompt(self.prompt, self.tools, self.template_kwargs)
        return _ids_of(state, (self.chosen, self.chosen_more), (self.rejected, self.rejected_more))

    @property
    def structure(self) -> str | None:
        """All that is not in role and content, as JSON text (schema.PAIRS); None for a plain pair."""
        turns = {str(at): turn.more for at, turn in enumerate(self.prompt) if turn.more}
        parts = {
            "tools": self.tools,
            "chat_template_kwargs": self.template_kwargs,
            "prompt": "{" + ",".join(f'"{at}":{more}' for at, more in turns.items()) + "}" if turns else "",
            "chosen": self.chosen_more,
            "rejected": self.rejected_more,
        }
        texts = [f'"{name}":{text}' for name, text in parts.items() if text]
        return "{" + ",".join(texts) + "}" if texts else None


@dataclass(frozen=True, slots=True)
class Response:
    """One of N responses to a prompt, as it goes into the responses table.

    Attributes:
        finished: False where the source knows that sampling ran out of room.
    """

    index: int
    text: str
    model: str | None = None
    score: float | None = None
    finished: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt that is to be answered.

    Attributes:
        source_id: as of a Pair.
        prompt: likewise.
        tools: likewise.
        template_kwargs: likewise.
    """

    source_id: str
    prompt: Prompt
    tools: str = ""
    template_kwargs: str = ""

    @property
    def prompt_id(self) -> str:
        """What the prompt is known by, in pairs too."""
        return prompt_id(self.prompt, self.tools, self.template_kwargs)

    @property
    def structure(self) -> str | None:
        """As of a Pair."""
        return Pair(
            self.source_id, self.prompt, "", "", tools=self.tools, template_kwargs=self.template_kwargs
        ).structure


class Adapted(NamedTuple):
    """What one raw row became: its pairs, and all responses to `prompt` where the source has N (and a pair).

    A row without responses is a `question` and no pair.
    """

    pairs: Sequence[Pair]
    prompt: Prompt = ()
    responses: Sequence[Response] = ()
    question: Question | None = None


class PairIds(NamedTuple):
    """`pair` starts with `prompt`, so that sorting by it puts the pairs of one prompt side by side."""

    prompt: str
    pair: str


def pair_ids(prompt: Prompt, chosen: str, rejected: str) -> PairIds:
    """Return the 16 hex digits of the prompt and the 32 of the pair (the prompt's 16, then the pair's 16).

    Every string is preceded by its length and the prompt by its number of messages, so that no two different
    pairs are encoded alike. Lone surrogates are encoded too: an id exists before validation.
    """
    return _ids_of(_hash_of_prompt(prompt), (chosen, ""), (rejected, ""))


def prompt_id(prompt: Prompt, tools: str = "", template_kwargs: str = "") -> str:
    """Return 16 hex digits that stand for the conversation and what its template is called with."""
    return _hash_of_prompt(prompt, tools, template_kwargs).hexdigest()


def pair_id(prompt: Prompt, chosen: str, rejected: str) -> str:
    """Return 32 hex digits that stand for the pair; the first 16 are the prompt's."""
    return pair_ids(prompt, chosen, rejected).pair


def content_hash(*parts: str) -> str:
    """Return 16 hex digits over `parts`, for choices that must not depend on row order or a random state."""
    text = "".join([f"{len(part)}:{part}" for part in parts])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def validate(pair: Pair, *, max_chars: int = MAX_TEXT_CHARS) -> None:
    """Raise RowError unless the pair can be tokenised, trained on and written.

    Raises:
        RowError: null, empty or whitespace text, unless a response is a call or reasoning; NUL or a lone surrogate; a
            text over `max_chars`; roles out of order; equal sides; a score that is not finite.
    """
    check_prompt(pair.prompt, max_chars=max_chars)
    if pair.chosen_more or pair.rejected_more:
        _check_turn(pair.chosen, pair.chosen_more, "chosen", max_chars=max_chars)
        _check_turn(pair.rejected, pair.rejected_more, "rejected", max_chars=max_chars)
    else:
        check_text(pair.chosen, "chosen", max_chars=max_chars)
        check_text(pair.rejected, "rejected", max_chars=max_chars)
    if pair.chosen == pair.rejected and pair.chosen_more == pair.rejected_more:
        message = "chosen and rejected are the same text; a pair needs two different responses"
        raise RowError(message)
    if pair.tools:
        check_json(pair.tools, "tools", max_chars=max_chars)
    if pair.template_kwargs:
        check_json(pair.template_kwargs, "chat_template_kwargs", max_chars=max_chars)
    check_score(pair.chosen_score, "chosen_score")
    check_score(pair.rejected_score, "rejected_score")


def check_prompt(prompt: Prompt, *, max_chars: int = MAX_TEXT_CHARS) -> None:
    """Raise RowError unless roles are [system] (user assistant)* user and every turn has text.

    `tool` turns may stand behind an assistant turn that calls, and behind one another; the assistant or the user goes
    on after them. The last turn may be theirs.
    """
    turns = prompt[1:] if prompt and prompt[0].role == "system" else prompt
    in_turn = [turn.role for turn in turns] == ["user", "assistant"] * (len(turns) // 2) + ["user"]
    if not in_turn and not _tools_in_order(turns):
        roles = [str(turn.role) for turn in prompt]
        found = ", ".join(roles[:8]) + (", …" if len(roles) > 8 else "")
        message = (
            f"prompt has the roles [{found}]; expected an optional system turn, then user and assistant"
            " in turn, ending in user, and tool turns only behind the tool_calls of an assistant turn"
        )
        raise RowError(message)
    for at, turn in enumerate(prompt):
        if turn.more or turn.role == "tool":
            _check_turn(
                turn.content, turn.more, "prompt turn {at} ({role})", max_chars=max_chars, at=at, role=turn.role
            )
        else:
            check_text(turn.content, "prompt turn {at} ({role})", max_chars=max_chars, at=at, role=turn.role)


def _tools_in_order(turns: Prompt) -> bool:
    """Whether roles are in order where tools answer calls."""
    before, calls = "", False
    for turn in turns:
        allowed = {
            "user": before in ("", "assistant", "tool"),
            "assistant": before in ("user", "tool"),
            "tool": before == "tool" or (before == "assistant" and calls),
        }
        if not allowed.get(turn.role, False):
            return False
        before, calls = turn.role, "tool_calls" in _fields(turn.more)
    return before in ("user", "tool")


def _check_turn(content: str, more: str, what: str, *, max_chars: int, **names: object) -> None:
    """Check a text that may be empty: where a call or reasoning stands beside it, or a tool had nothing to say."""
    if more:
        check_json(more, what, max_chars=max_chars, **names)
    silent = isinstance(content, str) and (not content or content.isspace())
    if silent and (names.get("role") == "tool" or _fields(more) & {"tool_calls", "reasoning_content"}):
        return
    check_text(content, what, max_chars=max_chars, **names)


def _fields(more: str) -> set[str]:
    return set(json.loads(more)) if more else set()


def check_json(more: str, what: str, *, max_chars: int = MAX_TEXT_CHARS, **names: object) -> None:
    """What `check_text` asks of a text, of the texts in JSON: they are written out by a chat template."""
    check_text(more, what, max_chars=max_chars, **names)
    if _ESCAPED_NUL.search(more):
        message = f"{what.format(**names)} is holding a NUL character in its further fields"
        raise RowError(message)


def check_text(text: object, what: str, *, max_chars: int = MAX_TEXT_CHARS, **names: object) -> None:
    """Raise RowError unless `text` is a string that says something and that UTF-8 can hold.

    Args:
        text: from a raw row, so of any type.
        what: its place, for the message; `names` are formatted into it only when it is needed.
    """
    if not isinstance(text, str):
        problem = "null" if text is None else f"{type(text).__name__}, expected text"
    elif not text:
        problem = "empty"
    elif text.isspace():
        problem = "whitespace only"
    elif len(text) > max_chars:
        problem = f"{len(text):,} characters long, the limit is {max_chars:,}"
    elif "\0" in text:
        problem = f"holding a NUL character at {text.index(chr(0))}"
    else:
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                message = f"{what.format(**names)} holds a lone surrogate at {error.start}; UTF-8 cannot hold it"
                raise RowError(message) from None
        return
    message = f"{what.format(**names)} is {problem}"
    raise RowError(message)


def check_score(score: float | None, what: str) -> None:
    """Raise RowError if the score is not-a-number or infinite. None is fine: many sources have no scores."""
    if score is not None and not isfinite(score):
        message = f"{what} is {score}, expected a finite number or none"
        raise RowError(message)


def _hash_of_prompt(prompt: Prompt, tools: str = "", template_kwargs: str = "") -> "hashlib.blake2b":
    turns = "".join([f"{len(role)}:{role}{_counted(content, more)}" for role, content, more in prompt])
    called = f"|{len(tools)}:{tools}{len(template_kwargs)}:{template_kwargs}" if tools or template_kwargs else ""
    return hashlib.blake2b(f"{len(prompt)};{turns}{called}".encode("utf-8", "surrogatepass"), digest_size=8)


def _ids_of(state: "hashlib.blake2b", chosen: tuple[str, str], rejected: tuple[str, str]) -> PairIds:
    head = state.hexdigest()
    state.update(f"{_counted(*chosen)}{_counted(*rejected)}".encode("utf-8", "surrogatepass"))
    return PairIds(head, head + state.hexdigest())


def _counted(content: str, more: str) -> str:
    """A text behind its length, so that where it ends is known; a plus sign is no digit, so nothing else reads so."""
    return f"{len(content)}:{content}" + (f"+{len(more)}:{more}" if more else "")
