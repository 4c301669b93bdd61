"""Where the pairs went and how often the cut kept their order: the two figures made of labelled rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from transforms.audit.published_rates import LOWEST, PUBLISHED, points_in_words
from transforms.records.manifest import Counts, RateRecord
from transforms.report.codes_in_words import reason_in_words
from transforms.report.scales import Scale, Tick
from transforms.text import interval, percent


class FunnelRow(NamedTuple):
    """One bar of the waterfall, in percent of all pairs."""

    name: str
    kind: Literal["all", "lost", "kept"]
    left: float
    width: float
    pairs: int
    share: str


class ForestRow(NamedTuple):
    """One estimate with its interval, in percent of the axis."""

    group: str  # printed above its first row
    first: bool
    name: str
    kind: Literal["label", "reward", "before", "agrees", "published"]
    at: float
    low: float
    high: float
    text: str
    note: str


@dataclass(frozen=True, slots=True)
class Forest:
    """Consistency by source beside the published rates."""

    rows: list[ForestRow]
    ticks: list[Tick]
    zone: float  # shaded from the left up to here; the template says what it is


def losses(counts: Counts) -> list[tuple[str, int]]:
    """(what happened, pairs) for every way out, in the order of the stages that did it."""
    order = [reason for stage in counts.stages for reason in stage.dropped]
    ranked = sorted(counts.dropped, key=lambda reason: (_place(order, reason), reason))
    quarantined = [("quarantined: unusable rows", counts.quarantined)] if counts.quarantined else []
    dropped = [(reason_in_words(reason), counts.dropped[reason]) for reason in ranked if counts.dropped[reason]]
    return quarantined + dropped


def _place(order: Sequence[str], reason: str) -> int:
    return order.index(reason) if reason in order else len(order)


def funnel(counts: Counts) -> list[FunnelRow]:
    """The waterfall: all pairs, each loss where it leaves off, what was kept."""
    return waterfall(("pairs read", counts.pairs), losses(counts), ("kept", counts.kept))


def waterfall(all_of: tuple[str, int], lost: Sequence[tuple[str, int]], kept: tuple[str, int]) -> list[FunnelRow]:
    """A bar for all, one for each loss where the bar before leaves off, one for what is left; each (name, number)."""
    scale = Scale(0, max(all_of[1], 1))
    rows = [_funnel_row(all_of[0], "all", 0, all_of[1], scale)]
    left = all_of[1]
    for name, number in lost:
        left -= number
        rows.append(_funnel_row(name, "lost", left, number, scale))
    return [*rows, _funnel_row(kept[0], "kept", 0, kept[1], scale)]


def _funnel_row(name: str, kind: Literal["all", "lost", "kept"], start: int, count: int, scale: Scale) -> FunnelRow:
    share = percent(count / scale.high)
    left = scale.at(start)
    return FunnelRow(name, kind, left, round(scale.at(start + count) - left, 2), count, share)


def adds_up(counts: Counts) -> bool:
    """pairs = kept + dropped + quarantined, and kept = the splits."""
    out = counts.kept + sum(counts.dropped.values()) + counts.quarantined
    return out == counts.pairs and sum(counts.splits.values()) == counts.kept


def distinct_sources(rates: Sequence[RateRecord]) -> list[str]:
    """The sources in order; a single one is the same as all of them together and is left out."""
    names = list(dict.fromkeys(rate.source for rate in rates))
    return names[:1] if len(names) == 2 and "all" in names else names


def forest(rates: Sequence[RateRecord]) -> Forest:
    """One group a source (all of them together first), then the published rates."""
    lowest = min([rate.low for rate in rates] + [rate.reward_agrees for rate in rates] + [0.9])
    scale = Scale(max(0.0, int(lowest * 20 - 0.2) / 20), 1.0)
    rows = []
    for source in distinct_sources(rates):
        mine = [rate for rate in rates if rate.source == source]
        rows += [_measured(rate, scale, first=at == 0) for at, rate in enumerate(mine)]
        rows.append(_before(mine[0], scale))
    for at, row in enumerate(PUBLISHED):
        place = scale.at(row.rate)
        rows.append(
            ForestRow(
                "Published for POET",
                at == 0,
                row.setting,
                "published",
                place,
                place,
                place,
                percent(row.rate),
                points_in_words(row),
            )
        )
    return Forest(rows, scale.ticks(5, percent=True), scale.at(LOWEST))


def _measured(rate: RateRecord, scale: Scale, *, first: bool) -> ForestRow:
    return ForestRow(
        group="All sources" if rate.source == "all" else rate.source,
        first=first,
        name="against the label" if rate.reference == "label" else "against the reward model",
        kind=rate.reference,
        at=scale.at(rate.rate),
        low=scale.at(rate.low),
        high=scale.at(rate.high),
        text=interval(rate.rate, rate.low, rate.high),
        note="",
    )


def _before(rate: RateRecord, scale: Scale) -> ForestRow:
    place = scale.at(rate.reward_agrees)
    text = percent(rate.reward_agrees)
    return ForestRow(rate.source, False, "label, before any cut", "before", place, place, place, text, "")
