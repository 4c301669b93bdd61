"""Consistency of a dataset and its groups from the evidence of its pairs (methods §3)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from transforms.consistency.evidence import Evidence, Reference
from transforms.consistency.proxy import calibration, held_out_error
from transforms.consistency.win_shares import KEEP
from transforms.records.manifest import DecidedBy, DecisionRecord, EstimatorRecord, GroupRecord, ProxyRecord, RateRecord
from transforms.statistics.estimates import Observed, estimated_rate
from transforms.statistics.intervals import Bools, Floats

REFERENCES: Final[tuple[Reference, Reference]] = ("label", "reward")
SHARES: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
DECIDED_BY: Final[tuple[DecidedBy, ...]] = ("uncut", "proxy", "sampling", "n_max", "stopped", "undecided")
_MARGIN_GROUPS: Final = 6


def observe(evidence: Evidence, reference: Reference, first: int) -> Observed:
    """What the estimates rest on (transforms.statistics.estimates), each (pairs,); bad pairs are to be left out.

    Args:
        evidence: of a run whose sampling is through.
        reference: the label's order, or the reward model's of the full responses.
        first: completions of a pair's first round: their mean is unbiased, that at a stopping time is not.
    """
    cut = evidence.cut & evidence.usable
    seen = cut & (evidence.n >= first)
    chance = np.ones(len(evidence))
    if evidence.by_worth and (cut & ~evidence.skippable & ~seen).any():
        # Where a first completion was worth most says something of its outcome; the audit was drawn at random.
        seen &= evidence.audit
        chance[cut] = max(1, int(seen.sum())) / max(1, int(cut.sum()))
        return _observed(evidence, reference, first, seen, chance)
    if evidence.chance is not None:
        chance[cut] = evidence.chance[cut]
        return _observed(evidence, reference, first, seen, chance)
    # Where the proxy decides, the audit was observed. Elsewhere everybody was, or, where the budget ended in the
    # first round, a prefix of the random order (sequential.next_round). Either is a random sample.
    for stratum in (cut & evidence.skippable, cut & ~evidence.skippable):
        if stratum.any():
            chance[stratum] = max(1, int(seen[stratum].sum())) / int(stratum.sum())
    return _observed(evidence, reference, first, seen, chance)


def _observed(evidence: Evidence, reference: Reference, first: int, seen: Bools, chance: Floats) -> Observed:
    cut = evidence.cut & evidence.usable
    value = np.ones(len(evidence))
    rows = np.flatnonzero(seen)
    value[rows] = evidence.shares(rows, reference, first)
    expected = _expected(evidence, reference, value[rows])
    # A lone pair that nobody observed has chance 1 by the rule above; its value is what is expected of it.
    value = np.where(cut & ~seen, expected, value)
    return Observed(value, seen | ~cut, chance, expected)


def consistency_rates(evidence: Evidence, sources: Sequence[str], first: int) -> list[RateRecord]:
    """Rates of all judged pairs, kept and dropped: first of everything, then by source.

    Returns:
        For each group one record against the label and one against the reward model's own order. Empty where
        no pair is usable.
    """
    if not evidence.usable.any():
        return []
    by_reference = {reference: observe(evidence, reference, first) for reference in REFERENCES}
    names = np.asarray(sources)
    groups: list[tuple[str, Bools]] = [("all", evidence.usable)]
    present = sorted(set(names[evidence.usable].tolist()))
    if len(present) > 1:
        groups += [(name, evidence.usable & (names == name)) for name in present]
    return [
        _rate(name, evidence, mine, reference, by_reference[reference])
        for name, mine in groups
        for reference in REFERENCES
    ]


def group_rates(evidence: Evidence, first: int) -> list[GroupRecord]:
    """Consistency with the label of the cut pairs by share of tokens cut, and by reward margin."""
    cut = evidence.cut & evidence.usable
    if not cut.any():
        return []
    observed = observe(evidence, "label", first)
    margin = evidence.full["chosen"].astype(float) - evidence.full["rejected"]
    edges = np.unique(np.quantile(margin[cut], np.linspace(0, 1, _MARGIN_GROUPS + 1)))
    edges = np.repeat(edges, 2) if len(edges) == 1 else edges
    records = []
    for by, values, bounds in (("share_cut", evidence.share_cut, np.asarray(SHARES)), ("margin", margin, edges)):
        for start, end in pairwise(bounds.tolist()):
            last = end == float(bounds[-1])
            mine = cut & (values >= start) & ((values <= end) if last else (values < end))
            if mine.any():
                rate = estimated_rate(observed.of(mine), evidence.prompts(mine))
                records.append(
                    GroupRecord.model_validate(
                        {
                            "by": by,
                            "start": float(start),
                            "end": float(end),
                            "pairs": int(mine.sum()),
                            "sampled": int((evidence.n[mine] > 0).sum()),
                            "rate": rate.value,
                            "low": rate.low,
                            "high": rate.high,
                        }
                    )
                )
    return records


def decisions(evidence: Evidence) -> list[DecisionRecord]:
    """Pairs by what decided them; every usable pair is in exactly one."""
    cost = evidence.n * evidence.sides_cut
    records = []
    for name in DECIDED_BY:
        mine = evidence.usable & (evidence.decided_by == name)
        if mine.any():
            keep = int((evidence.verdict[mine] == KEEP).sum())
            records.append(
                DecisionRecord(by=name, keep=keep, drop=int(mine.sum()) - keep, completions=int(cost[mine].sum()))
            )
    return records


def proxy_record(evidence: Evidence, *, threshold: float, accepted_error: float, first: int) -> ProxyRecord | None:
    """What the proxy knew, and what it got wrong on audit pairs that its fit had not seen; None before a fit."""
    proxy = evidence.proxy
    if proxy is None:
        return None
    audit = np.flatnonzero(evidence.audit & evidence.usable & (evidence.n >= first))
    skipped = audit[evidence.skippable[audit]]
    expected = evidence.expected[audit]
    error = None
    if len(skipped):
        keeps = evidence.foretold(skipped, threshold)
        error = held_out_error(evidence.posterior(skipped).wrong(keeps, threshold))
    known = not np.isnan(expected).any()
    return ProxyRecord(
        informative=proxy.informative,
        why=proxy.why,
        cut_pairs=int((evidence.cut & evidence.usable).sum()),
        audit_pairs=len(audit),
        skipped=int((evidence.decided_by == "proxy").sum()),
        accepted_error=accepted_error,
        error=error,
        gain=proxy.gain,
        calibration=calibration(expected, evidence.margin[audit], evidence.shares(audit, evidence.reference, first))
        if known and len(audit)
        else [],
        values_asked=0 if evidence.values is None else int(evidence.sides_cut.sum()),
        values_read=0
        if evidence.values is None
        else sum(int((np.isfinite(values) & evidence.sampled[side]).sum()) for side, values in evidence.values.items()),
    )


def estimator_record(evidence: Evidence) -> EstimatorRecord | None:
    """Whether gaps or wins decided in the end; None where the recipe counts or nothing was sampled."""
    fits = evidence.gap_fits
    if fits is None:
        return None
    return EstimatorRecord(used="rewards" if fits.trusted else "counts", why=fits.why, gain=fits.gain)


def _expected(evidence: Evidence, reference: Reference, seen: Floats) -> Floats:
    """m of every pair: the proxy's prediction, else the mean of what was seen."""
    mean = float(seen.mean()) if len(seen) else 0.5
    found = np.where(np.isnan(evidence.expected), mean, evidence.expected)
    if np.isnan(evidence.expected).all() or reference == evidence.reference:
        return found
    agrees = evidence.full["chosen"] >= evidence.full["rejected"]
    return np.where(agrees, found, 1 - found)


def _rate(name: str, evidence: Evidence, mine: Bools, reference: Reference, observed: Observed) -> RateRecord:
    rate = estimated_rate(observed.of(mine), evidence.prompts(mine))
    chosen, rejected = evidence.full["chosen"][mine], evidence.full["rejected"][mine]
    return RateRecord(
        source=name,
        reference=reference,
        pairs=int(mine.sum()),
        sampled=int((evidence.n[mine] > 0).sum()),
        rate=rate.value,
        low=rate.low,
        high=rate.high,
        reward_agrees=float(np.heaviside(chosen - rejected, 0.5).mean()),
    )
