"""lmsys/mt_bench_human_judgments: experts, the paper's authors and GPT-4 judge six models on MT-bench's questions.

A raw row::

    {"question_id": 81, "model_a": "alpaca-13b", "model_b": "gpt-3.5-turbo", "winner": "model_b", "judge": "expert_21",
     "turn": 1,
     "conversation_a": [{"role": "user", "content": "Name three rivers."},
                        {"role": "assistant", "content": "Nile."},
                        {"role": "user", "content": "Which is the longest?"},
                        {"role": "assistant", "content": "That one."}],
     "conversation_b": [{"role": "user", "content": "Name three rivers."},
                        {"role": "assistant", "content": "The Nile, the Rhine and the Po."},
                        {"role": "user", "content": "Which is the longest?"},
                        {"role": "assistant", "content": "The Nile."}]}

Both turns stand in every row, and `turn` says on which of them the judgement is. One of turn 1 is a pair of the first
answers. One of turn 2 is on second answers behind first ones that differ: they have no prompt in common (`battles`).
"""

from typing import Final, Literal

from transforms.errors import RowError
from transforms.sources.about import About
from transforms.sources.adapter import Row, SourceKind
from transforms.sources.battles import JUDGING, SEVERAL_TURNS, parted, vote_of
from transforms.sources.canonical import Adapted
from transforms.sources.fields import EXCLUDED, number, pair, text_id
from transforms.sources.messages import Spoken, messages
from transforms.sources.options import SourceOptions
from transforms.sources.rows import Fields, kind_of

HUMANS: Final = ("expert", "author")
GPT4: Final = "gpt4"


class MtBenchOptions(SourceOptions):
    """Whose judgements are pairs.

    Attributes:
        split: `human` has the judgements of experts and authors, `gpt4_pair` those of GPT-4.
        judge: whose judgements stay: `human` are experts and authors; the paper's agreement is that of experts.
    """

    kind: Literal["mt_bench"]
    split: str = "human"
    judge: Literal["all", "human", "expert", "author", "gpt4"] = "all"


def adapt(row: Fields, options: MtBenchOptions) -> Adapted:
    """One judgement, one pair of the answers of its turn; of a tie side a is chosen, and the pair is dropped.

    Raises:
        RowError: an unknown winner or judge, a turn that the conversations do not have, or other questions.
    """
    vote, (who, judge) = vote_of(row.get("winner")), _judge(row.get("judge"))
    turn = number(row.get("turn"), "turn")
    if turn is None or not turn.is_integer() or turn < 1:
        message = f"turn is {kind_of(row.get('turn'))}, expected 1 or 2: the turn that was judged"
        raise RowError(message)
    both = _until(row, "conversation_a", int(turn)), _until(row, "conversation_b", int(turn))
    sides, last = parted(*(both if vote.winner == "a" else both[::-1]))
    wanted = {"all": (who,), "human": HUMANS}.get(options.judge, (options.judge,))
    reason = EXCLUDED if who not in wanted else vote.reason or (None if last else SEVERAL_TURNS)
    ids = [text_id(row.get(name)) for name in ("question_id", "model_a", "model_b")]
    source_id = "/".join([*map(str, ids), str(int(turn)), judge]) if all(ids) else None
    return Adapted([pair(row, options, sides, source_id=source_id, reason=reason, subset=who)])


def _judge(value: object) -> tuple[str, str]:
    """What kind of judge it is, and which one."""
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        value = "_".join(value)  # ["gpt-4", "pair-v2"] in the JSON files of the set
    if isinstance(value, str):
        for human in HUMANS:
            if value.startswith(human):
                return human, value
        if value.replace("-", "").startswith(GPT4):
            return GPT4, value
    message = f"judge is {kind_of(value)}, expected expert_N, author_N or gpt4_pair"
    raise RowError(message)


def _until(row: Fields, name: str, turn: int) -> Spoken:
    """The conversation up to the answer that was judged."""
    turns, ending = messages(row, name)
    answers = [at for at, one in enumerate(turns) if one.role == "assistant"]
    if len(answers) < turn:
        message = f"{name} has {len(answers)} answers, expected at least {turn}: turn is {turn}"
        raise RowError(message)
    judged = turns[: answers[turn - 1] + 1]
    return Spoken(judged, ending if len(judged) == len(turns) else None)


def looks_like(row: Row) -> bool:
    """Whether a row is a judgement: a battle whose question has a number, which is where the arena's have hashes."""
    number_of_question = row.get("question_id")
    return (
        isinstance(number_of_question, int)
        and not isinstance(number_of_question, bool)
        and all(name in row for name in ("conversation_a", "winner", "judge", "turn"))
    )


KIND: Final = SourceKind(
    options=MtBenchOptions,
    required=frozenset({"winner", "judge", "turn", "conversation_a", "conversation_b"}),
    looks_like=looks_like,
    adapt=adapt,
    about=About(
        sets={"lmsys/mt_bench_human_judgments": "cc-by-4.0"},
        languages=("en",),
        papers=(JUDGING,),
    ),
)
