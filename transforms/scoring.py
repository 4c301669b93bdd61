"""What the reward model must read for a part of the data, and its answers brought back to the pairs."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.judge import PairRewards
from transforms.requests import SIDES, PrefixSample, Side
from transforms.sources.load import Quarantined
from transforms.tokens import ChatTokens, Conversation, Ragged


class Reading(NamedTuple):
    """One conversation that must be scored: a full response, or a completion of a kept prefix."""

    pair_row: int
    side: Side
    sample: bool  # False: the full response
    prompt: Conversation
    response: str


class Scored(NamedTuple):
    """Rewards of the pairs that have all of theirs, and the pairs that lack one with the reason."""

    rewards: dict[str, PairRewards]
    quarantined: list[Quarantined]


def readings(
    pairs: pa.Table,
    samples: Sequence[PrefixSample],
    completions: Mapping[str, Sequence[int]],
    chat: ChatTokens,
) -> list[Reading]:
    """Everything to score for a part: both full responses of each live pair and each completion.

    Args:
        pairs: schema.TRUNCATED.
        samples: what was sampled for them.
        completions: request id → new token ids.
        chat: the tokenizer that made the ids, to turn prefix and completion into text together: apart, a
            character that the cut split would be lost.
    """
    prompts, reasons = pairs["prompt"].to_pylist(), pairs["reason"].to_pylist()
    texts = {side: pairs[side].to_pylist() for side in SIDES}
    ids = {side: Ragged.from_arrow(pairs[f"{side}_ids"]) for side in SIDES}
    keeps = {side: pairs[f"{side}_keep"].to_pylist() for side in SIDES}
    found = [
        Reading(row, side, False, prompts[row], texts[side][row])
        for row, reason in enumerate(reasons)
        if reason is None
        for side in SIDES
    ]
    for sample in samples:
        prefix = ids[sample.side].row(sample.pair_row)[: keeps[sample.side][sample.pair_row]]
        whole = np.concatenate([prefix, np.asarray(completions[sample.request.request_id], np.int32)])
        found.append(Reading(sample.pair_row, sample.side, True, prompts[sample.pair_row], chat.decode(whole)))
    return found


def assemble(
    pairs: pa.Table,
    read: Sequence[Reading],
    rewards: Sequence[float | str],
    *,
    completions_per_side: int,
) -> Scored:
    """Give each pair its rewards.

    Args:
        pairs: schema.TRUNCATED.
        read: what was scored.
        rewards: of each reading; a string says why there is none.
        completions_per_side: n of the recipe.

    Returns:
        A pair with a missing, infinite or not-a-number reward is quarantined, never judged by the rest.
    """
    full: dict[int, dict[Side, float]] = {}
    samples: dict[int, dict[Side, list[float]]] = {}
    errors: dict[int, str] = {}
    for reading, reward in zip(read, rewards, strict=True):
        if isinstance(reward, str) or not math.isfinite(reward):
            what = "a completion" if reading.sample else "the full response"
            why = reward if isinstance(reward, str) else f"the reward model returned {reward}"
            errors.setdefault(reading.pair_row, f"{what} of the {reading.side} side: {why}")
        elif reading.sample:
            samples.setdefault(reading.pair_row, {}).setdefault(reading.side, []).append(reward)
        else:
            full.setdefault(reading.pair_row, {})[reading.side] = reward
    ids = pairs["pair_id"].to_pylist()
    good = {}
    for row, by_side in full.items():
        if row in errors:
            continue
        drawn = samples.get(row, {})
        compared = {side: drawn.get(side, [by_side[side]]) for side in SIDES}
        good[ids[row]] = PairRewards(by_side, compared, completions_per_side if drawn else 0)
    return Scored(good, [_quarantine(pairs, row, error) for row, error in sorted(errors.items())])


def _quarantine(pairs: pa.Table, row: int, error: str) -> Quarantined:
    raw = pairs.select(["source", "source_id", "pair_id", "prompt", "chosen", "rejected"]).slice(row, 1)
    content = raw.to_pylist()[0]
    return Quarantined("score", content["source"], content["source_id"], error, content)
