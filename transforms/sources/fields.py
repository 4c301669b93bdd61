"""What a row says beside its texts, under the names that people give it: one reading, for every kind.

`pair` makes a Pair of a conversation and of all of this: system prompts, tools, arguments of the chat template, scores,
how the responses ended, token ids, and columns that are not text. A kind that finds one of them in a place of its own
hands it over, and the usual names are then not looked for.
"""

import re
from collections.abc import Collection, Container, Iterable
from typing import Any, Final, NamedTuple

from transforms.errors import RowError
from transforms.sources import endings
from transforms.sources.adapter import row_hash
from transforms.sources.canonical import Message, Pair, Prompt
from transforms.sources.messages import NOT_TEXT, Sides, holds_something, json_text, parsed_json
from transforms.sources.options import SourceOptions
from transforms.sources.rows import Fields, kind_of, opened

SYSTEM: Final = ("system", "system_prompt", "system_message")
TOOLS: Final = ("tools", "functions")
TEMPLATE_KWARGS: Final = "chat_template_kwargs"
TIE: Final = "tie"
EXCLUDED: Final = "excluded"

_SPELLINGS: Final = {
    "score": ("{}_score", "score_{}", "{}-score", "score-{}"),
    "rating": ("{}_rating", "rating_{}", "{}-rating", "rating-{}"),
    "avg_rating": ("{}_avg_rating", "avg_rating_{}", "{}-avg-rating"),
    "reward": ("{}_reward", "reward_{}", "{}-reward", "reward-{}"),
}
# (chosen, rejected), of which the first that is there is read; the others stay unread and are named.
SCORES: Final = tuple(
    (spelled.format("chosen"), spelled.format("rejected")) for names in _SPELLINGS.values() for spelled in names
)
BOTH_SCORES: Final = ("rating", "ratings", "score", "scores", "reward", "rewards")

_PARTS: Final = ("prompt", "chosen", "rejected")
_IDS: Final = ("{}_ids", "{}_token_ids", "{}_input_ids")
TOKEN_IDS: Final = {part: tuple(name.format(part) for name in _IDS) for part in _PARTS}
_LABELS: Final = frozenset(("chosen_labels", "rejected_labels"))

# By what they are of, so that a row pays for what it has.
_OF_TEXT: Final = frozenset((*SYSTEM, *TOOLS, TEMPLATE_KWARGS))
_OF_SCORES: Final = frozenset((*BOTH_SCORES, "status", *(name for names in SCORES for name in names)))
_OF_IDS: Final = frozenset(name for names in TOKEN_IDS.values() for name in names)
_OF_MEDIA: Final = frozenset(NOT_TEXT)
# Of the whole conversation: rows of one prompt that differ in one of these are two conversations.
OF_PROMPT: Final = _OF_TEXT | _OF_MEDIA
SHARED: Final = _OF_TEXT | _OF_SCORES | _OF_IDS | _OF_MEDIA | endings.NAMES
_SILENT: Final = (None, None)  # nothing is said of either side
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")
LEFT_OUT: Final = "rows left out by `exclude`: {}"


class Scores(NamedTuple):
    """Of both sides, on the source's own scale; None where it has none."""

    chosen: float | None = None
    rejected: float | None = None


class Given(NamedTuple):
    """Token ids that came with the texts; None for a part that came without."""

    prompt_ids: tuple[int, ...] | None = None
    chosen_ids: tuple[int, ...] | None = None
    rejected_ids: tuple[int, ...] | None = None


