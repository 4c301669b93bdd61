"""What a template writes around a response, found by rendering a few conversations, and back to what was said.

Between a prompt and the text that answers it a template may write more than a header: an empty thinking block
(Qwen3), a channel (gpt-oss), a space (Llama 2), or the header itself where it knows no generation prompt. A policy has
to generate those tokens, so they are part of the response. They are the same for every response, so they are no part of
what a truncation measures (transforms/preparation/truncation.py).
"""

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from transforms.chat.conversation import Asked, Turn, answer
from transforms.chat.template import ChatTemplate

ASKED: Final = Asked([{"role": "user", "content": "Sentinel question"}])
SAID: Final = "Sentinel answer"
THOUGHT: Final = "Sentinel thought"
# The first of these that a template reads is the one that reasoning is handed over in.
REASONING_FIELDS: Final = ("reasoning_content", "thinking", "reasoning")
# How reasoning stands in a text whose template has no field for it.
INLINE: Final = ("<think>\n", "\n</think>\n\n")
_SPACE: Final = re.compile(r"\s+")
_INLINE_THOUGHT: Final = re.compile(r"\s*<think>.*?(?:</think>\s*|\Z)", re.DOTALL)


class Said(NamedTuple):
    """What a response says once the template's own marks are off."""

    text: str
    reasoning: str | None = None
    closed: bool = True  # whether the reasoning came to an end


class TurnMarks(NamedTuple):
    """What a template writes around a response.

    Attributes:
        lead: before the text of a plain response; None where a plain response does not follow the prompt.
        tail: between the text and the end-of-turn.
        field: the message field that its reasoning is read from; None where it reads none.
        opens: before the reasoning, in the response's part of the conversation.
        closes: between the reasoning and the text.
    """

    lead: str | None
    tail: str
    field: str | None = None
    opens: str = ""
    closes: str = ""

    def said(self, response: str) -> Said:
        """A response as it was rendered or generated, up to its end-of-turn, as text and reasoning."""
        if self.lead and response.startswith(self.lead):
            return Said(response[len(self.lead) :])
        if self.closes and response.startswith(self.opens):
            thought, closes, text = response[len(self.opens) :].partition(self.closes)
            if closes:
                return Said(text, thought)
            # The mark before the text may have been cut in two, or the text trimmed with what stands after it.
            thought, closes, text = response[len(self.opens) :].partition(self.closes.strip())
            return Said(text.lstrip(), thought.rstrip()) if closes else Said("", thought, closed=False)
        if self.lead and self.lead.startswith(response):
            return Said("")
        return Said(response)


def learn(template: ChatTemplate, end_of_turn: str) -> TurnMarks:
    """Find the marks by rendering sentinels.

    Args:
        template: of the family.
        end_of_turn: the text of its end-of-turn token.

    Raises:
        Exception: whatever the template raises at a plain question and answer.
    """
    prompt = template.one(ASKED.turns, generation=True)
    whole = _whole(template, answer(SAID))
    lead = _between(whole, prompt, SAID)
    tail = whole[whole.rindex(SAID) + len(SAID) :].partition(end_of_turn)[0]
    field = reasoning_field(template)
    if field:
        rendered = _whole(template, answer(SAID, {field: THOUGHT}))
        opens = _between(rendered, prompt, THOUGHT)
        if opens is not None:
            closes = rendered[rendered.rindex(THOUGHT) + len(THOUGHT) : rendered.rindex(SAID)]
            return TurnMarks(lead, tail, field, opens, closes)
    # A generation prompt that opens the block itself leaves a text with reasoning only the rest of it.
    inline = _attempt(template, answer(as_text(THOUGHT, SAID))) or ""
    opens = _between(inline, prompt, THOUGHT)
    if opens is not None and opens != f"{lead or ''}{INLINE[0]}":
        closes = inline[inline.rindex(THOUGHT) + len(THOUGHT) : inline.rindex(SAID)]
        return TurnMarks(lead, tail, field, opens, closes)
    return TurnMarks(lead, tail, field)


def reasoning_field(template: ChatTemplate) -> str | None:
    """The message field from which a template writes the reasoning of a response; None where it writes none."""
    for field in REASONING_FIELDS:
        rendered = _attempt(template, answer(SAID, {field: THOUGHT}))
        if rendered and THOUGHT in rendered and SAID in rendered:
            return field
    return None


def as_decoded(marks: TurnMarks, plain: str | None, reasoned: str | None) -> TurnMarks:
    """The same marks as they come out of the tokenizer again.

    Not always what the template wrote: a SentencePiece vocabulary puts a space behind a special token, so that
    ` The` behind `[/INST]` is decoded with two.

    Args:
        marks: as the template writes them.
        plain: tokens of the sentinel answer as text, None where there is none.
        reasoned: likewise, with the sentinel thought.

    Raises:
        ValueError: the text is not the one that was encoded.
    """
    found = marks
    if plain is not None:
        lead, said, tail = plain.partition(SAID)
        if not said:
            message = f"{SAID!r} comes out of the tokenizer as {plain!r}"
            raise ValueError(message)
        found = found._replace(lead=lead, tail=tail)
    if reasoned is not None:
        opens, _, rest = reasoned.partition(THOUGHT)
        closes, said, tail = rest.partition(SAID)
        if not said:
            message = f"{THOUGHT!r} and {SAID!r} come out of the tokenizer as {reasoned!r}"
            raise ValueError(message)
        found = found._replace(opens=opens, closes=closes, tail=tail)
    return found


def as_text(reasoning: str, text: str, *, closed: bool = True) -> str:
    """Reasoning and text in one, as models without a field for reasoning write it."""
    return f"{INLINE[0]}{reasoning}{INLINE[1]}{text}" if closed else f"{INLINE[0]}{reasoning}"


def without_thought(text: str) -> str:
    """`text` without the reasoning that stands in front of it between <think> and </think>, or to its end."""
    found = _INLINE_THOUGHT.match(text)
    return text[found.end() :] if found else text


def squeezed(text: str) -> str:
    """`text` without white space, for comparing what a template trims."""
    return _SPACE.sub("", text)


def marks_in(marks: TurnMarks, texts: Iterable[str]) -> bool:
    """Whether any of `texts` stands in a mark."""
    return any(text in mark for text in texts for mark in (marks.lead or "", marks.opens, marks.closes))


def _whole(template: ChatTemplate, turn: Turn, asked: Asked = ASKED) -> str:
    return template.one([*asked.turns, turn], generation=False, asked=asked)


def _attempt(template: ChatTemplate, turn: Turn) -> str | None:
    try:
        return _whole(template, turn)
    except Exception:  # noqa: BLE001 - a template that refuses a field reads none
        return None


def _between(whole: str, prompt: str, text: str) -> str | None:
    """What stands between the prompt and the text; None where the conversation does not begin with the prompt."""
    return (
        whole[len(prompt) : whole.rindex(text)] if whole.startswith(prompt) and text in whole[len(prompt) :] else None
    )


def fields_of(turn: Turn) -> dict[str, Any]:
    """What a turn has beside role and content."""
    return {name: value for name, value in turn.items() if name not in ("role", "content")}
