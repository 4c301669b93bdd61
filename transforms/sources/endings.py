"""How a response ended, in the words of whoever sampled it. One that ran out of room has no end-of-turn.

A response that was cut short by its sampler is the beginning of what the model would have said, whatever cut it:
tokens, time, or a client that went away. One that a filter stopped or an error ended is nobody's response: its text may
be missing, blanked or another's, and the row is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from transforms.errors import RowError
from transforms.sources.rows import Fields, kind_of, opened

SIDES: Final = ("chosen", "rejected")
# As `_plain` writes them. OpenAI and vLLM, Anthropic, Gemini, TGI, Cohere, Ollama, llama.cpp.
FINISHED: Final = frozenset(
    (
        "stop", "eos", "eos_token", "eos_token_id", "end_turn", "end_of_turn", "stop_sequence", "stop_token",
        "complete",
        "completed", "finished", "tool_calls", "tool_call", "tool_use", "function_call",
    )
)  # fmt: skip
CUT: Final = frozenset(
    (
        "length", "max_tokens", "max_length", "max_new_tokens", "max_output_tokens", "max_completion_tokens", "limit",
        "model_context_window_exceeded", "context_length", "context_length_exceeded", "error_limit", "incomplete",
        "truncated", "abort", "aborted", "cancelled", "canceled", "user_cancel", "timeout", "pause_turn", "repetition",
    )
)  # fmt: skip
NO_RESPONSE: Final = frozenset(
    (
        "content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii", "image_safety", "language",
        "other", "refusal", "error", "error_toxic", "malformed_function_call", "unexpected_tool_call",
    )
)  # fmt: skip
_STEMS: Final = ("finish_reason", "finish_reasons", "finishReason", "done_reason")
# vLLM says there which string or token stopped it, beside a finish_reason: it is read only where that is missing.
_SECOND_STEMS: Final = ("stop_reason", "stop_reasons")


def _spellings(stem: str, side: str) -> tuple[str, ...]:
    return f"{side}_{stem}", f"{stem}_{side}", f"{side}-{stem}"


_FLAGS: Final = {
    side: {
        **dict.fromkeys((f"{side}_finished", f"finished_{side}"), True),
        **dict.fromkeys((f"{side}_truncated", f"truncated_{side}"), False),
    }
    for side in SIDES
}
_BOTH_FLAGS: Final = ("finished", "truncated")
NAMES: Final = frozenset(
    (
        *_STEMS, *_SECOND_STEMS, *_BOTH_FLAGS,
        *(name for flags in _FLAGS.values() for name in flags),
        *(name for stem in (*_STEMS, *_SECOND_STEMS) for side in SIDES for name in _spellings(stem, side)),
    )
)  # fmt: skip
# Of all responses of a prompt, in their order.
LISTS: Final = (
    "all_finish_reasons", "all_generated_finish_reasons", "finish_reasons", "finish_reason", "all_finished", "finished",
    "all_truncated", "truncated", "all_stop_reasons", "stop_reasons",
)  # fmt: skip
# Responses in an order of their own: a list of two beside them is of the first and the second of them, not of chosen
# and rejected.
_OTHER_ORDER: Final = frozenset(
    (
        "generations", "completions", "responses", "candidates", "order", "answers", "models",
        "all_generated_responses", "new_generations",
    )
)  # fmt: skip
_OF_SIDES: Final = ("chosen", "chosen_response")


def in_order_of_sides(row: Fields) -> bool:
    """Whether a list of two in a row is of [chosen, rejected]: it has these, and no responses in another order."""
    # A table gives every row the columns of all others, null where it has none.
    return any(row.peek(name) is not None for name in _OF_SIDES) and all(
        row.peek(name) is None for name in _OTHER_ORDER
    )


def finished(value: object, what: str) -> bool | None:
    """Whether a response ended by itself, by a reason or a flag; None where the source says nothing.

    Raises:
        RowError: an unknown word, or one that says that the text is no response.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        message = f"{what} is {kind_of(value)}, expected a finish reason or true or false"
        raise RowError(message)
    word = _plain(value)
    if word in ("true", "false"):
        return word == "true"
    if word in FINISHED:
        return True
    if word in CUT:
        return False
    if word in NO_RESPONSE:
        message = f"{what} is {value!r}: what was sampled was stopped from outside and is no response to train on"
        raise RowError(message)
    message = (
        f"{what} is {value!r}, an unknown finish reason; expected one such as stop, end_turn or eos_token (finished),"
        " or length or max_tokens (cut)"
    )
    raise RowError(message)


def finished_sides(
    row: Fields, of_messages: Sequence[Any], known: Sequence[bool | None] = (None, None)
) -> tuple[bool, bool]:
    """Whether each side ended by itself, by whatever the row says of it; a side of which it says nothing did.

    Args:
        row: of columns.
        of_messages: what the last messages of the sides said.
        known: what the kind knows from elsewhere.

    Raises:
        RowError: as `finished`; or two statements that contradict each other.
    """
    return _side(row, 0, of_messages[0], known[0]), _side(row, 1, of_messages[1], known[1])


