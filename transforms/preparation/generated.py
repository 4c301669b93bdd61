"""Two responses of a prompt as the pair that they are: schema.PAIRED from rows of schema.ANSWERS."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.chat.turn import REASONING_FIELDS
from transforms.choices import Thinking
from transforms.errors import OutputError
from transforms.sources.canonical import Message, Pair
from transforms.sources.messages import json_text
from transforms.sources.structures import part_of, read_structure, with_more
from transforms.statistics.intervals import Floats, Ints
from transforms.tables.schema import PAIRED


def pairs_table(
    answers: pa.Table,
    chosen: Ints,
    rejected: Ints,
    *,
    score: Floats,
    margin: Floats,
    thinking: Mapping[str, Thinking],
) -> pa.Table:
    """The pairs of some rows, sorted by their ids.

    Args:
        answers: schema.ANSWERS.
        chosen: rows of it, (pairs,).
        rejected: likewise.
        score: of every row, (rows,).
        margin: of each pair, what the strategy chose by; (pairs,).
        thinking: of each policy.

    Raises:
        OutputError: a pair's prompt is not the one that was answered, which is a bug.
    """
    rows = {"chosen": _rows(answers, chosen), "rejected": _rows(answers, rejected)}
    pairs = [_pair(*sides, thinking) for sides in zip(rows["chosen"], rows["rejected"], strict=True)]
    for one, row in zip(pairs, rows["chosen"], strict=True):
        if one.ids.prompt != row["prompt_id"]:
            message = f"the prompt {row['prompt_id']} became {one.ids.prompt} on its way to a pair; please report it"
            raise OutputError(message)
    columns: dict[str, Any] = {
        "pair_id": [one.ids.pair for one in pairs],
        "prompt_id": [row["prompt_id"] for row in rows["chosen"]],
        "source": [row["source"] for row in rows["chosen"]],
        "source_id": [row["source_id"] for row in rows["chosen"]],
        "prompt": [row["prompt"] for row in rows["chosen"]],
        "margin": margin,
        "structure": [one.structure for one in pairs],
    }
    for side, places in (("chosen", chosen), ("rejected", rejected)):
        columns |= {
            side: [row["response"] for row in rows[side]],
            f"{side}_ids": [_ids(row, thinking) for row in rows[side]],
            f"{side}_finished": [row["finished"] for row in rows[side]],
            f"{side}_score": score[places],
            f"{side}_policy": [row["policy"] for row in rows[side]],
            f"{side}_index": [row["response_index"] for row in rows[side]],
        }
    table = pa.table([pa.array(columns[name], PAIRED.field(name).type) for name in PAIRED.names], schema=PAIRED)
    return table.take(pa.array(np.argsort(np.array(columns["pair_id"], object), kind="stable")))


def _rows(answers: pa.Table, rows: Sequence[int] | Ints) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answers.take(pa.array(rows, pa.int64())).to_pylist()
    return found


def _pair(chosen: dict[str, Any], rejected: dict[str, Any], thinking: Mapping[str, Thinking]) -> Pair:
    structure = read_structure(chosen["structure"])
    prompt = with_more(tuple(Message(turn["role"], turn["content"]) for turn in chosen["prompt"]), structure)
    return Pair(
        chosen["source_id"],
        prompt,
        chosen["response"],
        rejected["response"],
        chosen_more=_more(chosen, thinking),
        rejected_more=_more(rejected, thinking),
        tools=part_of(structure, "tools"),
        template_kwargs=part_of(structure, "chat_template_kwargs"),
    )


def _more(row: dict[str, Any], thinking: Mapping[str, Thinking]) -> str:
    if not row["reasoning"] or thinking[row["policy"]] == "cut":
        return ""
    return json_text({REASONING_FIELDS[0]: row["reasoning"]}, "reasoning")


def _ids(row: dict[str, Any], thinking: Mapping[str, Thinking]) -> list[int] | None:
    ids: list[int] = row["response_ids"]
    return None if row["reasoning"] and thinking[row["policy"]] == "cut" else ids
