"""Consistency of a dataset and of each of its sources, with Wilson intervals (methods §3)."""

import polars as pl

from transforms.consistency import wilson
from transforms.manifest import RateRecord


def consistency_rates(rows: pl.DataFrame) -> list[RateRecord]:
    """Rates over all judged pairs, kept and dropped: first of everything, then by source.

    Args:
        rows: one scalar row a pair (curated.summary_rows); pairs without an estimate are left out.

    Returns:
        For each group one record against the label and one against the reward model's own order. Empty where
        nothing was judged.
    """
    judged = rows.filter(pl.col("consistency").is_not_null())
    if judged.is_empty():
        return []
    groups = [("all", judged)]
    names = sorted(judged["source"].unique())
    if len(names) > 1:
        groups += [(name, judged.filter(pl.col("source") == name)) for name in names]
    return [_rate(name, group, reference) for name, group in groups for reference in ("label", "reward")]


def _rate(name: str, group: pl.DataFrame, reference: str) -> RateRecord:
    column = "consistency" if reference == "label" else "consistency_by_reward"
    rate = wilson(float(group[column].sum()), len(group))
    higher = pl.col("reward_chosen") > pl.col("reward_rejected")
    tied = pl.col("reward_chosen") == pl.col("reward_rejected")
    agrees = group.select((higher.cast(pl.Float64) + 0.5 * tied.cast(pl.Float64)).mean()).item()
    return RateRecord(
        source=name,
        reference="label" if reference == "label" else "reward",
        pairs=len(group),
        sampled=int((group["n"] > 0).sum()),
        rate=rate.value,
        low=rate.low,
        high=rate.high,
        reward_agrees=float(agrees),
    )
