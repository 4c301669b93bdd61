"""A raw row with one answer: what was asked, what was said, and whether it ended by itself.

Rows, as TRL's prompt-completion and language modelling sets, KTO's, and LLaMA-Factory's have them::

    {"prompt": "Name three rivers.", "completion": "The Nile, the Rhine and the Po."}
    {"prompt": [{"role": "user", "content": "Name three rivers."}],
     "completion": [{"role": "assistant", "content": "The Nile, the Rhine and the Po."}]}
    {"messages": [{"role": "user", "content": "Name three rivers."},
                  {"role": "assistant", "content": "The Nile, the Rhine and the Po."}]}
    {"instruction": "Name three rivers.", "input": "", "output": "The Nile, the Rhine and the Po."}

Of messages the last turn is the completion and all before it is the prompt.
"""

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from transforms.chat.conversation import Asked, Turn, answer
from transforms.errors import RowError
from transforms.sources.adapter import Row
from transforms.sources.canonical import Message, Prompt, check_json, check_prompt, check_text, prompt_id
from transforms.sources.endings import finished_one
from transforms.sources.fields import refuse_what_is_not_text, template_kwargs, tools, with_system
from transforms.sources.messages import (
    Sides,
    Spoken,
    asked,
    holds_messages,
    is_transcript,
    messages,
    replies,
    said,
    split,
    transcript,
)
from transforms.sources.rows import Fields, kind_of

LABELS: Final = ("label", "kto_tag")
CONVERSATIONS: Final = ("messages", "conversations")
CUT: Final = "completion_cut"  # what exports of this project say of a response that was cut
UNDESIRABLE: Final = "undesirable"


class Needed(NamedTuple):
    """What an error says of the one assistant turn that is wanted.

    Attributes:
        one: why there is one behind the prompt.
        last: why messages end in one.
    """

    one: str
    last: str


LABELLED: Final = Needed("its label is of all of them", "the label is of")
LEARNED: Final = Needed("one of them is learned", "is learned")


class Completion(NamedTuple):
    """A prompt and its answer.

    Attributes:
        prompt: as of a canonical pair.
        said: the answer.
        finished: False where the row says that it was cut or ran out of room.
        tools: functions that may be called, JSON text; empty for none.
        template_kwargs: the row's own arguments of the chat template, likewise.
    """

    prompt: Prompt
    said: Message
    finished: bool
    tools: str = ""
    template_kwargs: str = ""

    @property
    def prompt_id(self) -> str:
        """What the prompt is known by, as in pairs."""
        return prompt_id(self.prompt, self.tools, self.template_kwargs)

    @property
    def asked(self) -> Asked:
        """The prompt as a chat template takes it."""
        kwargs = json.loads(self.template_kwargs) if self.template_kwargs else {}
        return Asked(list(map(_turn, self.prompt)), json.loads(self.tools) if self.tools else None, kwargs)

    @property
    def answer(self) -> Turn:
        """The answer, likewise."""
        return answer(self.said.content, json.loads(self.said.more) if self.said.more else None)


def read_completion(row: Fields) -> Completion:
    """One row, with everything that may be wrong with it alone.

    Raises:
        RowError: no completion or an empty one, or something that `fields` refuses.
    """
    refuse_what_is_not_text(row)
    sides = conversation_of(row, LEARNED)
    found = Completion(
        with_system(sides.prompt, row),
        sides.chosen,
        finished_one(row, of="completion_", of_message=sides.chosen_ending) is not False and not _was_cut(row),
        tools(row),
        template_kwargs(row),
    )
    check_prompt(found.prompt)
    if not found.said.more:
        check_text(found.said.content, "the completion")
    for name, text in (
        ("the completion", found.said.more),
        ("tools", found.tools),
        ("chat_template_kwargs", found.template_kwargs),
    ):
        if text:
            check_json(text, name)
    return found


def left_out_of(row: Fields) -> str | None:
    """Why a good row is not learned from: UNDESIRABLE where its label says so; None for the others."""
    return UNDESIRABLE if any(as_label(row.get(name)) is False for name in LABELS if name in row) else None


