"""Prompts and responses as token ids: what the family's template and tokenizer give for the whole conversation.

`prompt_ids` is what a server generates from: the prompt and the generation prompt. `prompt_ids + response_ids` are the
first tokens of the whole conversation, up to and with the end-of-turn (methods §1). A response is never encoded alone:
SentencePiece families put a dummy space before it, and templates write more than its text. Where the whole does not
begin with the prompt's tokens the row cannot be used, and says why.

The whole is not encoded whole. Text behind an added token is encoded apart from text before it, so both sides of a pair
share the encoding of the prompt up to the last added token of the generation prompt.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from transforms.chat.conversation import Asked, Turn, is_plain
from transforms.chat.template import ChatTemplate, Rendered
from transforms.chat.turn import INLINE, REASONING_FIELDS, as_text, fields_of, squeezed
from transforms.errors import first_line
from transforms.tables.ragged import Ids, Ragged

if TYPE_CHECKING:
    from transforms.chat.tokens import ChatTokens

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Errors = dict[int, str]  # row → why it cannot be used
_UNKNOWN: Final = "the {} holds characters that the vocabulary has no token for, so its tokens do not say it"
_NO_END: Final = "the tokenizer takes the end-of-turn behind it ({}) for a part of its text, so it has no end"
_ADVICE: Final = "; use a model whose template does, or a template of your own (policy.chat_template)"
_OPENS, _CLOSES = (mark.strip() for mark in INLINE)
SHOWN: Final = 60  # characters of a text in an error


class Prompts(NamedTuple):
    """Prompts of many rows. Rows with an error have no tokens worth reading."""

    asked: Sequence[Asked]
    texts: list[str]
    ids: Ragged
    anchors: list[int]  # where in each text an added token stands, behind which text is encoded apart; 0 for none
    heads: Ragged  # tokens of each text from there on
    errors: Errors


class Responses(NamedTuple):
    """Responses of many rows, each after its prompt."""

    ids: Ragged  # with end-of-turn where finished
    lead: Ints  # tokens of each that the template writes before the text
    end: Ints  # tokens of each that the template writes after the text, the end-of-turn among them
    changed: Bools  # whose white space the template changed
    turns: Sequence[Turn]  # as the template was given them
    errors: Errors


def encode_prompts(chat: "ChatTokens", asked: Sequence[Asked]) -> Prompts:
    """Each prompt with the generation prompt after it."""
    errors: Errors = {}
    texts = []

    def again(other: Asked) -> Rendered:
        return chat.template.prompts([other])[0]

    for row, rendered in enumerate(chat.template.prompts(asked)):
        if isinstance(rendered, Exception):
            errors[row] = f"the chat template refuses the prompt: {first_line(rendered)}"
        elif lost := lost_of_prompt(asked[row], rendered, chat.template, again):
            errors[row] = f"the chat template {lost}{_ADVICE}"
        texts.append(rendered if isinstance(rendered, str) else "")
    ids = chat.encode(texts)
    for row, found in chat.specials_in_prompts(asked, ids):
        errors.setdefault(row, special_message("prompt", found))
    for row in chat.rows_with_unknown(ids):
        errors.setdefault(row, _UNKNOWN.format("prompt"))
    anchors = [chat.anchor_in(text) for text in texts]
    # Once for both sides. Where no text has an anchor they are the prompts, which need not be encoded again.
    heads = chat.encode([text[at:] for text, at in zip(texts, anchors, strict=True)]) if any(anchors) else ids
    return Prompts(asked, texts, ids, anchors, heads, errors)


def encode_responses(
    chat: "ChatTokens", prompts: Prompts, answers: Sequence[Turn], finished: Bools, side: str
) -> Responses:
    """Each answer after its prompt.

    Args:
        chat: tokenizer and chat template.
        prompts: one a row.
        answers: likewise; reasoning under `reasoning_content`.
        finished: whether it gets its end-of-turn, shape (rows,).
        side: its name, for messages.
    """
    return encode_sides(chat, prompts, {side: answers}, {side: finished})[side]


def encode_sides(
    chat: "ChatTokens",
    prompts: Prompts,
    answers: Mapping[str, Sequence[Turn]],
    finished: Mapping[str, Bools],
) -> dict[str, Responses]:
    """Answers of several sides, each after its prompt.

    Sides go together so that a response of several pairs of a prompt, chosen in one and rejected in another, is
    rendered and encoded once.

    Args:
        chat: tokenizer and chat template.
        prompts: one a row.
        answers: by side; one a row, as for `encode_responses`.
        finished: by side, likewise.
    """
    read = {
        side: [_as_the_template_reads(chat, turn, finished=bool(done)) for turn, done in zip(*both, strict=True)]
        for side, both in ((side, (answers[side], finished[side])) for side in answers)
    }
    wholes = chat.template.wholes([*prompts.asked] * len(read), list(chain.from_iterable(read.values())))
    rows = len(prompts.asked)
    parts = {
        side: _parts(chat, prompts, wholes[at * rows : (at + 1) * rows], turns, finished[side], side)
        for at, (side, turns) in enumerate(read.items())
    }
    found = chat.encode([text for one in parts.values() for text in one.texts])
    return {
        side: _responses(chat, prompts, found.part(at * rows, (at + 1) * rows), parts[side], finished[side], side)
        for at, side in enumerate(read)
    }


class _Parts(NamedTuple):
    turns: Sequence[Turn]  # as the template was given them
    texts: list[str]  # what is encoded: the end of the prompt and the response
    changed: Bools
    errors: Errors


def _parts(
    chat: "ChatTokens", prompts: Prompts, wholes: Sequence[Rendered], turns: Sequence[Turn], finished: Bools, side: str
) -> _Parts:
    found = _Parts(turns, [], np.zeros(len(turns), bool), {})
    for row, whole in enumerate(wholes):
        part = _response_part(chat, prompts, row, whole, turns[row], bool(finished[row]))
        if isinstance(part, str):
            found.errors[row] = f"the {side} response: {part}"
            found.texts.append("")
            continue
        found.changed[row] = part.changed
        found.texts.append(prompts.texts[row][prompts.anchors[row] :] + part.text)
    return found


def _responses(
    chat: "ChatTokens", prompts: Prompts, found: Ragged, parts: _Parts, finished: Bools, side: str
) -> Responses:
    errors, answers = parts.errors, parts.turns
    heads = prompts.heads
    begins = _begins_with(found, heads)
    for row in np.flatnonzero(~begins).tolist():
        if row not in errors and row not in prompts.errors:
            errors[row] = _merged_message(chat, side, heads.row(row), found.row(row))
    ids = found.without_first(np.where(begins, heads.lengths, found.lengths))
    lead, end = chat.turn_tokens.lead(ids), chat.turn_tokens.end(ids, finished)
    for row in np.flatnonzero(ids.lengths <= lead + end).tolist():
        errors.setdefault(row, f"the {side} response has no tokens")
    for row in np.flatnonzero(finished & ~chat.finished(ids)).tolist():
        errors.setdefault(row, f"the {side} response: {_NO_END.format(' or '.join(chat.stops))}")
    for row in chat.rows_with_unknown(ids):
        errors.setdefault(row, _UNKNOWN.format(f"{side} response"))
    _find_specials(chat, ids, answers, finished, side, errors)
    return Responses(ids, lead, end, parts.changed, answers, errors)


def take_given(
    chat: "ChatTokens", own: Ragged, given: Sequence[Sequence[int] | None], what: str, errors: Errors
) -> Ragged:
    """`own` with the ids that rows brought along in their places: generated ids are what a policy saw, and encoding
    their text again need not give them back.

    Args:
        chat: tokenizer that must have made them.
        own: what the text is encoded as.
        given: by row; None where it brought none.
        what: their name, for messages.
        errors: filled in where they are not the text's.
    """
    rows = [own.row(row) for row in range(len(given))]
    for row, ids in enumerate(given):
        if ids is None or row in errors:
            continue
        if not len(ids) or min(ids) < 0 or max(ids) >= chat.vocabulary:
            held = f"ids from {min(ids)} to {max(ids)}" if len(ids) else "no token"
            errors[row] = (
                f"{what} holds {held}, expected ids of this vocabulary (0 to {chat.vocabulary - 1}): are they another "
                "model's? `token_ids: ignore` encodes the text"
            )
            continue
        brought = np.array(ids, np.int32)
        theirs, ours = (
            chat.written(one) if what == "prompt_ids" else chat.without_end(one) for one in (brought, rows[row])
        )
        # Text leaves special tokens out, padding among them, or has their letters where they are spelled out.
        marks, own_marks = (chat.specials_within(one) for one in (brought, rows[row]))
        # White space at the ends is what templates trim; of a response the policy generated it all the same.
        same_text = theirs == ours or (what != "prompt_ids" and theirs.strip() == ours.strip())
        if same_text and marks == own_marks:
            rows[row] = brought
        elif same_text:
            errors[row] = (
                f"{what} hold the special tokens {marks} where the conversation has {own_marks}: is there padding "
                "among them? `token_ids: ignore` encodes the text"
            )
        else:
            same = _agree(theirs, ours)
            errors[row] = (
                f"{what} say {_shown(theirs[max(0, same - 20) :])} where the conversation says "
                f"{_shown(ours[max(0, same - 20) :])}: they are of another tokenizer or chat template, or the text was "
                "changed. `token_ids: ignore` encodes the text"
            )
    return Ragged.of(rows)


def special_message(what: str, token: str) -> str:
    """Why a text with a special token in it cannot be used."""
    return (
        f"the {what} spells out the special token {token}, which the tokenizer would take for a real one; "
        "clean the text (a chat template leaked into it?)"
    )


class _Part(NamedTuple):
    text: str  # what follows the prompt, up to and with the end-of-turn
    changed: bool


def _response_part(
    chat: "ChatTokens", prompts: Prompts, row: int, whole: Rendered, turn: Turn, finished: bool
) -> _Part | str:
    """What the template makes of the answer, or why it cannot be used."""
    if isinstance(whole, Exception):
        return f"the chat template refuses it: {first_line(whole)}"
    prompt = prompts.texts[row]
    if not whole.startswith(prompt):
        return "" if row in prompts.errors else _diverges(prompt, whole)
    rest = whole[len(prompt) :]
    content = turn["content"] or ""
    changed = False
    if content not in rest:
        # A text with reasoning may begin in the generation prompt, where that opens the block.
        said = whole[prompts.anchors[row] :] if prompts.anchors[row] else rest
        if lost := lost_of_text(content, said):
            return f"the chat template {lost}{_ADVICE}"
        begun = content[: len(said) - len(rest) - said.rfind(content)] if content in said else ""
        changed = not begun.strip()
    if not is_plain(turn) and (lost := lost_of_answer(chat.template, prompts.asked[row], turn, whole)):
        inline = ", or put it into the text with policy.reasoning: inline" if "reasoning" in lost else ""
        return f"the chat template {lost}{_ADVICE}{inline}"
    if chat.trail:
        if not rest.endswith(chat.trail):
            return f"the chat template ends the conversation with {_shown(rest[-SHOWN:])} and not with {chat.trail!r}"
        rest = rest.removesuffix(chat.trail)
    end = max((rest.rfind(token), len(token)) for token in chat.stops)
    if end[0] < 0:
        return f"the chat template ends it with no end-of-turn ({' or '.join(chat.stops)}): {_shown(rest[-SHOWN:])}"
    if finished:
        return _Part(rest[: sum(end)], changed)
    rest = rest[: end[0]]
    rest = rest.removesuffix(chat.marks.tail) if chat.marks.tail else rest
    thought = turn.get(chat.marks.field or "")
    if isinstance(thought, str) and not content and not turn.get("tool_calls"):
        # It ran out of room while it was thinking: what closes the block was never generated.
        thought = thought.strip()
        at = rest.rfind(thought)
        if not thought or at < 0:
            return "it was cut within reasoning that " + ("says nothing" if not thought else "the template changes")
        rest = rest[: at + len(thought)]
    return _Part(rest, changed)


def _as_the_template_reads(chat: "ChatTokens", turn: Turn, *, finished: bool) -> Turn:
    """The answer with its reasoning under the name that the template reads, or inline where the recipe says so."""
    content = turn["content"] or ""
    if not finished and chat.marks.field and content.lstrip().startswith(_OPENS) and _CLOSES not in content:
        # A template would take an open block for a text without reasoning and put an empty block before it.
        return {**turn, "content": "", chat.marks.field: content.lstrip().removeprefix(_OPENS).lstrip("\n")}
    if is_plain(turn):
        return turn
    reasoning = turn.get(REASONING_FIELDS[0])
    if not isinstance(reasoning, str):
        return turn
    rest = {name: value for name, value in turn.items() if name != REASONING_FIELDS[0]}
    if chat.reasoning == "inline":
        return rest | {"content": as_text(reasoning, turn["content"] or "")}
    return rest | {chat.marks.field or REASONING_FIELDS[0]: reasoning}


def lost_of_prompt(
    asked: Asked, rendered: str, template: ChatTemplate, again: Callable[[Asked], Rendered]
) -> str | None:
    """What a template does not write of a prompt, as the end of a sentence; None where all of it is there.

    Args:
        asked: the prompt.
        rendered: what the template made of it.
        template: for the names that it knows.
        again: renders another prompt in the same way.
    """
    for at, turn in enumerate(asked.turns):
        said = turn["content"] or ""
        if turn["role"] == "assistant":
            # Templates leave the reasoning of earlier turns out, as their models are asked without it.
            said = said.rpartition("</think>")[2]
        if template.leaves_out(turn["role"]):
            return f"leaves out turn {at} of the prompt, of the role {turn['role']}: {_shown(said)}"
        # Beside calls a text may be left out, and its words stand in the calls all the same.
        if said.strip() not in rendered or (said.strip() and turn.get("tool_calls")):
            other = {**turn, "content": f"{turn['content'] or ''} Sentinel"}
            if again(_with_turn(asked, at, other)) == rendered:
                return f"leaves out turn {at} of the prompt, of the role {turn['role']}: {_shown(said)}"
    if asked.plain:
        return None
    if asked.tools and again(asked._replace(tools=None)) == rendered:
        return "does not write `tools`"
    for name in asked.kwargs:
        if not template.names(name):
            return f"knows no {name!r}, which the row's chat_template_kwargs sets"
    for at, turn in enumerate(asked.turns):
        if turn.get("tool_calls") and again(_with_turn(asked, at, _other_calls(turn))) == rendered:
            return f"does not write the tool_calls of turn {at} of the prompt"
    return None


def lost_of_text(content: str, rendered: str) -> str | None:
    """What a template does not write of a response's text, likewise; white space may go."""
    if content in rendered or squeezed(content) in squeezed(rendered):
        return None
    return f"leaves out a part of the text {_shown(content)}: it ends with {_shown(rendered[-SHOWN:])}"