def _side(row: Fields, at: int, of_message: Any, known: bool | None) -> bool:
    side = SIDES[at]
    said = {name: _flag(row.get(name), name, holds) for name, holds in _FLAGS[side].items() if name in row}
    said |= _reasons(row, at, (*_BOTH_FLAGS, *_STEMS))
    said[f"the message of {side}"] = finished(of_message, f"the finish reason in {side}")
    said["the response among all others"] = known
    if all(value is None for value in said.values()):
        said |= _reasons(row, at, _SECOND_STEMS)
    return _the_one(said, side) is not False


def _the_one(said: Mapping[str, bool | None], side: str) -> bool | None:
    stated = {name: value for name, value in said.items() if value is not None}
    if len(set(stated.values())) > 1:
        words = ", ".join(f"{name} says {'finished' if value else 'cut'}" for name, value in stated.items())
        message = f"{side} cannot be both finished and cut: {words}"
        raise RowError(message)
    return next(iter(stated.values()), None)


def _reasons(row: Fields, at: int, stems: Sequence[str]) -> dict[str, bool | None]:
    """What columns of these names say of one side: `chosen_STEM`, or `STEM` for both sides at once."""
    spelled = (name for stem in stems for name in _spellings(stem, SIDES[at]) if name in row)
    found = {name: _reason(row.get(name), name) for name in spelled}
    for stem in stems:
        value = opened(row.peek(stem))
        if isinstance(value, list) and len(value) == len(SIDES) and in_order_of_sides(row):
            found[f"{stem}[{at}]"] = _reason(value[at], f"{stem}[{at}]")
        elif isinstance(value, dict) and value.keys() & {*SIDES}:
            found[f"{stem}.{SIDES[at]}"] = _reason(value.get(SIDES[at]), f"{stem}.{SIDES[at]}")
        elif isinstance(value, str | bool):
            found[stem] = _reason(value, stem)
            if found[stem] is False:
                message = f"{stem} is {value!r} and does not say of which response: give it as {{chosen, rejected}}"
                raise RowError(message)
        else:  # null, or something else by this name, which stays unread
            continue
        row.get(stem)
    return found


def finished_one(row: Fields, place: str = "", *, of: str = "", of_message: Any = None) -> bool | None:
    """Whether the one response of a row or an object ended by itself; None where nothing there says it.

    Args:
        row: what the response lies in.
        place: where that is, for errors, such as `answers[0].`.
        of: what the names may begin with, such as `completion_`.
        of_message: what the response's message said.

    Raises:
        RowError: as `finished`; or two statements that contradict each other.
    """
    said = {"its message": finished(of_message, f"the finish reason of {place or 'the message'}")}
    for stems in ((*_BOTH_FLAGS, *_STEMS), _SECOND_STEMS):
        names = (name for stem in stems for name in dict.fromkeys((stem, of + stem)) if name in row)
        if all(value is None for value in said.values()):
            said |= {name: _reason(row.get(name), place + name) for name in names}
    return _the_one(said, place.rstrip(".") or f"the {of.rstrip('_') or 'response'}")


def finished_responses(row: Fields, count: int) -> list[bool | None]:
    """Whether each of the responses of a prompt ended by itself, from a list beside them.

    Raises:
        RowError: not as many as responses; or as `finished`.
    """
    for name in LISTS:
        values = opened(row.peek(name))
        if isinstance(values, list) and any(value is not None for value in values):
            row.get(name)
            if len(values) != count:
                message = f"{len(values)} {name} for {count} responses, expected equally many"
                raise RowError(message)
            return [_reason(value, f"{name}[{at}]") for at, value in enumerate(values)]
    return [None] * count


def _flag(value: object, name: str, holds: bool) -> bool | None:
    if value is None:
        return None
    said = value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).strip().lower())
    if said is None:
        message = f"{name} is {kind_of(value)}, expected true or false"
        raise RowError(message)
    return said is holds


def _reason(value: object, what: str) -> bool | None:
    if "truncated" in what:
        return _flag(value, what, False)
    # vLLM's stop_reason may be the id of the token that stopped it.
    if isinstance(value, int) and not isinstance(value, bool) and "stop" in what:
        return True
    return finished(value, what)


def _plain(word: str) -> str:
    """A reason as the tables above spell it: `FinishReason.MAX_TOKENS` and `FINISH_REASON_MAX_TOKENS` are one."""
    plain = word.strip().rsplit(".", 1)[-1].lower().replace("-", "_").replace(" ", "_")
    return plain.removeprefix("finish_reason_").removeprefix("finishreason_")
