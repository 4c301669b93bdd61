"""Rows of schema.CURATED as the conversations that an export writes, and why a layout has no place for one."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from transforms.chat.conversation import Asked, Turn, answers_of, asked_of, is_plain
from transforms.tables.schema import SIDES, STRUCTURE, Side

# Of whole responses, not of what a cut left of them.
Score = Literal["reward", "source"]
SCORE_COLUMNS: Final[dict[Score, dict[Side, str]]] = {
    "reward": {"chosen": "reward_chosen", "rejected": "reward_rejected"},
    "source": {"chosen": "chosen_score", "rejected": "rejected_score"},
}

# Why a row is in no file, in words.
LEFT_OUT: Final = {
    "cut_structure": "a response with tool calls or reasoning was cut, and what is left of it is no text",
    "tools": "the layout has no place for tools",
    "chat_template_kwargs": "the layout has no place for the row's arguments of the chat template",
    "not_json": "its tool calls or tools hold half a surrogate pair or NaN, which no file of JSON can",
    "empty": "the policy ended at once, without a text",
    "no_answer": "the policy ended within its reasoning",
    "unusable": "the text does not say the tokens that were sampled, or the other way round",
    "no_score": "the response has no score",
    "near_threshold": "its score is within the margin of the threshold",
    "repeated": "the same response to the same prompt is written already",
}


class Answer(NamedTuple):
    """One side of a pair as it is exported.

    Attributes:
        turn: of the assistant: the kept text, and what further fields it has.
        cut: the kept tokens lack the end-of-turn; so it is of every response that did not finish.
        finished: the response ended by itself at its source.
        score: of the whole response; None where there is none, or none was asked for.
        whole: nothing of the text was cut.
    """

    turn: Turn
    cut: bool
    finished: bool
    score: float | None = None
    whole: bool = True

    @property
    def is_torn(self) -> bool:
        """Whether it was cut in what is no text: tool calls or reasoning."""
        return not self.whole and not is_plain(self.turn)


class Pair(NamedTuple):
    """A kept pair."""

    pair_id: str
    source: str
    asked: Asked
    chosen: Answer
    rejected: Answer


def columns_of(names: Sequence[str], score: Score | None = None) -> list[str]:
    """The columns that `pairs_of` reads.

    Args:
        names: of all columns that the table has.
        score: which of the two scores, if any.
    """
    wanted = ["pair_id", "source", "prompt"]
    for side in SIDES:
        wanted += [f"{side}{ending}" for ending in ("", "_full", "_ids", "_keep", "_cut", "_finished")]
        wanted += [SCORE_COLUMNS[score][side]] if score else []
    return [*wanted, *([STRUCTURE.name] if STRUCTURE.name in names else [])]


def pairs_of(table: pa.Table, score: Score | None = None) -> Iterator[Pair]:
    """The pairs of a part of dataset/, in its order.

    Args:
        table: `columns_of` schema.CURATED, or all of its columns.
        score: which of the two scores the answers carry.
    """
    sides = [_answers(table, side, score) for side in SIDES]
    rows = (table["pair_id"].to_pylist(), table["source"].to_pylist(), asked_of(table), *sides)
    for pair_id, source, asked, chosen, rejected in zip(*rows, strict=True):
        yield Pair(pair_id, source, asked, chosen, rejected)


def why_not(asked: Asked, answers: Sequence[Answer], *, tools: bool) -> str | None:
    """A key of LEFT_OUT, or None for what can be written.

    Args:
        asked: the prompt.
        answers: the responses of the row.
        tools: whether the layout has a place for tools and arguments of the chat template.
    """
    if any(answer.is_torn for answer in answers):
        return "cut_structure"
    if not tools and asked.tools:
        return "tools"
    if not tools and asked.kwargs:
        return "chat_template_kwargs"
    return None


def beside(pair: Pair) -> dict[str, Any]:
    """What every row of a pair says beside its layout. None of the tools reads a column of these names."""
    return {
        "pair_id": pair.pair_id,
        "source": pair.source,
        "chosen_cut": pair.chosen.cut,
        "rejected_cut": pair.rejected.cut,
        "chosen_finished": pair.chosen.finished,
        "rejected_finished": pair.rejected.finished,
    }


def _answers(table: pa.Table, side: Side, score: Score | None) -> list[Answer]:
    whole = pc.equal(table[f"{side}_keep"], pc.list_value_length(table[f"{side}_ids"])).to_pylist()
    kept = answers_of(table, side)
    full = answers_of(table, side, f"{side}_full")
    scores = table[SCORE_COLUMNS[score][side]].to_pylist() if score else [None] * len(table)
    flags = (table[f"{side}_cut"].to_pylist(), table[f"{side}_finished"].to_pylist())
    return [
        # A whole response is the source's own text: some tokenizers normalise what they decode.
        Answer(text if is_whole else part, cut, finished, finite(value), is_whole)
        for text, part, is_whole, cut, finished, value in zip(full, kept, whole, *flags, scores, strict=True)
    ]


def finite(value: float | None) -> float | None:
    """A score; NaN and infinities are none: they would be above or below every threshold."""
    return value if value is not None and abs(value) < float("inf") else None
