"""What a chat template takes: the prompt's turns, tools and arguments of a pair, and the turn that answers it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

Turn = Mapping[str, Any]  # role, content, and what else a template may read
Conversation = Sequence[Turn]


class Asked(NamedTuple):
    """A prompt as a chat template takes it.

    Attributes:
        turns: the last is the user's or a tool's.
        tools: functions that may be called, None for none.
        kwargs: the row's own arguments of the template.
    """

    turns: Conversation
    tools: Sequence[Mapping[str, Any]] | None = None
    kwargs: Mapping[str, Any] = {}

    @property
    def plain(self) -> bool:
        """Whether roles and contents are all there is."""
        return not self.tools and not self.kwargs and not any(len(turn) > 2 for turn in self.turns)


def answer(content: str | None, more: Mapping[str, Any] | None = None) -> Turn:
    """A response as the turn that it is; one that is still in its reasoning has no content."""
    return {"role": "assistant", "content": content, **(more or {})}


def is_plain(turn: Turn) -> bool:
    """Whether a turn is its role and content alone."""
    return len(turn) <= 2


def asked_of(table: pa.Table) -> list[Asked]:
    """The prompt of each row, from the columns `prompt` and, if it is there, `structure` (schema.PAIRS)."""
    prompts = table["prompt"].to_pylist()
    structures = _structures(table)
    if structures is None:
        return [Asked(turns) for turns in prompts]
    return [_asked(turns, structure) for turns, structure in zip(prompts, structures, strict=True)]


def answers_of(table: pa.Table, side: str, column: str | None = None) -> list[Turn]:
    """The response of each row on one side, from the columns `column` (the side's) and `structure`."""
    contents = table[column or side].to_pylist()
    structures = _structures(table)
    if structures is None:
        return [{"role": "assistant", "content": content} for content in contents]
    return [answer(text, structure.get(side)) for text, structure in zip(contents, structures, strict=True)]


def _asked(turns: list[dict[str, Any]], structure: Mapping[str, Any]) -> Asked:
    more = structure.get("prompt", {})
    whole = [turn | more.get(str(at), {}) for at, turn in enumerate(turns)] if more else turns
    return Asked(whole, structure.get("tools"), structure.get("chat_template_kwargs") or {})


def _structures(table: pa.Table) -> list[dict[str, Any]] | None:
    """What `structure` says of each row; None where it says nothing of any."""
    if "structure" not in table.column_names or table["structure"].null_count == len(table):
        return None
    return [json.loads(text) if text else {} for text in table["structure"].to_pylist()]
