"""A family's own chat template, as transformers renders it, with what it is called with held fixed.

A template may ask what day it is (`strftime_now`: Llama 3.2, gpt-oss, Granite): the same rows would be other tokens
tomorrow, another version, and every completion would be paid for again. So the date is an argument.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final, Protocol

from transforms.chat.conversation import Asked, Conversation, Turn
from transforms.errors import ModelError, first_line

# What Llama 3's own templates say where nobody tells them the day. Any day is right that stays the same; a constant is
# the same on every machine, where a day that the first run wrote down would give two teammates two versions.
DEFAULT_DATE: Final = date(2024, 7, 26)

Rendered = str | Exception
_SENTINEL: Final[Turn] = {"role": "user", "content": "Sentinel question"}
_ANSWER: Final[Turn] = {"role": "assistant", "content": "Sentinel answer"}
_CALL: Final = {"id": "c00000001", "type": "function", "function": {"name": "sentinel", "arguments": {}}}

# Arguments of apply_chat_template itself: a row that set them would choose its own template, or take its own apart.
RESERVED: Final = frozenset(
    {
        "conversation", "conversations", "messages", "tools", "documents", "chat_template", "add_generation_prompt",
        "continue_final_message", "tokenize", "padding", "truncation", "max_length", "return_tensors", "return_dict",
        "return_assistant_tokens_mask", "tokenizer_kwargs", "strftime_now", "raise_exception",
    }
)  # fmt: skip


class HubTokenizer(Protocol):
    """What is used of a transformers fast tokenizer."""

    backend_tokenizer: Any
    name_or_path: str
    chat_template: Any

    @property
    def all_special_ids(self) -> list[int]: ...

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any: ...

    def __call__(self, text: Any, **options: Any) -> Any: ...


class ChatTemplate:
    """Renders conversations.

    Args:
        tokenizer: whose template it is, unless `text` is another.
        text: a template to use in its place.
        kwargs: arguments for every conversation, such as `enable_thinking`; a row's own come on top.
        today: the date that it is told.

    Attributes:
        asked_for_the_date: whether a template has asked so far.
        parts: contents are handed over as a list of parts, which the templates of vision models want.
    """

    def __init__(
        self,
        tokenizer: HubTokenizer,
        *,
        text: str | None = None,
        kwargs: Mapping[str, Any] | None = None,
        today: date = DEFAULT_DATE,
    ) -> None:
        self._tokenizer = tokenizer
        self.today = today
        self._options: dict[str, Any] = {**(kwargs or {}), "strftime_now": self._strftime}
        if text is not None:
            self._options["chat_template"] = text
        self.text = text if text is not None else str(getattr(tokenizer, "chat_template", ""))
        self.name = str(tokenizer.name_or_path)
        self._left_out: dict[str, bool] = {}
        self.asked_for_the_date = False
        self.parts = False

    def find_form(self) -> str:
        """Find out whether contents go over as text or as parts; the prompt of a sentinel question.

        Raises:
            ModelError: the template can render it neither way.
        """
        problem = ""
        for parts in (False, True):  # templates of vision models go through the parts, and through a text's letters
            self.parts = parts
            try:
                prompt = self.one([_SENTINEL], generation=True)
                whole = self.one([_SENTINEL, _ANSWER], generation=False)
                if _SENTINEL["content"] in prompt and _ANSWER["content"] in whole:
                    return prompt
                who, rendered = ("user", prompt) if _SENTINEL["content"] not in prompt else ("assistant", whole)
                problem = problem or f"it leaves out or changes the {who}'s turn: {rendered!r}"
            except Exception as error:  # noqa: BLE001 - templates raise what they like
                problem = problem or first_line(error)
        message = (
            f"tokenizer {self.name!r} has no usable chat template ({problem}); "
            "name an instruct model's tokenizer in `tokenizer:`, or a template in `policy.chat_template`"
        )
        raise ModelError(message)

    def prompts(self, asked: Sequence[Asked]) -> list[Rendered]:
        """Each prompt with the generation prompt after it; the error where the template refuses it."""
        return self._each([(one, list(one.turns)) for one in asked], generation=True)

    def wholes(self, asked: Sequence[Asked], answers: Sequence[Turn]) -> list[Rendered]:
        """Each prompt with its answer, both finished."""
        return self._each(
            [(one, [*one.turns, turn]) for one, turn in zip(asked, answers, strict=True)], generation=False
        )

    def one(self, turns: Conversation, *, generation: bool, asked: Asked | None = None) -> str:
        """One conversation.

        Raises:
            Exception: whatever the template raises.
        """
        tools, kwargs = (asked.tools, asked.kwargs) if asked else (None, {})
        problems: list[Exception] = []
        for conversation in _versions(list(turns)):
            try:
                return str(self._render(conversation, generation=generation, tools=tools, kwargs=kwargs))
            except Exception as error:  # noqa: BLE001 - templates raise what they like
                problems.append(error)
        raise problems[0]

    def token_ids(self, turns: Conversation, *, generation: bool, asked: Asked | None = None) -> list[int]:
        """Token ids of one conversation as the family's own tokenizer makes them: what all others are held against.

        Raises:
            Exception: whatever the template raises.
        """
        text = self.one(turns, generation=generation, asked=asked)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def leaves_out(self, role: str) -> bool:
        """Whether the template writes nothing of what a turn of this role before the last says."""
        if role not in self._left_out:
            said = {"role": role, "content": "Sentinel words"}
            answered = {**said, "tool_call_id": _CALL["id"]}
            called = {"role": "assistant", "content": "a", "tool_calls": [_CALL]}
            turns = {"system": [said, _SENTINEL], "tool": [_SENTINEL, called, answered]}
            try:
                rendered = self.one(turns.get(role, [_SENTINEL, said, _SENTINEL]), generation=True)
                self._left_out[role] = "Sentinel words" not in rendered
            except Exception:  # noqa: BLE001 - it refuses the role, and so each row that has it
                self._left_out[role] = False
        return self._left_out[role]

    def names(self, variable: str) -> bool:
        """Whether the template's text has a variable of this name."""
        return re.search(rf"\b{re.escape(variable)}\b", self.text) is not None

    def _each(self, conversations: list[tuple[Asked, list[Turn]]], *, generation: bool) -> list[Rendered]:
        if all(asked.plain for asked, _ in conversations) and not any(
            len(turn) > 2 for _, turns in conversations for turn in turns[-1:]
        ):
            try:
                # Sorted pairs share their prompts, and in many sets their responses: equal ones are rendered once.
                keys = [tuple((turn["role"], turn["content"]) for turn in turns) for _, turns in conversations]
                distinct = dict(zip(keys, (turns for _, turns in conversations), strict=True))
                texts = self._render(list(distinct.values()), generation=generation)
                of = dict(zip(distinct, texts, strict=True))
                return [of[key] for key in keys]
            except Exception:  # noqa: BLE001 - found again conversation by conversation
                pass
        found: list[Rendered] = []
        for asked, turns in conversations:
            try:
                found.append(self.one(turns, generation=generation, asked=asked))
            except Exception as error:  # noqa: BLE001 - as above
                found.append(error)
        return found

    def _render(
        self,
        conversations: Any,
        *,
        generation: bool,
        tools: Any = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if not conversations:
            return []
        if self.parts:
            conversations = _in_parts(conversations)
        if kwargs and (taken := RESERVED & kwargs.keys()):
            message = f"chat_template_kwargs may not set {', '.join(sorted(taken))}"
            raise ValueError(message)
        options = {**self._options, **kwargs} if kwargs else self._options
        if tools:
            options = {**options, "tools": list(tools)}
        return self._tokenizer.apply_chat_template(
            conversations, tokenize=False, add_generation_prompt=generation, **options
        )

    def _strftime(self, form: str) -> str:
        self.asked_for_the_date = True
        return self.today.strftime(form)


def _versions(turns: list[Turn]) -> Iterator[list[Turn]]:
    """The same turns as templates may want them, one after the other.

    Arguments of a call are an object for most templates and JSON text for some (DeepSeek's paste it). A turn that is
    a call alone has no content for some (DeepSeek's ask for that) and an empty one for others (gpt-oss, Qwen-VL).
    """
    yield turns
    if (as_text := _with_text_arguments(turns)) is not None:
        yield as_text
    if any(turn["content"] is None for turn in turns):
        yield from _versions([{**turn, "content": turn["content"] or ""} for turn in turns])


def _with_text_arguments(turns: Sequence[Turn]) -> list[Turn] | None:
    """The same turns with the arguments of their calls as JSON text; None where there are none as objects."""
    found, changed = [], False
    for turn in turns:
        calls = turn.get("tool_calls")
        if not isinstance(calls, list):
            found.append(turn)
            continue
        texts = []
        for call in calls:
            function = call.get("function", {})
            if isinstance(function.get("arguments"), dict):
                changed = True
                call = {
                    **call,
                    "function": {**function, "arguments": json.dumps(function["arguments"], ensure_ascii=False)},
                }
            texts.append(call)
        found.append({**turn, "tool_calls": texts})
    return found if changed else None


def _in_parts(conversations: Any) -> Any:
    if isinstance(conversations[0], list):
        return [_in_parts(turns) for turns in conversations]
    return [
        {**turn, "content": [{"type": "text", "text": turn["content"]}]}
        if isinstance(turn.get("content"), str)
        else turn
        for turn in conversations
    ]
