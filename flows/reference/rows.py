"""docs/reference/rows.md as text: the names under which rows say what is not in their texts."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from transforms.sources import endings, fields, marks, messages

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

_ABOUT: Final = """\
What a row may say beside its texts, and the names that are read, by every [kind](sources.md). What is none of them, and
none of the kind's own columns, is not read: the funnel, the report and the card name it with its values that are not
null, and `columns_read` and `columns_unread` of [manifest.json](manifest.md) have the whole list. A field inside
messages is named by its column, such as `chosen[].weight`.
"""
_MESSAGES: Final = """\
A column of messages holds a list of objects with `role` and `content` (or `from` and `value`), one such object, or the
JSON text of either. A content may be a list of parts, if all of them are text. Two conversations have the messages that
they share as their prompt.
"""
_END: Final = (
    "`SIDE_finished`, `SIDE_truncated`, `SIDE_finish_reason`, `finish_reason_SIDE`, `finish_reason` as"
    " {chosen, rejected} or a list of two where no other order of responses is there, likewise `finish_reasons`,"
    " `finishReason`, `done_reason`, `finished`, `truncated`, and `stop_reason` where none of these is there; all of"
    " these as they are beside one response (`kto`, `helpsteer2`, and in lists of several responses);"
    " beside a list of all responses (`onpolicy`, `distilabel`) a list of "
)
_MARKS: Final = """\
Marks that are found in texts, whatever the tokenizer; `filters.foreign_template` says what becomes of their pairs. Of
Vicuna and Alpaca a text must have both marks, and `<s>` … `</s>` within a text are struck-out words.
"""


def rows_page(table: Table) -> str:
    """The page; `table` makes Markdown of a head and rows."""
    return "\n".join(
        [
            "# Rows\n",
            _ABOUT,
            "## Messages\n",
            _MESSAGES,
            table(("role", "is written"), [(f"`{role}`", _code(names)) for role, names in _roles().items()]),
            table(("field", "read as"), _fields()),
            "## Columns beside the texts\n",
            table(("what", "columns, of several the first that holds something", "becomes"), _columns()),
            "## How a response ended\n",
            "In any case, with `FINISH_REASON_` or an enum's name before it. Any other word is an error of its row.\n",
            table(("means", "words"), _words()),
            "## Marks of chat templates\n",
            _MARKS,
            table(
                ("family", "marks"), [(name, _code(map(str.strip, found))) for name, found in marks.FAMILIES.items()]
            ),
            "## Places of what is not text\n",
            f"A prompt or response with one of {_code(marks.PLACEHOLDERS)}, `<|image_1|>`, `<image_1>`, `<image 1>` and"
            " their like is quarantined; so is one with `<image>`, `<audio>` or `<video>`, unless they are HTML: in"
            ' code, with a closing tag in the same text, or before the word "tag", "element" and their like.\n',
        ]
    )


def _roles() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, role in messages.ROLES.items():
        found.setdefault(role, []).append(name)
    return found


def _fields() -> list[tuple[str, str]]:
    return [
        ("`tool_calls`, `function_call`, or a turn of the role " + " or ".join(f"`{one}`" for one in messages.CALLING),
         "calls as OpenAI writes them, arguments as an object; beside them a content may be null or missing"),
        (_code(messages.REASONING), "`reasoning_content`, of assistant turns"),
        ("`name`, `tool_call_id`", "themselves"),
        (_code(messages.ENDINGS), "how the response ended, in the last message"),
        (f"{_code(messages.NOT_TEXT)}, `tools`, `functions`", "an error of the row, if they hold anything"),
    ]  # fmt: skip


def _columns() -> list[tuple[str, str, str]]:
    scores = ", ".join(f"`{chosen}` and `{rejected}`" for chosen, rejected in fields.SCORES)
    both = _code(fields.BOTH_SCORES)
    ids = ", ".join(f"`{name}`" for names in zip(*fields.TOKEN_IDS.values(), strict=True) for name in names)
    return [
        ("system prompt", _code(fields.SYSTEM),
         "the first turn; an error where another stands there, or in another of these columns"),
        ("functions", _code(fields.TOOLS), "`tools` of the chat template; a list, or JSON text of one"),
        ("template", f"`{fields.TEMPLATE_KWARGS}`", "further arguments of the chat template"),
        ("scores", f"{scores}; {both} as [chosen, rejected] or an object, where no other order of responses is there",
         "`chosen_score`, `rejected_score`; numbers as text are numbers, `N/A` is an error of its row"),
        ("a tie", "equal scores, or `status`, where it is `tie`, in any case",
         "dropped as a tie; an error where the scores differ"),
        ("the other way", "a chosen score below the rejected one, in layouts that say which side is chosen",
         "kept as labelled, for scores may be another judge's; counted below the funnel"),
        ("the end", _END + _code(endings.LISTS),
         "`chosen_finished`, `rejected_finished`: a response that was cut has no end-of-turn"),
        ("token ids", ids, "taken as they are where the source's `token_ids` is `use`, after a check against the text"),
        ("not text", _code(messages.NOT_TEXT), "an error of the row, if they hold anything"),
    ]  # fmt: skip


def _words() -> list[tuple[str, str]]:
    return [
        ("it ended by itself", _code(sorted(endings.FINISHED))),
        ("it was cut: no end-of-turn", _code(sorted(endings.CUT))),
        ("it is no response: an error of the row", _code(sorted(endings.NO_RESPONSE))),
    ]


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
