"""Rewards to verdicts: the columns that sampling adds to a pair."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from transforms import filters
from transforms.consistency import judge, win_share
from transforms.requests import SAMPLED_CUTS, SIDES, Side
from transforms.schema import JUDGED_FIELDS

INCONSISTENT = "inconsistent"


class PairRewards(NamedTuple):
    """Rewards of one pair. A side's samples are the completions of its kept prefix; a side that was not cut
    has one sample, its full response's reward."""

    full: Mapping[Side, float]
    samples: Mapping[Side, Sequence[float]]
    completions: int  # sampled per cut side


def judge_pairs(
    pairs: pa.Table,
    rewards: Mapping[str, PairRewards],
    *,
    prior: tuple[float, float],
    threshold: float,
    delta: float,
    reference: Literal["label", "reward"],
    limits: dict[str, float | None],
) -> pa.Table:
    """Add estimate, interval, verdict and reason to every pair.

    Args:
        pairs: schema.TRUNCATED; pairs that have a reason already stay dropped and get no estimate.
        rewards: by pair id, of every pair without a reason. Empty where the recipe samples nothing: then
            every pair without a reason is kept, unjudged.
        prior: Beta prior of the consistency.
        threshold: τ.
        delta: δ.
        reference: which order the verdict asks for. `consistency` is always against the label and
            `consistency_by_reward` against the reward model's order of the full responses.
        limits: of the late filters.

    Returns:
        schema.TRUNCATED and schema.JUDGED_FIELDS, rows in the order given.
    """
    columns = _judged_columns(pairs, rewards, prior=prior, threshold=threshold, delta=delta, reference=reference)
    wide = pairs.drop_columns(["reason"])
    for field in JUDGED_FIELDS:
        wide = wide.append_column(field, pa.array(columns[field.name], field.type))
    frame = filters.apply(pl.DataFrame(pl.from_arrow(wide)), filters.LATE, limits)
    reason = frame["reason"]
    verdict = pl.select(pl.when(reason.is_null()).then(pl.lit("keep")).otherwise(pl.lit("drop"))).to_series()
    names = wide.schema.names
    wide = wide.set_column(names.index("reason"), "reason", pa.array(reason.to_list(), pa.string()))
    return wide.set_column(names.index("verdict"), "verdict", pa.array(verdict.to_list(), pa.string()))


def _judged_columns(
    pairs: pa.Table,
    rewards: Mapping[str, PairRewards],
    *,
    prior: tuple[float, float],
    threshold: float,
    delta: float,
    reference: str,
) -> dict[str, Any]:
    ids, reasons = pairs["pair_id"].to_pylist(), pairs["reason"].to_pylist()
    columns: dict[str, list[Any]] = {field.name: [None] * len(ids) for field in JUDGED_FIELDS}
    columns["reason"] = list(reasons)
    columns["verdict"] = ["keep" if reason is None else "drop" for reason in reasons]
    rows = [row for row, key in enumerate(ids) if reasons[row] is None and key in rewards]
    if not rows:
        return columns
    cuts = {side: pairs[f"{side}_cut_by"].to_pylist() for side in SIDES}
    shares, by_reward, n = [], [], []
    for row in rows:
        pair = rewards[ids[row]]
        compared = [len(pair.samples[side]) for side in SIDES if cuts[side][row] in SAMPLED_CUTS]
        share = win_share(pair.samples["chosen"], pair.samples["rejected"]) if compared else 1.0
        shares.append(share)
        by_reward.append(_against_reward_order(share, pair) if compared else 1.0)
        n.append(min(compared, default=0))
        columns["reward_chosen"][row] = pair.full["chosen"]
        columns["reward_rejected"][row] = pair.full["rejected"]
        columns["n"][row] = pair.completions
    counts = np.asarray(n)
    by_label = judge(np.asarray(shares), counts, prior=prior, threshold=threshold, delta=delta)
    asked = by_label
    if reference == "reward":
        asked = judge(np.asarray(by_reward), counts, prior=prior, threshold=threshold, delta=delta)
    for place, row in enumerate(rows):
        columns["consistency"][row] = shares[place]
        columns["consistency_by_reward"][row] = by_reward[place]
        columns["consistency_low"][row] = float(by_label.low[place])
        columns["consistency_high"][row] = float(by_label.high[place])
        if not asked.keep[place]:
            columns["reason"][row], columns["verdict"][row] = INCONSISTENT, "drop"
    return columns


def _against_reward_order(share: float, pair: PairRewards) -> float:
    """Consistency with the reward model's order of the full responses; one half where it sees a tie."""
    chosen, rejected = pair.full["chosen"], pair.full["rejected"]
    if chosen == rejected:
        return 0.5
    return share if chosen > rejected else 1 - share