def pair(
    row: Fields,
    options: SourceOptions,
    sides: Sides,
    *,
    source_id: str | None = None,
    scores: tuple[float | None, float | None] | None = None,
    finished: tuple[bool | None, bool | None] = _SILENT,
    given: Given | None = None,
    reason: str | None = None,
    subset: str | None = None,
) -> Pair:
    """The pair that a row says, with all that it says of it.

    Args:
        row: the raw row.
        options: of its source.
        sides: the conversation, as `messages` found it.
        source_id: the row's own id; the hash of its content by default.
        scores: of the two responses, where the kind has them elsewhere than under the usual names.
        finished: whether each response ended by itself, as the kind knows it from elsewhere; None where it does not. It
            may not contradict what the row says under the usual names.
        given: token ids, likewise; a part without any has those under the usual names.
        reason: why the pair will be dropped.
        subset: the part of the source that it belongs to.

    Raises:
        RowError: something that cannot be honoured, by the name of its column.
    """
    prompt, chosen, rejected, chosen_ending, rejected_ending = sides
    source_id = source_id or row_hash(row.raw)
    said = chosen_ending, rejected_ending
    beside = SHARED.intersection(row.raw)
    if not beside and said == finished == _SILENT and given is None:  # most rows say nothing else
        texts = chosen.content, rejected.content
        more = chosen.more, rejected.more
        return Pair(source_id, prompt, *texts, *(scores or _SILENT), True, True, reason, subset, *more)
    further: dict[str, Any] = {}
    ended = (True, True)
    if not beside.isdisjoint(_OF_MEDIA):
        refuse_what_is_not_text(row)
    if not beside.isdisjoint(_OF_TEXT):
        prompt = with_system(prompt, row)
        further = {"tools": tools(row), "template_kwargs": template_kwargs(row)}
    if not beside.isdisjoint(_OF_SCORES):
        if scores is None:
            scores = row_scores(row)
        status = row.peek("status")
        if reason is None and isinstance(status, str) and status.strip().lower() == TIE:
            reason = _tied(row, scores)
    if options.token_ids == "use" and (given or not beside.isdisjoint(_OF_IDS)):
        of_row = given_ids(row)
        further |= Given(*(mine or theirs for mine, theirs in zip(given or of_row, of_row, strict=True)))._asdict()
    if said != _SILENT or finished != _SILENT or not beside.isdisjoint(endings.NAMES):
        ended = endings.finished_sides(row, said, finished)
    better, worse = scores or _SILENT
    return Pair(
        source_id,
        prompt,
        chosen.content,
        rejected.content,
        better,
        worse,
        ended[0],
        ended[1],
        reason,
        subset,
        chosen.more,
        rejected.more,
        **further,
    )


def left_out(row: Fields, values: Iterable[object], exclude: Collection[str]) -> str | None:
    """The reason of a row that has a value which the recipe's `exclude` names, and counts each such value in a note.

    A value that is named and never met is a note, too, once all rows are read (`not_met`): a typo leaves nothing out.
    """
    met = sorted({value for value in values if isinstance(value, str)}.intersection(exclude))
    for value in met:
        row.note(LEFT_OUT.format(value))
    return EXCLUDED if met else None


def not_met(exclude: Iterable[str], notes: Container[str]) -> list[str]:
    """Notes for the values of `exclude` that no row of a source has."""
    return [f"value of `exclude` that no row has: {value}" for value in exclude if LEFT_OUT.format(value) not in notes]


def refuse_what_is_not_text(row: Fields) -> None:
    """Refuse a row with something in one of the columns for pictures, sounds and films.

    Raises:
        RowError: by the column's name.
    """
    for name in NOT_TEXT:
        if name in row and holds_something(row.get(name)):
            message = f"the column {name} holds something that is not text, and the row is about it; expected text only"
            raise RowError(message)


def row_id(row: Fields, *names: str) -> str | None:
    """The first of the columns that holds an id, as text; None where none does."""
    for name in names:
        if (found := text_id(row.get(name))) is not None:
            return found
    return None


