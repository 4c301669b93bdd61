"""Pairs and responses of a generation as an export writes them: rows of schema.PAIRED and schema.ANSWERS.

Nothing of a response was cut: one without end-of-turn is one that ran out of room. Its score is the aggregate of the
generation's annotators.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import pyarrow as pa

from transforms.asking.answers import said_turn
from transforms.chat.conversation import answers_of, asked_of
from transforms.choices import Thinking
from transforms.exports.kto import BOTH, Response
from transforms.exports.pairs import Answer, Pair, finite
from transforms.tables.schema import SIDES, STRUCTURE, Side

PAIR_COLUMNS: Final = (
    "pair_id",
    "source",
    "prompt",
    *(f"{side}{ending}" for side in SIDES for ending in ("", "_finished", "_score")),
)
PLACES: Final = tuple(f"{side}_in" for side in SIDES)  # pairs whose chosen, or rejected, side a response is
RESPONSE_COLUMNS: Final = (
    *("prompt_id", "source", "prompt", "response_index", "policy"),
    *("response", "reasoning", "finished", "status", "score"),
    *PLACES,
)


def generated_columns(wanted: tuple[str, ...], names: list[str]) -> list[str]:
    """PAIR_COLUMNS or RESPONSE_COLUMNS, and `structure` where the table has it."""
    return [*wanted, *([STRUCTURE.name] if STRUCTURE.name in names else [])]


def generated_pairs(table: pa.Table) -> Iterator[Pair]:
    """The pairs of a part of dataset/train, in its order.

    Args:
        table: PAIR_COLUMNS of schema.PAIRED, and `structure` if it has any.
    """
    sides = [_answers(table, side) for side in SIDES]
    rows = (table["pair_id"].to_pylist(), table["source"].to_pylist(), asked_of(table), *sides)
    for pair_id, source, asked, chosen, rejected in zip(*rows, strict=True):
        yield Pair(pair_id, source, asked, chosen, rejected)


def generated_answers(table: pa.Table, thinking: Mapping[str, Thinking]) -> Iterator[Response]:
    """The responses of a part of responses/, in its order, those that are of no use among them.

    Args:
        table: RESPONSE_COLUMNS of what a generation writes, and `structure` if it has any.
        thinking: of each policy; where it is `cut`, reasoning is no part of a response, as in the pairs.
    """
    columns = [table[name].to_pylist() for name in RESPONSE_COLUMNS if name != "prompt"]
    for asked, *row in zip(asked_of(table), *columns, strict=True):
        prompt_id, source, index, policy, text, reasoning, finished, status, score, *places = row
        side = _side(*places)
        yield Response(
            {"prompt_id": prompt_id, "response_index": index, "policy": policy, "side": side},
            source,
            asked,
            Answer(
                said_turn(text, reasoning if thinking[policy] != "cut" else None), not finished, finished, finite(score)
            ),
            side,
            None if status == "usable" else "no_score" if status == "unscored" else status,
        )


def _side(chosen_in: int, rejected_in: int) -> str | None:
    if chosen_in and rejected_in:
        return BOTH
    return "chosen" if chosen_in else "rejected" if rejected_in else None


def _answers(table: pa.Table, side: Side) -> list[Answer]:
    flags = (table[f"{side}_finished"].to_pylist(), table[f"{side}_score"].to_pylist())
    return [
        Answer(turn, not finished, finished, finite(score))
        for turn, finished, score in zip(answers_of(table, side), *flags, strict=True)
    ]