def lost_of_answer(template: ChatTemplate, asked: Asked, turn: Turn, whole: str) -> str | None:
    """What a template does not write of a response beside its text, likewise."""
    fields = fields_of(turn)
    content = turn["content"] or ""
    if content.strip():  # its words may stand in the reasoning or in the calls, too
        [other] = template.wholes([asked], [{**turn, "content": f"{content} Sentinel"}])
        if other == whole:
            return f"leaves out the text {_shown(content)}"
    for name in REASONING_FIELDS:
        thought = fields.get(name)
        if isinstance(thought, str):
            # Its words may stand elsewhere too: what counts is whether others would stand there.
            [other] = template.wholes([asked], [{**turn, name: f"{thought} Sentinel"}])
            if other == whole or squeezed(thought) not in squeezed(whole):
                return f"does not write its {REASONING_FIELDS[0]}"
    if fields.get("tool_calls"):
        [other] = template.wholes([asked], [_other_calls(turn)])
        if other == whole:
            return "does not write its tool_calls"
    return None


def _with_turn(asked: Asked, at: int, other: Turn) -> Asked:
    return asked._replace(turns=[other if index == at else turn for index, turn in enumerate(asked.turns)])


def _other_calls(turn: Turn) -> Turn:
    """The same turn with its calls under other names."""
    calls = [
        {**call, "function": {**call["function"], "name": f"{call['function'].get('name')}_sentinel"}}
        for call in turn["tool_calls"]
    ]
    return {**turn, "tool_calls": calls}


