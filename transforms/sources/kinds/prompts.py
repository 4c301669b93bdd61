"""Prompts without responses: what `python -m flows.generate` answers.

Raw rows::

    {"prompt": "Name three rivers."}
    {"prompt": [{"role": "user", "content": "Name three rivers."}], "system": "Be brief."}
    {"messages": [{"role": "user", "content": "Name three rivers."},
                  {"role": "assistant", "content": "The Nile, the Rhine and the Po."}]}
    {"instruction": "Translate into German.", "input": "three rivers", "output": "drei Flüsse"}
    {"question_id": 81, "category": "writing", "turns": ["Name three rivers.", "Which is the longest?"]}

An assistant's turn at the end of messages is an answer, and what is to be generated: it is left out, and counted. Of
`turns`, user turns as MT-Bench has them, the first is the prompt: the second is asked once the first is answered
(`flows.export --to mt_bench_second_turns`), and is counted too.
Optional columns: `id` (or `prompt_id`), a system prompt, `tools` and `chat_template_kwargs` as for every kind.
"""

from typing import Final, Literal

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import SourceKind, row_hash
from transforms.sources.canonical import Adapted, Message, Prompt, Question
from transforms.sources.fields import refuse_what_is_not_text, row_id, template_kwargs, tools, with_system
from transforms.sources.messages import asked
from transforms.sources.options import SourceOptions
from transforms.sources.rows import Fields, kind_of

COLUMNS: Final = ("prompt", "messages", "conversation", "conversations", "instruction", "question", "query", "text")
TURNS: Final = "turns"
ANSWERED: Final = "prompts whose last turn was an assistant's: it is left out, being what is to be generated"
LATER_TURNS: Final = "further user turns of `turns`: left out, for they are asked once the first is answered"
WITH_INPUT: Final = "prompts of instruction and input, two line breaks between them"


class PromptsOptions(SourceOptions):
    """No keys of its own."""

    kind: Literal["prompts"]


def adapt(row: Fields, options: PromptsOptions) -> Adapted:
    """One row, one prompt.

    Raises:
        RowError: no column with a prompt, or one that holds something else.
    """
    refuse_what_is_not_text(row)
    name = next((one for one in (*COLUMNS, TURNS) if row.peek(one) not in (None, "", [])), None)
    if name is None:
        found = next((one for one in (*COLUMNS, TURNS) if one in row), None)
        problem = f"{found} is {row.get(found)!r}" if found else f"none of the columns {', '.join((*COLUMNS, TURNS))}"
        message = f"{problem}; expected a prompt, as text or messages"
        raise RowError(message)
    prompt = _first_turn(row) if name == TURNS else _without_answer(asked(row, name), row)
    further = row.get("input") if name == "instruction" else None
    if isinstance(further, str) and further.strip() and len(prompt) == 1:
        prompt = (Message("user", f"{prompt[0].content}\n\n{further}"),)
        row.note(WITH_INPUT)
    prompt = with_system(prompt, row)
    source_id = row_id(row, "id", "prompt_id") or row_hash(row.raw)
    return Adapted([], prompt, question=Question(source_id, prompt, tools(row), template_kwargs(row)))


def _first_turn(row: Fields) -> Prompt:
    """The first of several user turns that are plain texts.

    Raises:
        RowError: `turns` is anything else: messages with roles stand in `messages`.
    """
    turns = row.get(TURNS)
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        message = (
            f"{TURNS} is {kind_of(turns)}, expected a list of the user's turns as texts; messages go into `messages`"
        )
        raise RowError(message)
    for _ in turns[1:]:
        row.note(LATER_TURNS)
    return (Message("user", turns[0]),)


def _without_answer(prompt: Prompt, row: Fields) -> Prompt:
    if len(prompt) > 1 and prompt[-1].role == "assistant":
        row.note(ANSWERED)
        return prompt[:-1]
    return prompt


KIND: Final = SourceKind(
    options=PromptsOptions,
    required=frozenset({" or ".join((*COLUMNS, TURNS))}),
    looks_like=lambda row: any(name in row for name in (*COLUMNS, TURNS)) and not row.keys() & {"chosen", "rejected"},
    adapt=adapt,
    about=About(
        sets={"HuggingFaceH4/ultrachat_200k": "mit"},
        terms="that of the set in question",
        any_set=True,
    ),
)
