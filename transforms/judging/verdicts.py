"""What a judge's answer says, or why it cannot be read. Nothing is guessed, clamped or filled in."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from transforms.judging.prompts import VERDICTS, Form
from transforms.text import one_line, visible_plain

MARGINS: Final[Mapping[str, float]] = {"first": 1.0, "second": -1.0, "tie": 0.0}
_JSON_MARKS: Final = frozenset('{}"')
_SHOWN: Final = 80  # characters of an answer that cannot be read


class Judgement(NamedTuple):
    """What an answer says: the margin of the first response over the second, or a score with its aspects."""

    value: float  # +1, 0 or -1; the mean of the aspects
    values: list[float] | None = None  # by aspect


def judgement(text: str | None, finish_reason: str | None, refusal: str | None, form: Form) -> Judgement | str:
    """What an answer says; a string says why it cannot be read.

    Args:
        text: as the judge wrote it.
        finish_reason: as the server gave it; an answer that ran out of room is never read.
        refusal: what a server puts beside the answer where the model would not.
        form: what was asked for.
    """
    if refusal:
        return f"the judge refused: {_shown(refusal)}"
    if finish_reason == "length":
        return f"the judge's answer ran out of max_tokens: {_shown(text)}"
    if finish_reason not in (None, "stop"):
        return f"the judge's answer ended by {_shown(finish_reason)}, expected stop: {_shown(text)}"
    if not text or not text.strip():
        return "the judge's answer is empty"
    try:
        found = _object(text) if form.structured == "json_schema" else _last_object(text)
    except (ValueError, RecursionError):
        return f"the judge's answer is no JSON object that can be read: {_shown(text)}"
    return _ratings(found, form, text) if form.aspects else _verdict(found, text)


def _verdict(found: dict[str, Any], text: str) -> Judgement | str:
    verdict = found.get("verdict")
    if not isinstance(verdict, str) or verdict not in MARGINS:
        return f"the judge's answer has no verdict that is one of {', '.join(VERDICTS)}: {_shown(text)}"
    return Judgement(MARGINS[verdict])


def _ratings(found: dict[str, Any], form: Form, text: str) -> Judgement | str:
    low, high = form.scale
    for aspect in form.aspects:
        value = found.get(aspect)
        if type(value) is not int or not low <= value <= high:  # True is an int too
            return f"the judge's answer has no whole number from {low} to {high} for {aspect}: {_shown(text)}"
    values = [float(found[aspect]) for aspect in form.aspects]
    return Judgement(sum(values) / len(values), values)


def _object(text: str) -> dict[str, Any]:
    return _as_object(_DECODER.decode(text))


def _last_object(text: str) -> dict[str, Any]:
    """The last JSON object of a text, unless it is a part of a half one or a half one follows it.

    Raises:
        ValueError: there is none.
    """
    at, end, last = text.find("{"), 0, None
    while at >= 0:
        try:
            last, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            last, end = None, at + 1
        at = text.find("{", end)
    if not _JSON_MARKS.isdisjoint(text[end:]):
        raise ValueError
    return _as_object(last)


def _as_object(found: object) -> dict[str, Any]:
    if not isinstance(found, dict):
        message = "no object"
        raise ValueError(message)  # noqa: TRY004  # as for what is no JSON
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # two verdicts
        raise ValueError
    return found


def _no_number(name: str) -> float:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)


def _shown(text: str | None) -> str:
    """The first characters of what a model wrote, harmless on a terminal."""
    return repr(one_line(visible_plain(text or ""), _SHOWN))
