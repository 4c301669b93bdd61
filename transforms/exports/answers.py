"""What one policy of a generation answered, a prompt each, and to which questions of a benchmark."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import pyarrow as pa

from transforms.asking.answers import shown
from transforms.chat.conversation import Asked, asked_of
from transforms.choices import Thinking
from transforms.errors import SourceError
from transforms.exports.questions import Key, Question, Questions, key_of, second_turn
from transforms.records.export import JoinCounts

COLUMNS: Final = ("prompt", "policy", "sample_index", "response", "reasoning", "finished", "status")


class GivenAnswer(NamedTuple):
    """A policy's first response to a prompt.

    Attributes:
        asked: the prompt.
        text: as annotators were shown it, but for reasoning that stands beside the text.
        finished: it ended by itself.
        status: schema.AnswerStatus.
    """

    asked: Asked
    text: str
    finished: bool
    status: str


class Answers(NamedTuple):
    """What a policy answered.

    Attributes:
        of: what its prompts are known by → its first response.
        unlike: its first responses to prompts that no question is like: with tools, or arguments of the template.
        further: its responses that are not the first to their prompt.
    """

    of: dict[Key, GivenAnswer]
    unlike: int
    further: int

    @property
    def prompts(self) -> int:
        """That it answered."""
        return len(self.of) + self.unlike


class Turns(NamedTuple):
    """The answers to a question, one a turn."""

    question: Question
    answers: tuple[GivenAnswer, ...]


class Joined(NamedTuple):
    """The questions of a benchmark with a policy's answers.

    Attributes:
        found: questions with an answer to each turn, in the order of the benchmark's file.
        missing: the others.
        counts: of both.
        other_first: second turns that are there behind another first answer than the policy's.
    """

    found: list[Turns]
    missing: list[Question]
    counts: JoinCounts
    other_first: int = 0


def read_answers(tables: Iterable[pa.Table], policy: str, thinking: Thinking, where: str) -> Answers:
    """The first response of a policy to each prompt.

    Args:
        tables: parts of responses/ of a generation: COLUMNS, and `structure` if it has any.
        policy: by its label.
        thinking: what its recipe does with reasoning.
        where: the generation, for errors.

    Raises:
        SourceError: two prompts that differ in their system turn alone, so that a question has two answers.
    """
    of: dict[Key, GivenAnswer] = {}
    unlike = further = 0
    for table in tables:
        columns = [table[name].to_pylist() for name in COLUMNS if name != "prompt"]
        for asked, label, sample, text, reasoning, finished, status in zip(asked_of(table), *columns, strict=True):
            if label != policy:
                continue
            if sample:
                further += 1
                continue
            key = key_of(asked)
            if key is None:
                unlike += 1
                continue
            if key in of:
                message = (
                    f"{where} has two prompts that differ in their system turn alone, so a question has two answers "
                    f"({key[-1][1][:60]!r}); answer the benchmark's file in a run of its own"
                )
                raise SourceError(message)
            of[key] = GivenAnswer(asked, str(shown(text, reasoning, thinking)["content"]), finished, status)
    return Answers(of, unlike, further)


def joined(questions: Questions, first: Answers, second: Answers | None = None) -> Joined:
    """Which answer is to which question.

    Args:
        questions: of a benchmark. One that is doubled is answered in each place.
        first: to their first turns.
        second: of the same policy, to their second turns; None where only first turns are wanted.
    """
    found: list[Turns] = []
    missing: list[Question] = []
    used = [set[Key](), set[Key]()]
    for question in questions.rows:
        turns = _turns(question, first, second, used)
        if turns is None:
            missing.append(question)
        else:
            found.append(turns)
    counts = JoinCounts(
        questions=len(questions.rows),
        doubled=questions.doubled,
        answered=len(found),
        missing=len(missing),
        prompts=first.prompts,
        foreign=first.prompts - len(used[0]),
        second_prompts=second.prompts if second else None,
        second_foreign=second.prompts - len(used[1]) if second else None,
    )
    return Joined(found, missing, counts, _other_first(questions, second, used[1]) if second else 0)


def question_of(answer: GivenAnswer, row: int) -> Question | None:
    """A single user turn as the question that it is, where no benchmark's file is given; None for a conversation."""
    key = key_of(answer.asked)
    if key is None or len(key) != 1:
        return None
    return Question(row, None, key, (key[0][1],), {})


def status_of(answers: Iterable[GivenAnswer]) -> Mapping[str, int]:
    """How many there are of each status."""
    found: dict[str, int] = {}
    for one in answers:
        found[one.status] = found.get(one.status, 0) + 1
    return dict(sorted(found.items()))


def _turns(question: Question, first: Answers, second: Answers | None, used: list[set[Key]]) -> Turns | None:
    one = first.of.get(question.key)
    if one is None:
        return None
    used[0].add(question.key)
    if second is None or len(question.turns) == 1:
        return Turns(question, (one,))
    key = second_turn(question.key, one.text, question)
    two = second.of.get(key)
    if two is None:
        return None
    used[1].add(key)
    return Turns(question, (one, two))


def _other_first(questions: Questions, second: Answers, used: set[Key]) -> int:
    """Prompts of the second run that ask a question of two turns behind an answer that is not the policy's."""
    ends = {(*one.key, ("user", one.turns[1])) for one in questions.rows if len(one.turns) == 2}
    return sum((*key[:-2], key[-1]) in ends for key in second.of if len(key) > 2 and key not in used)
