"""What the reward model must read: full responses, and completions joined to their prefixes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.asking.requests import PrefixSample
from transforms.chat.conversation import Asked, Turn, answer, answers_of, asked_of
from transforms.chat.tokens import ChatTokens
from transforms.chat.turn import REASONING_FIELDS
from transforms.tables.ragged import Ids, Ragged
from transforms.tables.schema import SIDES, Side


class Reading(NamedTuple):
    """One conversation that must be scored."""

    pair_row: int
    side: Side
    keep: int | None  # tokens of the prefix that was completed, or is read as it is; None: the full response
    sample: int | None  # which completion
    asked: Asked
    answer: Turn

    @property
    def goes_on(self) -> bool:
        """Whether the answer is a prefix as it is, that nothing ends."""
        return self.keep is not None and self.sample is None


def full_readings(pairs: pa.Table, rows: Iterable[int], chat: ChatTokens) -> list[Reading]:
    """Both full responses of the given rows of schema.TRUNCATED.

    A response with tool calls is read as the policy writes it, as its completions are: a reward model's own way to
    write a call would make two texts of one.
    """
    prompts = asked_of(pairs)
    answers = {side: answers_of(pairs, side) for side in SIDES}
    found = []
    for row in rows:
        for side in SIDES:
            turn = answers[side][row]
            if "tool_calls" in turn:
                turn = spoken(chat, Ragged.from_arrow(pairs[f"{side}_ids"].slice(row, 1)).row(0))
            found.append(Reading(row, side, None, None, prompts[row], turn))
    return found


def prefix_readings(pairs: pa.Table, prefixes: Iterable[tuple[int, Side, int]], chat: ChatTokens) -> list[Reading]:
    """Prefixes as they are, (row, side, tokens) of schema.TRUNCATED: what the reward model makes of a beginning.

    One that ends in its reasoning has no content at all, and one that ends right behind it an empty one.
    """
    prompts = asked_of(pairs)
    ids = {side: Ragged.from_arrow(pairs[f"{side}_ids"]) for side in SIDES}
    found = []
    for row, side, keep in prefixes:
        prefix = ids[side].row(row)[:keep]
        turn = spoken(chat, prefix)
        if not chat.said(prefix).closed:
            turn = {**turn, "content": None}
        found.append(Reading(row, side, keep, None, prompts[row], turn))
    return found


def spoken(chat: ChatTokens, ids: Ids) -> Turn:
    """A response's tokens as the turn that they are: its text, and its reasoning where the template marks it off."""
    said = chat.said(ids)
    return answer(said.text, {REASONING_FIELDS[0]: said.reasoning} if said.reasoning else None)


def completion_readings(
    pairs: pa.Table,
    samples: Sequence[PrefixSample],
    completions: Mapping[str, Sequence[int]],
    chat: ChatTokens,
) -> list[Reading]:
    """Every sampled completion as the response that it makes.

    Args:
        pairs: schema.TRUNCATED.
        samples: what was sampled for them.
        completions: request id → new token ids.
        chat: the tokenizer that made the ids, to turn prefix and completion into text together: apart, a
            character that the cut split would be lost.
    """
    prompts = asked_of(pairs)
    ids = {side: Ragged.from_arrow(pairs[f"{side}_ids"]) for side in SIDES}
    found = []
    for sample in samples:
        prefix = ids[sample.side].row(sample.pair_row)[: sample.keep]
        whole = np.concatenate([prefix, np.asarray(completions[sample.request.request_id], np.int32)])
        index, asked = sample.request.sample_index, prompts[sample.pair_row]
        found.append(Reading(sample.pair_row, sample.side, sample.keep, index, asked, spoken(chat, whole)))
    return found


def why_unusable(reading: Reading, reward: float | str) -> str | None:
    """Why a pair with this reward must be quarantined rather than judged by its others; None for a number.

    `reward` is a string where the conversation could not be read at all.
    """
    if not isinstance(reward, str) and math.isfinite(reward):
        return None
    what = "the full response" if reading.keep is None else f"the first {reading.keep} tokens"
    what = "a completion" if reading.sample is not None else what
    why = reward if isinstance(reward, str) else f"the reward model returned {reward}"
    return f"{what} of the {reading.side} side: {why}"
