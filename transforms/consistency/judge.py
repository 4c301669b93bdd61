"""Evidence to columns: what sampling adds to a pair, and why it is kept or dropped."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from transforms.consistency.evidence import Evidence
from transforms.consistency.win_shares import KEEP
from transforms.preparation import filters
from transforms.preparation.prepare import IDENTICAL_AFTER_CUT
from transforms.statistics.intervals import Floats, Ints
from transforms.tables.schema import JUDGED_FIELDS, POSTERIOR_PARTS

INCONSISTENT: Final = "inconsistent"
UNDECIDED: Final = "undecided"
# What is left of a probability: vector units of different processors differ in the last digits of a logarithm.
_DIGITS: Final = 9
_PARTS: Final = 6
# Reasons that another truncation of the same pair might not have given: what "before curation" still has.
OF_THE_CUT: Final = (INCONSISTENT, UNDECIDED, IDENTICAL_AFTER_CUT, "min_kept_tokens", "min_kept_share")


def judge_pairs(
    pairs: pa.Table,
    evidence: Evidence | None,
    places: Mapping[int, int],
    *,
    threshold: float,
    limits: dict[str, float | None],
) -> pa.Table:
    """Add estimate, interval, verdict and reason to every pair.

    Args:
        pairs: schema.TRUNCATED; pairs that have a reason already stay dropped and get no estimate.
        evidence: of the whole run, every pair decided. None where the recipe samples nothing: then every pair
            without a reason is kept, unjudged.
        places: row of `pairs` → its place in the evidence.
        threshold: τ.
        limits: of the late filters.

    Returns:
        schema.TRUNCATED and schema.JUDGED_FIELDS, rows in the order given.
    """
    reasons = pairs["reason"].to_pylist()
    columns: dict[str, list[Any]] = {field.name: [None] * len(reasons) for field in JUDGED_FIELDS}
    columns["reason"], columns["audit"] = list(reasons), [False] * len(reasons)
    columns["verdict"] = ["keep" if reason is None else "drop" for reason in reasons]
    if evidence is not None and places:
        _fill(columns, evidence, places, threshold)
    wide = pairs.drop_columns(["reason"])
    for field in JUDGED_FIELDS:
        wide = wide.append_column(field, pa.array(columns[field.name], field.type))
    frame = filters.apply(pl.DataFrame(pl.from_arrow(wide)), filters.LATE, limits)
    reason = frame["reason"]
    verdict = pl.select(pl.when(reason.is_null()).then(pl.lit("keep")).otherwise(pl.lit("drop"))).to_series()
    names = wide.schema.names
    wide = wide.set_column(names.index("reason"), "reason", pa.array(reason.to_list(), pa.string()))
    return wide.set_column(names.index("verdict"), "verdict", pa.array(verdict.to_list(), pa.string()))


def _fill(columns: dict[str, list[Any]], evidence: Evidence, places: Mapping[int, int], threshold: float) -> None:
    rows: Ints = np.fromiter(places.values(), np.int64, len(places))
    posterior = evidence.posterior(rows)
    above, parts = np.round(posterior.above(threshold), _DIGITS), np.round(posterior.histogram(POSTERIOR_PARTS), _PARTS)
    expected = np.round(evidence.expected[rows], _DIGITS)
    # What was not sampled has no estimate, only what the proxy expects.
    known = (evidence.n[rows] > 0) | ~evidence.cut[rows]
    shares = {name: np.full(len(rows), np.nan) for name in ("label", "reward")}
    shares["label"][known] = evidence.shares(rows[known], "label")
    shares["reward"][known] = evidence.shares(rows[known], "reward")
    low, high = (np.round(end, _DIGITS) for end in _label_interval(evidence, rows, shares["label"]))
    for at, (row, place) in enumerate(places.items()):
        cut, dropped = bool(evidence.cut[place]), evidence.verdict[place] != KEEP
        by = evidence.decided_by[place]
        columns["reward_chosen"][row] = float(evidence.full["chosen"][place])
        columns["reward_rejected"][row] = float(evidence.full["rejected"][place])
        for side, values in (evidence.values or {}).items():
            columns[f"value_{side}"][row] = _number(values[place])
        columns["n"][row] = int(evidence.n[place])
        columns["consistency"][row] = _number(shares["label"][at])
        columns["consistency_by_reward"][row] = _number(shares["reward"][at])
        columns["consistency_low"][row] = float(low[at]) if cut else 1.0
        columns["consistency_high"][row] = float(high[at]) if cut else 1.0
        columns["p_keep"][row] = float(above[at]) if cut else 1.0
        columns["posterior"][row] = parts[at].tolist() if cut else None
        columns["expected"][row] = _number(expected[at])
        columns["audit"][row] = bool(evidence.audit[place])
        columns["decided_by"][row] = by
        if dropped:
            columns["verdict"][row] = "drop"
            columns["reason"][row] = UNDECIDED if by == "undecided" else INCONSISTENT


def _label_interval(evidence: Evidence, rows: Ints, share: Floats) -> tuple[Floats, Floats]:
    """Of the consistency with the label, whatever the reference of the verdict."""
    by_reward = evidence.reference == "reward"
    other = (evidence.full["chosen"][rows] < evidence.full["rejected"][rows]) & by_reward
    fits = evidence.gap_fits
    if fits is None or not fits.trusted:
        n = evidence.n[rows]
        beliefs = evidence.beliefs.of(rows).mirrored(other)
        return beliefs.after(np.where(n > 0, np.nan_to_num(share) * n, 0.0), n).interval()
    low, high = evidence.posterior(rows).mirrored(other).interval()
    tied = np.flatnonzero((evidence.full["chosen"][rows] == evidence.full["rejected"][rows]) & by_reward)
    if len(tied):  # towards the reward model's order they have no gap at all
        gaps = evidence.gaps(rows[tied], by_margin=fits.by_margin, reference="label")
        low[tied], high[tied] = fits.believe(rows[tied], gaps).interval()
    return low, high


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