def looks_like_completions(rows: Iterable[Row]) -> bool:
    """Whether any of these rows has columns of a prompt with one completion."""
    names = {name for row in rows for name, value in row.items() if value is not None}
    return bool(names & {"completion", *CONVERSATIONS}) or {"instruction", "output"} <= names


def as_label(value: object) -> bool | None:
    """Whether a completion is desirable, None for what is no label."""
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int | float) and value in (0, 1) else None


def conversation_of(row: Fields, needed: Needed) -> Sides:
    """The prompt and the completion, as both sides of a pair that has one.

    Args:
        row: of any of the layouts.
        needed: for errors.

    Raises:
        RowError: none of the layouts, or a completion that is not one assistant turn.
    """
    texts = row.peek("instruction") is not None and row.peek("output") is not None
    conversations = [name for name in CONVERSATIONS if row.peek(name) is not None]
    # A table gives every row the columns of all others: a null may be of another layout.
    if row.peek("completion") is not None or ("completion" in row and not conversations and not texts):
        if row.peek("prompt") not in (None, "", []):
            return _prompted(asked(row, "prompt"), said(row, "completion"), needed)
        row.get("prompt")
        whole = row.peek("completion")
        if is_transcript(whole):
            return _whole(transcript(row.get("completion"), "completion"), "completion", needed)
        if not holds_messages(whole):
            message = (
                f"completion is {kind_of(whole)} without a prompt, so what was asked cannot be told; add a column"
                " prompt, or use messages"
            )
            raise RowError(message)
        return _whole(messages(row, "completion"), "completion", needed)
    if conversations:
        return _whole(messages(row, conversations[0]), conversations[0], needed)
    if texts or ("instruction" in row and "output" in row):
        return _prompted(_instructed(row), said(row, "output"), needed)
    message = (
        f"found the columns {', '.join(sorted(map(str, row.raw)))}; expected prompt and completion, messages,"
        " conversations, or instruction and output"
    )
    raise RowError(message)


def _prompted(prompt: Prompt, completion: Spoken, needed: Needed) -> Sides:
    turns = completion.turns
    if not turns or turns[-1].role != "assistant":
        found = f"ends in a {turns[-1].role} turn" if turns else "is empty"
        message = f"the completion {found}, expected an assistant turn"
        raise RowError(message)
    sides = replies(prompt, completion, completion)
    if len(turns) > 1 and len(sides.prompt) != len(turns) - 1:  # it does not repeat the prompt, and goes on for turns
        message = (
            f"the completion has {len(turns)} messages behind the prompt, and {needed.one}; expected one assistant turn"
        )
        raise RowError(message)
    return sides


def _whole(spoken: Spoken, name: str, needed: Needed) -> Sides:
    if not spoken.turns or spoken.turns[-1].role != "assistant":
        found = f"ends in a {spoken.turns[-1].role} turn" if spoken.turns else "is empty"
        message = f"{name} {found}, expected messages that end in the assistant turn that {needed.last}"
        raise RowError(message)
    return split(spoken, spoken)


def _instructed(row: Fields) -> Prompt:
    """LLaMA-Factory's reading of Alpaca's columns: the input behind the instruction, earlier turns before both."""
    turns: list[Message] = []
    history = row.get("history")
    if not isinstance(history, list | None):
        message = f"history is {kind_of(history)}, expected a list of earlier turns"
        raise RowError(message)
    for at, one in enumerate(history or []):
        if not isinstance(one, list) or len(one) != 2 or not all(isinstance(text, str) for text in one):
            message = f"history[{at}] is {kind_of(one)}, expected a list of a question and an answer"
            raise RowError(message)
        turns += [Message("user", one[0]), Message("assistant", one[1])]
    parts = [row.get("instruction"), row.get("input")]
    for name, text in zip(("instruction", "input"), parts, strict=True):
        if not isinstance(text, str | None):
            message = f"{name} is {kind_of(text)}, expected text"
            raise RowError(message)
    return (*turns, Message("user", "\n".join(filter(None, parts))))


def _was_cut(row: Fields) -> bool:
    value = row.get(CUT)
    if not isinstance(value, bool | None):
        message = f"{CUT} is {kind_of(value)}, expected true or false"
        raise RowError(message)
    return value is True


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    return turn | json.loads(message.more) if message.more else turn
