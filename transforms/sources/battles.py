"""Two models, one user and a vote between them: what the sets of Chatbot Arena and of MT-bench share.

A conversation of several turns is two conversations: each model goes on from its own earlier answers. So the last
answers have no prompt in common, and the first ones, which have, are not what was voted on. `parted` says which it is.
"""

from typing import Final, Literal, NamedTuple

from transforms.errors import RowError
from transforms.sources.fields import TIE
from transforms.sources.messages import Sides, Spoken, split
from transforms.sources.papers import Paper
from transforms.sources.rows import kind_of

BOTH_BAD: Final = "both_bad"
INCONSISTENT_JUDGE: Final = "inconsistent_judge"
SEVERAL_TURNS: Final = "several_turns"


class Vote(NamedTuple):
    """Whose answer is the better one.

    Attributes:
        winner: of a tie `a`, so that the pair has an order to be dropped with.
        reason: why there is none to train on; None where one side won.
    """

    winner: Literal["a", "b"]
    reason: str | None = None


A_WON: Final = Vote("a")
B_WON: Final = Vote("b")
TIED: Final = Vote("a", TIE)
VOTES: Final = {
    "model_a": A_WON,
    "model_b": B_WON,
    "tie": TIED,
    "tie (bothbad)": Vote("a", BOTH_BAD),
    "both_bad": Vote("a", BOTH_BAD),
    # GPT-4 as a judge was asked twice, with the answers swapped, and preferred another one each time.
    "tie (inconsistent)": Vote("a", INCONSISTENT_JUDGE),
}


class Parted(NamedTuple):
    """Two conversations where they part.

    Attributes:
        sides: what they share, and the first answers that differ.
        last: whether these are the last ones, and so all that the vote was on.
    """

    sides: Sides
    last: bool


def vote_of(value: object, what: str = "winner") -> Vote:
    """The vote that a word says.

    Raises:
        RowError: any other word.
    """
    found = VOTES.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        message = f"{what} is {kind_of(value)}, expected one of {', '.join(VOTES)}"
        raise RowError(message)
    return found


def parted(chosen: Spoken, rejected: Spoken) -> Parted:
    """The answers at which the two conversations part, behind what both of them share.

    Messages are compared whole. Two conversations that differ in nothing part at their last answers.

    Raises:
        RowError: other questions, another number of turns, or an end that is no answer.
    """
    better, worse = chosen.turns, rejected.turns
    if better[:-1] == worse[:-1]:
        return Parted(split(chosen, rejected), True)
    asked = [[turn for turn in turns if turn.role != "assistant"] for turns in (better, worse)]
    roles = [[turn.role for turn in turns] for turns in (better, worse)]
    if asked[0] != asked[1] or roles[0] != roles[1]:
        message = (
            f"the sides were not asked the same: {len(asked[0])} questions in {len(better)} messages (chosen) and"
            f" {len(asked[1])} in {len(worse)} (rejected); expected the same questions in the same places"
        )
        raise RowError(message)
    at = next(at for at, turn in enumerate(better) if turn != worse[at])
    return Parted(Sides(better[:at], better[at], worse[at]), False)


JUDGING: Final = Paper(
    "zheng2023judging",
    "Zheng, Lianmin and Chiang, Wei-Lin and Sheng, Ying and Zhuang, Siyuan and Wu, Zhanghao and others",
    "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena",
    2023,
    "2306.05685",
)
ARENA: Final = Paper(
    "chiang2024chatbot",
    "Chiang, Wei-Lin and Zheng, Lianmin and Sheng, Ying and Angelopoulos, Anastasios Nikolas and Li, Tianle and others",
    "Chatbot Arena: An Open Platform for Evaluating LLMs by Human Preference",
    2024,
    "2403.04132",
)