def _diverges(prompt: str, whole: str) -> str:
    """Why a conversation that does not begin with its prompt cannot be used."""
    same = _agree(prompt, whole)
    return (
        f"the chat template ends the prompt with {_shown(prompt[max(0, same - 20) :])} for generating and goes on "
        f"with {_shown(whole[max(0, same - 20) :])} where this response follows, so no policy generates it from that "
        "prompt. Where thinking makes the difference, policy.chat_template_kwargs can turn it off or on"
    )


def _agree(one: str, other: str) -> int:
    """Characters that two texts have in common at their beginning."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _merged_message(chat: "ChatTokens", side: str, head: Ids, found: Ids) -> str:
    same = int(np.argmin(np.append(head[: len(found)] == found[: len(head)], False)))
    ours = chat.tokens(head[max(0, same - 2) : same + 3])
    theirs = chat.tokens(found[max(0, same - 2) : same + 3])
    return (
        f"the {side} response: its beginning and the end of the prompt are one token: the prompt alone ends in {ours}, "
        f"with the response it goes on as {theirs}. A policy that generates from the prompt cannot write that"
    )


def _begins_with(found: Ragged, heads: Ragged) -> Bools:
    """Whether each row of `found` begins with that row of `heads`."""
    longest = int(heads.lengths.max(initial=0))
    good = found.lengths >= heads.lengths
    for place in range(longest) if longest <= 64 else ():
        rows = np.flatnonzero(good & (heads.lengths > place))
        same = found.values[found.offsets[rows] + place] == heads.values[heads.offsets[rows] + place]
        good[rows[~same]] = False
    if longest > 64:
        for row in np.flatnonzero(good).tolist():
            head = heads.row(row)
            good[row] = np.array_equal(found.row(row)[: len(head)], head)
    return good


def _find_specials(
    chat: "ChatTokens", ids: Ragged, answers: Sequence[Turn], finished: Bools, side: str, errors: Errors
) -> None:
    """Special tokens that texts spell out. The template writes some itself, so their number is compared first."""
    counts = chat.special_counts(ids)
    expected = np.where(finished, chat.plain_specials[1], chat.plain_specials[0])
    suspects = set(np.flatnonzero(counts != expected).tolist())
    suspects |= {row for row, turn in enumerate(answers) if not is_plain(turn)}
    for row in sorted(suspects):
        found = chat.special_in_turn(answers[row])
        if found:
            errors.setdefault(row, special_message(f"{side} response", found))


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")
