"""What is tried on a model before a run: a handful of conversations, held against the family's own tokens.

A model whose plain responses cannot be had token for token is refused, with both token lists. What it can have only for
some rows (a text that begins with a newline, reasoning, a system turn) is found out here and said in the manifest; such
rows go to quarantine.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from transforms.chat.conversation import Asked, Turn, answer
from transforms.chat.encoding import encode_prompts, encode_responses
from transforms.chat.tokens import ChatTokens
from transforms.chat.turn import as_text
from transforms.errors import ModelError

_QUESTION: Final[list[Turn]] = [{"role": "user", "content": "Name a river in Europe."}]
# Mistral's templates want ids of nine letters and digits.
_CALL: Final = {"id": "c00000001", "type": "function", "function": {"name": "get_tide", "arguments": {"port": "Brest"}}}
_TOOLS: Final[list[dict[str, Any]]] = [
    {
        "type": "function",
        "function": {
            "name": "get_tide",
            "description": "Tide at a port",
            "parameters": {"type": "object", "properties": {"port": {"type": "string"}}, "required": ["port"]},
        },
    }
]
PLAIN: Final = "plain"
REASONING: Final = "reasoning"
INLINE: Final = "reasoning in the text"


class Probe(NamedTuple):
    """A conversation to try."""

    asked: Asked
    answer: Turn


PROBES: Final[dict[str, Probe]] = {
    PLAIN: Probe(Asked(_QUESTION), answer("The Rhine.")),
    "digit first": Probe(Asked(_QUESTION), answer("3 come to mind.")),
    "code fence first": Probe(Asked(_QUESTION), answer("```python\nprint('Rhine')\n```")),
    "CJK": Probe(Asked(_QUESTION), answer("莱茵河。")),
    "leading newline": Probe(Asked(_QUESTION), answer("\nThe Rhine.")),
    "white space around": Probe(Asked(_QUESTION), answer("  The Rhine. \n")),
    REASONING: Probe(Asked(_QUESTION), answer("The Rhine.", {"reasoning_content": "It is long."})),
    INLINE: Probe(Asked(_QUESTION), answer(as_text("It is long.", "The Rhine."))),
    "system turn": Probe(Asked([{"role": "system", "content": "Be brief."}, *_QUESTION]), answer("The Rhine.")),
    "earlier turns": Probe(
        Asked([*_QUESTION, {"role": "assistant", "content": "The Po."}, {"role": "user", "content": "Another?"}]),
        answer("The Rhine."),
    ),
    "tools": Probe(Asked(_QUESTION, _TOOLS), answer("The Rhine.")),
    "tool call": Probe(Asked(_QUESTION, _TOOLS), answer("", {"tool_calls": [_CALL]})),
}


class Probed(NamedTuple):
    """What became of a probe.

    Attributes:
        name: of the probe.
        exact: its tokens are the family's own; otherwise rows like it go to quarantine.
        why: the reason that such rows get.
    """

    name: str
    exact: bool
    why: str | None = None


def try_all(chat: ChatTokens) -> list[Probed]:
    """Every probe on a model's tokenizer and template.

    Raises:
        ModelError: tokens that are not the family's own.
    """
    return [_tried(chat, name, probe) for name, probe in PROBES.items()]


def check(chat: ChatTokens, *, without_reasoning: str = "error") -> list[Probed]:
    """Try all probes and refuse a model that cannot have plain responses.

    Args:
        chat: tokenizer and template as a recipe calls them.
        without_reasoning: `quarantine` takes a model all the same if it can have responses with reasoning.

    Raises:
        ModelError: shows the tokens of the prompt and those of the whole conversation.
    """
    probed = try_all(chat)
    results = {one.name: one for one in probed}
    if results[PLAIN].exact or (
        without_reasoning == "quarantine" and (results[REASONING].exact or results[INLINE].exact)
    ):
        return probed
    raise ModelError(_refusal(chat, results))


def _tried(chat: ChatTokens, name: str, probe: Probe) -> Probed:
    finished = np.array([True])
    prompts = encode_prompts(chat, [probe.asked])
    responses = encode_responses(chat, prompts, [probe.answer], finished, "chosen")
    errors = responses.errors | prompts.errors
    if errors:
        return Probed(name, exact=False, why=errors[0].removeprefix("the chosen response: "))
    ours = [*prompts.ids.row(0).tolist(), *responses.ids.row(0).tolist()]
    turns = [*probe.asked.turns, responses.turns[0]]
    own_prompt = chat.template.token_ids(probe.asked.turns, generation=True, asked=probe.asked)
    own = chat.template.token_ids(turns, generation=False, asked=probe.asked)
    if prompts.ids.row(0).tolist() != own_prompt or ours != own[: len(ours)]:
        raise ModelError(_differs(chat, name, own_prompt, own, ours))
    return Probed(name, exact=True)


def _differs(chat: ChatTokens, name: str, prompt: Sequence[int], whole: Sequence[int], ours: Sequence[int]) -> str:
    return (
        f"the tokenizer {chat.template.name!r} gives other tokens for a whole conversation than for its parts "
        f"(probe {name!r}).\n  prompt: {_listed(chat, prompt)}\n  whole:  {_listed(chat, whole)}\n  "
        f"parts:  {_listed(chat, ours)}"
    )


def _refusal(chat: ChatTokens, results: dict[str, Probed]) -> str:
    """The error for a model whose plain responses are not exact."""
    probe = PROBES[PLAIN]
    try:
        prompt = chat.template.token_ids(probe.asked.turns, generation=True)
        whole = chat.template.token_ids([*probe.asked.turns, probe.answer], generation=False)
        lists = f"\n  prompt: {_listed(chat, prompt)}\n  whole:  {_listed(chat, whole)}"
    except Exception:  # noqa: BLE001 - the reason says what the template raises
        lists = ""
    advice = "Name another template (policy.chat_template: FILE) or another model"
    if any(results[name].exact for name in (REASONING, INLINE)):
        advice = (
            "Responses with reasoning can be had: policy.without_reasoning: quarantine takes those and quarantines the "
            "others. For plain responses set policy.chat_template_kwargs, such as {enable_thinking: false}, or name "
            "another template (policy.chat_template: FILE)"
        )
    return (
        f"a plain response cannot be had token for token from the chat template of {chat.template.name!r}: "
        f"{results[PLAIN].why}{lists}\n{advice}"
    )


def _listed(chat: ChatTokens, ids: Sequence[int]) -> str:
    return " ".join(chat.tokens(np.array(ids, np.int32)))
