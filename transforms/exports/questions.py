"""The questions of a chat benchmark's file, and which of a run's answers are to them: joined by text, never by place.

A question is known by the turns that `kind: prompts` makes of its row, a system turn left out: by what a policy was
asked, whatever the file's order and whatever the run's.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from transforms.chat.conversation import Asked
from transforms.errors import RowError, SourceError
from transforms.sources.adapter import BadRow
from transforms.sources.kinds.prompts import TURNS, PromptsOptions, adapt
from transforms.sources.read import fingerprint, read_rows
from transforms.sources.rows import Fields, kind_of
from transforms.text import one_line

Benchmark = Literal["alpaca_eval", "arena_hard", "mt_bench"]
Key = tuple[tuple[str, str], ...]  # role and text of each turn but a system turn
SHOWN: Final = 3  # questions that an error names
_NO_QUESTION: Final[Key] = ()  # of a row that no policy can be asked


class Layout(NamedTuple):
    """A benchmark's own file of questions.

    Attributes:
        title: of the benchmark.
        text: the column of what is asked.
        id: the column that its answers are known by; None where that is the text itself.
        row: what a row has, for errors.
    """

    title: str
    text: str
    id: str | None
    row: str


LAYOUTS: Final[dict[Benchmark, Layout]] = {
    "alpaca_eval": Layout("AlpacaEval", "instruction", None, "alpaca_eval.json (instruction, dataset)"),
    "arena_hard": Layout("Arena-Hard", "prompt", "uid", "question.jsonl of v2 (uid, category, prompt)"),
    "mt_bench": Layout("MT-Bench", TURNS, "question_id", "question.jsonl (question_id, category, turns)"),
}


class Question(NamedTuple):
    """One row of a benchmark's file.

    Attributes:
        row: from 1.
        id: as the file has it; None of AlpacaEval.
        key: what a policy that was asked it has as its prompt.
        turns: what the user says, exactly as the file has it: one turn, of MT-Bench two.
        raw: the whole row.
    """

    row: int
    id: str | int | None
    key: Key
    turns: tuple[str, ...]
    raw: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{f'row {self.row}' if self.id is None else self.id} ({one_line(self.turns[0], 40)!r})"


class Questions(NamedTuple):
    """A benchmark's file.

    Attributes:
        path: as the user named it.
        sha256: of its content, or the commit of a Hub dataset.
        rows: in its order.
        doubled: rows that ask what a row above them asks.
    """

    path: str
    sha256: str
    rows: list[Question]
    doubled: int


def read_questions(path: str, benchmark: Benchmark) -> Questions:
    """A benchmark's own file of questions.

    Raises:
        SourceError: missing or unreadable, a row of another layout, or one id for two questions.
    """
    options = PromptsOptions(kind="prompts", path=path)
    found = fingerprint(options)
    rows = [_question(number, row, path, benchmark, options) for number, row in enumerate(read_rows(options), 1)]
    if not rows:
        message = f"{path} holds no question; expected {LAYOUTS[benchmark].title}'s {LAYOUTS[benchmark].row}"
        raise SourceError(message)
    asked: dict[tuple[str, ...], None] = {}
    ids: dict[str | int, Question] = {}
    for one in rows:
        asked.setdefault(one.turns)
        first = ids.setdefault(one.id, one) if one.id is not None else one
        if first.turns != one.turns:
            message = (
                f"{path}: {LAYOUTS[benchmark].id} {one.id!r} is of two questions, in rows {first.row} and {one.row}; "
                "expected one question an id. Take the benchmark's own file"
            )
            raise SourceError(message)
    return Questions(path, found.fingerprint, rows, len(rows) - len(asked))


def key_of(asked: Asked) -> Key | None:
    """What the prompt of a run is known by; None where it has tools or more than role and text, as no benchmark has."""
    if not asked.plain:
        return None
    return _key((turn["role"], turn["content"]) for turn in asked.turns)


def second_turn(first: Key, answer: str, question: Question) -> Key:
    """What a run that answers an MT-Bench question's second turn has as its prompt."""
    return (*first, ("assistant", answer), ("user", question.turns[1]))


def named(questions: Sequence[Question]) -> str:
    """The first of them, for an error."""
    return ", ".join(map(str, questions[:SHOWN])) + (", …" if len(questions) > SHOWN else "")


def _key(turns: Iterable[tuple[str, str]]) -> Key:
    role_and_text = tuple(turns)
    return role_and_text[1:] if role_and_text and role_and_text[0][0] == "system" else role_and_text


def _question(
    number: int, row: dict[str, Any] | BadRow, path: str, benchmark: Benchmark, options: PromptsOptions
) -> Question:
    layout = LAYOUTS[benchmark]
    expected = f"expected {layout.title}'s {layout.row}"
    if isinstance(row, BadRow):
        message = f"{path}: row {number}: {row.error}; {expected}"
        raise SourceError(message)
    text = row.get(layout.text)
    turns = tuple(text) if layout.text == TURNS and isinstance(text, list) else (text,)
    most = 2 if layout.text == TURNS else 1
    if not 1 <= len(turns) <= most or not all(isinstance(turn, str) for turn in turns):
        message = f"{path}: row {number}: {layout.text} is {_shown(row, layout.text)}; {expected}"
        raise SourceError(message)
    name = row.get(layout.id) if layout.id else None
    if layout.id and (isinstance(name, bool) or not isinstance(name, str | int)):
        message = f"{path}: row {number}: {layout.id} is {_shown(row, layout.id)}; {expected}"
        raise SourceError(message)
    try:
        asked = adapt(Fields(row), options).question
    except RowError:
        asked = None
    key = _key((turn.role, turn.content) for turn in asked.prompt) if asked else _NO_QUESTION
    return Question(number, name, key, turns, row)


def _shown(row: Mapping[str, Any], name: str) -> str:
    return kind_of(row[name]) if name in row else "not there"
