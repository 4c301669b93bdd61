"""Readers of what is known of data before a training: an audit, a curated run's manifest. Shares in percent."""

from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from flows.reproduce.found import Found, Names, Options, chosen, gathered, nothing, point, read_record
from transforms.records.audit import Audit, CurvePoint
from transforms.records.manifest import Manifest
from transforms.records.reproduction import SeriesPoint

AUDIT: Final = "audit.json"
MANIFEST: Final = "manifest.json"


class ConsistencyOptions(Options):
    """Which order is the right one, and which methods."""

    against: Literal["label", "reward"] = "label"
    names: Names = Field({})


class QualityOptions(Options):
    """ΔQ(k) by what."""

    by: Literal["tokens", "ratio", "values"] = "tokens"


class PositionOptions(Options):
    """What is read by position, and on which side."""

    measure: Literal["entropy", "log_prob"]
    side: Literal["chosen", "rejected"]


class RateOptions(Options):
    """Which order is the right one, of which sources ("all" is all of them together)."""

    against: Literal["label", "reward"] = "label"
    names: Names = Field({"all": "all"})


class GroupsOptions(Options):
    """What pairs are grouped by."""

    by: Literal["margin", "share_cut"] = "margin"


class ProxyOptions(Options):
    """What stands on the axis."""

    x: Literal["margin", "predicted"] = "margin"


def curve(points: list[CurvePoint], *, times: float = 1.0) -> list[SeriesPoint]:
    """A record's curve, from left to right."""
    return [point(one.at, one.mean, one, times=times) for one in sorted(points, key=lambda one: one.at)]


def curve_or(points: list[CurvePoint], why: str, *, times: float = 1.0) -> Found:
    """A curve; where it is empty, `why` it is."""
    return Found(curve(points, times=times)) if points else nothing(why)


def consistency(folder: Path, options: ConsistencyOptions) -> Found:
    """Of each way to truncate, the consistency rate of the audited pairs (POET, table 1); x is the method."""
    methods = {one.name: one for one in read_record(folder, AUDIT, Audit).methods}

    def read(name: str, x: float | str) -> SeriesPoint | str:
        rate = methods[name].consistency if options.against == "label" else methods[name].by_reward
        return point(x, rate.value, rate, times=100) if rate.count else "no pair was audited"

    return gathered(chosen(options.names, methods, "method"), read)


def quality(folder: Path, options: QualityOptions) -> Found:
    """ΔQ(k), in the reward model's unit (POET, figure 3); x is the kept tokens, or the kept ratio in [0, 1]."""
    found = read_record(folder, AUDIT, Audit)
    by = {"tokens": found.quality_by_tokens, "ratio": found.quality_by_ratio, "values": found.values_by_tokens}
    return curve_or(by[options.by], f"the audit has no ΔQ(k) by {options.by}")


def position(folder: Path, options: PositionOptions) -> Found:
    """The policy on the data by token position, nats (POET, figure 2)."""
    curves = {one.side: one for one in read_record(folder, AUDIT, Audit).positions}
    if options.side not in curves:
        return nothing(f"the audit read no {options.side} response by position")
    found = curves[options.side]
    points = found.entropy if options.measure == "entropy" else found.log_prob
    return curve_or(points, f"the audit has no {options.measure} of {options.side} responses by position")


def rate(folder: Path, options: RateOptions) -> Found:
    """A curated run's consistency rate, unbiased although sampling was adaptive; x is the source."""
    found = [one for one in read_record(folder, MANIFEST, Manifest).consistency if one.reference == options.against]
    if not found:
        return nothing(f"the run has no consistency rate against the {options.against}")
    by_source = {one.source: one for one in found}

    def read(name: str, x: float | str) -> SeriesPoint | str:
        one = by_source[name]
        return point(x, one.rate, one, times=100) if one.pairs else "the rate speaks of no pair"

    return gathered(chosen(options.names, by_source, "source"), read)


def groups(folder: Path, options: GroupsOptions) -> Found:
    """Consistency of cut pairs by their reward margin or by how much was cut; x is the middle of the group."""
    found = [one for one in read_record(folder, MANIFEST, Manifest).groups if one.by == options.by and one.pairs]
    drawn = [
        point((one.start + one.end) / 2, one.rate, one, times=100) for one in sorted(found, key=lambda one: one.start)
    ]
    return Found(drawn) if drawn else nothing(f"the run has no groups of pairs by {options.by}")


def proxy(folder: Path, options: ProxyOptions) -> Found:
    """Consistency that sampling found of audit pairs of like prediction (POET, appendix A).

    x is the mean reward margin towards the reference, or P(consistent) as it was foretold, in [0, 1].
    """
    found = read_record(folder, MANIFEST, Manifest).proxy
    if found is None or not found.calibration:
        return nothing("the run fitted no proxy" if found is None else f"the proxy has no calibration: {found.why}")
    drawn = [
        point(one.margin if options.x == "margin" else one.predicted, one.observed.value, one.observed, times=100)
        for one in found.calibration
        if one.observed.count
    ]
    return Found(sorted(drawn, key=lambda one: one.x))