def text_id(value: object) -> str | None:
    """A raw id as text, or None where it is none that can be used."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def number(value: object, what: str) -> float | None:
    """A raw score as a float, numbers as text too; None for null.

    Raises:
        RowError: not a number. `N/A` is none either: that it says nothing has to be seen, and costs this row alone.
    """
    if value is None or type(value) is float:
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"{what} is {kind_of(value)}, expected a number"
        raise RowError(message)
    try:
        return float(value)
    except OverflowError:
        message = f"{what} is a number of {len(str(value)):,} digits, expected a score"
        raise RowError(message) from None


def row_scores(row: Fields) -> Scores:
    """Scores under the first of their usual names that the row has.

    Raises:
        RowError: one that is no number.
    """
    raw = row.raw
    for better, worse in SCORES:
        if (better in raw or worse in raw) and (raw.get(better) is not None or raw.get(worse) is not None):
            return Scores(number(row.get(better), better), number(row.get(worse), worse))
    for name in BOTH_SCORES:
        value = opened(row.peek(name))
        if isinstance(value, list) and len(value) == 2 and endings.in_order_of_sides(row):
            row.get(name)
            return Scores(number(value[0], f"{name}[0]"), number(value[1], f"{name}[1]"))
        if isinstance(value, dict) and not value.keys().isdisjoint(endings.SIDES):
            row.get(name)
            return Scores(*(number(value.get(side), f"{name}.{side}") for side in endings.SIDES))
    return Scores()


def _tied(row: Fields, scores: tuple[float | None, float | None]) -> str:
    row.get("status")
    if scores[0] != scores[1]:
        message = f"status is tie and the scores are {scores[0]} and {scores[1]}; expected equal ones"
        raise RowError(message)
    return TIE


def with_system(prompt: Prompt, row: Fields) -> Prompt:
    """The prompt, its system turn from the column that holds one.

    Raises:
        RowError: no text, or two that differ.
    """
    found = ""
    for name in SYSTEM:
        value = row.get(name) if name in row else None
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            message = f"{name} is {kind_of(value)}, expected the system prompt as text"
            raise RowError(message)
        if value.isspace():
            continue
        if not prompt or prompt[0].role != "system":
            prompt, found = (Message("system", value), *prompt), name
        elif prompt[0].content.strip() != value.strip():
            other = f"the conversation's own system turn {prompt[0].content[:60]!r}"
            if found:
                other = f"{found} {row.peek(found)[:60]!r}"
            message = f"{name} is {value[:60]!r} and {other}; expected one system prompt"
            raise RowError(message)
    return prompt


def tools(row: Fields) -> str:
    """Functions that the assistant may call, as JSON text of a list; empty for none.

    Raises:
        RowError: neither a list of objects nor JSON text of one; two columns of them.
    """
    found = ""
    for name in TOOLS:
        value = row.get(name) if name in row else None
        if isinstance(value, str) and value.strip():
            value = _parsed(value, name, "a list of functions")
        if value is None or value in ("", [], {}) or (isinstance(value, str) and value.isspace()):
            continue
        listed = [_parsed(one, name, "a function") if isinstance(one, str) else one for one in _as_list(value)]
        if not all(isinstance(one, dict) for one in listed):
            message = f"{name} is {kind_of(value)}, expected a list of functions as objects"
            raise RowError(message)
        listed = [_with_parameters(one) for one in listed]
        if name == "functions":  # OpenAI's old way to write them, bare
            listed = [one if "function" in one else {"type": "function", "function": one} for one in listed]
        if found and found != json_text(listed, name):
            message = f"{' and '.join(TOOLS)} hold different functions, expected one list"
            raise RowError(message)
        found = json_text(listed, name)
    return found


def _with_parameters(tool: dict[str, Any]) -> dict[str, Any]:
    """A function whose parameters are an object, as a template prints them, and not the JSON text of one.

    No two functions have the same parameters, so tables like to keep them as text.
    """
    inner = tool.get("function")
    body = inner if isinstance(inner, dict) else tool
    if not isinstance(body.get("parameters"), str):
        return tool
    parsed = body | {"parameters": _parsed(body["parameters"], "the parameters of a function", "an object")}
    return tool | {"function": parsed} if body is inner else parsed


def template_kwargs(row: Fields) -> str:
    """The row's own arguments of the chat template, as JSON text of an object; empty for none.

    Raises:
        RowError: neither an object nor JSON text of one.
    """
    value = row.get(TEMPLATE_KWARGS) if TEMPLATE_KWARGS in row else None
    if isinstance(value, str) and value.strip():
        value = _parsed(value, TEMPLATE_KWARGS, "an object")
    if value is None or value in ("", {}):
        return ""
    if not isinstance(value, dict):
        message = f"{TEMPLATE_KWARGS} is {kind_of(value)}, expected an object"
        raise RowError(message)
    return json_text(value, TEMPLATE_KWARGS)


def given_ids(row: Fields) -> Given:
    """Token ids that the row brings along.

    `*_input_ids` beside `*_labels` are of prompt and response together, as TRL wrote them long ago: they stay unread.

    Raises:
        RowError: something else than token ids.
    """
    spellings = _IDS if all(row.peek(name) is None for name in _LABELS) else _IDS[:2]
    found: dict[str, tuple[int, ...] | None] = dict.fromkeys(_PARTS)
    for part in _PARTS:
        for name in (spelled.format(part) for spelled in spellings):
            if found[part] is None and name in row:
                found[part] = token_ids(row.get(name), name)
    return Given(*found.values())


def token_ids(value: object, what: str) -> tuple[int, ...] | None:
    """Raw token ids; None for null.

    Raises:
        RowError: anything but a list of whole numbers that could be token ids.
    """
    if value is None:
        return None
    if not isinstance(value, list) or not value:
        message = f"{what} is {'empty' if value == [] else kind_of(value)}, expected a list of token ids"
        raise RowError(message)
    for at, one in enumerate(value):
        if type(one) is not int or not 0 <= one < 2**31:
            message = f"{what}[{at}] is {kind_of(one)}, expected a token id"
            raise RowError(message)
    return tuple(value)


def _parsed(text: str, name: str, expected: str) -> Any:
    try:
        return parsed_json(text)
    except ValueError as error:
        message = f"{name} is {kind_of(text)}, which is no JSON ({error}); expected {expected}"
        raise RowError(message) from None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
