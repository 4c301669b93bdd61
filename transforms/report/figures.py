"""Distributions over pairs as plots. Built from histograms, so that 256,000 rows draw as fast as 256."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from transforms.report.scales import (
    Numbers,
    Scale,
    Tick,
    bars,
    bin_count,
    counts,
    dots,
    edges,
    nice_step,
    outline,
    token_bins,
)
from transforms.text import count

POINTS: Final = 300  # marks in the scatter; more only paint over each other


class Layer(NamedTuple):
    """An SVG path in a 100 x 100 box and its style class; `width` in pixels where the style's will not do."""

    path: str
    style: str
    width: float | None = None


class Word(NamedTuple):
    """A word of a plot's title; its colour says which marks it means."""

    text: str
    style: str = ""


class Label(NamedTuple):
    """A word beside the marks it names. `x` and `y` in percent, y downwards; it stands over or under that point."""

    x: float
    y: float
    text: str
    style: str
    over: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """One panel. Positions in percent, y downwards."""

    title: list[Word]
    x_name: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    layers: list[Layer]
    rules: list[Tick] = field(default_factory=list)  # vertical reference lines
    levels: list[Tick] = field(default_factory=list)  # horizontal ones
    labels: list[Label] = field(default_factory=list)
    note: str = ""


def numbers(frame: pl.DataFrame, column: str) -> Numbers:
    """The finite values of a column."""
    values: Numbers = frame[column].cast(pl.Float64).drop_nulls().to_numpy()
    finite: Numbers = values[np.isfinite(values)]
    return finite


def y_axis(top: float, *, percent: bool = False) -> tuple[float, list[Tick]]:
    """The axis' upper end, a little above `top`, and its ticks."""
    scale = Scale(0, top * 1.06 if top > 0 else 1)
    return scale.high, [Tick(100 - at, text) for at, text in scale.ticks(3, percent=percent, whole=not percent)]


def kept_lengths(rows: pl.LazyFrame) -> pl.DataFrame:
    """What is drawn and said of the lengths of kept pairs: tokens and keeps, and whether a side is cut."""
    columns = [f"{side}_{name}" for side in ("chosen", "rejected") for name in ("tokens", "keep", "cut")]
    return rows.filter(pl.col("verdict") == "keep").select(columns).collect(engine="streaming")


def length_plots(kept: pl.DataFrame) -> list[Plot]:
    """Response lengths before and after the cut, one panel a side, then how much of a cut response stayed."""
    sides = ("chosen", "rejected")
    before = {side: numbers(kept, f"{side}_tokens") for side in sides}
    after = {side: numbers(kept, f"{side}_keep") for side in sides}
    bins = token_bins(*before.values())
    return [_lengths(side, before[side], after[side], bins) for side in sides] + _shares(before, after)


def _lengths(side: str, before: Numbers, after: Numbers, bins: Numbers) -> Plot:
    was, is_now = counts(before, bins), counts(after, bins)
    top, ticks = y_axis(max(was.max(initial=0), is_now.max(initial=0)))
    beyond = int((before > bins[-1]).sum())
    return Plot(
        title=[
            Word(f"{side.capitalize()}:"),
            Word("before", "before"),
            Word("and"),
            Word("after the cut", side),
        ],
        x_name="tokens",
        x_ticks=Scale(0, float(bins[-1])).ticks(5),
        y_ticks=ticks,
        layers=[
            Layer(outline(is_now, top), f"fill {side}"),
            Layer(outline(was, top), "line before"),
        ],
        note=f"{count(beyond)} longer than {count(int(bins[-1]))} stand in the last bar" if beyond else "",
    )


def _shares(before: dict[str, Numbers], after: dict[str, Numbers]) -> list[Plot]:
    """Share of tokens kept, of responses that lost more than their end-of-turn; none if there are none."""
    kept = {side: after[side] / np.maximum(before[side], 1) for side in before}
    cut = {side: kept[side][after[side] < before[side] - 1] for side in kept}
    drawn = sum(map(len, cut.values()))
    if not drawn:
        return []
    bins = edges(0, 1, 20 if drawn >= 250 else 10)
    heights = {side: counts(cut[side], bins) for side in cut}
    top, ticks = y_axis(max(float(values.max(initial=0)) for values in heights.values()))
    whole = sum(map(len, kept.values())) - drawn
    return [
        Plot(
            title=[
                Word("Share kept of cut"),
                Word("chosen", "chosen"),
                Word("and"),
                Word("rejected", "rejected"),
            ],
            x_name="share of the response's tokens",
            x_ticks=Scale(0, 1).ticks(2, percent=True),
            y_ticks=ticks,
            layers=[Layer(outline(heights[side], top), f"line fillsoft {side}") for side in heights],
            note=f"{count(whole)} responses that stayed whole are not drawn" if whole else "",
        )
    ]


def margin_plot(rows: pl.DataFrame) -> Plot | None:
    """Reward of chosen minus rejected, full responses, for kept and dropped pairs; None without rewards."""
    rows = rows.with_columns(margin=pl.col("reward_chosen") - pl.col("reward_rejected"))
    groups = {
        "kept": numbers(rows.filter(pl.col("verdict") == "keep"), "margin"),
        "dropped": numbers(rows.filter(pl.col("verdict") != "keep"), "margin"),
    }
    together = np.concatenate(list(groups.values()))
    if not len(together):
        return None
    low, high = np.quantile(together, [0.005, 0.995])
    step = nice_step((max(high, 0.0) - min(low, 0.0) or 1.0) / bin_count(len(together), 40))
    bins = np.arange(np.floor(min(low, 0.0) / step), np.ceil(max(high, step) / step) + 0.5) * step
    # A share of five pairs is a spike; below 30 in a group, plain counts are the honest picture.
    as_share = min(map(len, groups.values())) >= 30
    heights = {name: counts(values, bins) / (len(values) if as_share else 1) for name, values in groups.items()}
    top, ticks = y_axis(max(float(height.max(initial=0)) for height in heights.values()), percent=as_share)
    scale = Scale(float(bins[0]), float(bins[-1]))
    return Plot(
        title=[
            Word(f"{count(len(groups['kept']))} kept", "kept"),
            Word("and"),
            Word(f"{count(len(groups['dropped']))} dropped", "dropped"),
            Word("pairs"),
        ],
        x_name="reward of chosen − reward of rejected",
        x_ticks=scale.ticks(6),
        y_ticks=ticks,
        layers=[
            Layer(outline(heights["kept"], top), "fill kept"),
            Layer(outline(heights["dropped"], top), "line dropped"),
        ],
        rules=[Tick(scale.at(0.0), "")],
        note="up is the share of the group's own pairs, so that small and large groups compare"
        if as_share
        else "up is the number of pairs",
    )


def consistency_plots(rows: pl.DataFrame) -> list[Plot]:
    """How consistent each pair is, and how that goes with the reward margin; empty if unmeasured."""
    measured = rows.filter(pl.col("consistency").is_finite())
    if measured.is_empty():
        return []
    scatter = _margin_scatter(measured)
    return [_consistency_histogram(measured), *([scatter] if scatter else [])]


def _consistency_histogram(measured: pl.DataFrame) -> Plot:
    # 21 bars centred on 0, 0.05, … 1: thirds, halves and ninths of small n fall well inside one.
    bins = edges(-0.025, 1.025, 21)
    kept = counts(numbers(measured.filter(pl.col("verdict") == "keep"), "consistency"), bins)
    dropped = counts(numbers(measured.filter(pl.col("verdict") != "keep"), "consistency"), bins)
    top, ticks = y_axis(float((kept + dropped).max()))
    scale = Scale(-0.025, 1.025)
    return Plot(
        title=[Word("Pairs by consistency:"), Word("kept", "kept"), Word("and"), Word("dropped", "dropped")],
        x_name="consistency of the pair",
        x_ticks=[Tick(scale.at(value), f"{100 * value:.0f}\u00a0%") for value in (0, 0.25, 0.5, 0.75, 1)],
        y_ticks=ticks,
        layers=[Layer(bars(kept, top), "fill kept"), Layer(bars(dropped, top, kept), "fill dropped")],
    )


def _margin_scatter(measured: pl.DataFrame) -> Plot | None:
    """Consistency against the absolute reward margin: a few hundred pairs, and means of equal groups."""
    margin = (pl.col("reward_chosen") - pl.col("reward_rejected")).abs()
    frame = measured.with_columns(margin=margin).filter(pl.col("margin").is_finite()).sort("margin", "pair_id")
    if frame.height < 30:
        return None
    x, y = numbers(frame, "margin"), numbers(frame, "consistency")
    across = Scale(0, float(np.quantile(x, 0.99)) or 1.0)
    up = Scale(-0.08, 1.08)
    groups = min(10, frame.height // 15)
    means = [(part_x.mean(), part_y.mean()) for part_x, part_y in zip(*_parts(x, y, groups), strict=True)]
    # Pair ids are hashes, so the first few hundred of them are a random draw; golden-ratio steps spread the
    # marks of one value apart without chance.
    shown = np.flatnonzero(frame["pair_id"].rank("ordinal").to_numpy() <= POINTS)
    nudge = (np.arange(len(shown)) * 0.618034 % 1 - 0.5) * 0.09
    line = "L".join(f"{across.at(a):.2f} {100 - up.at(b):.2f}" for a, b in means)
    return Plot(
        title=[
            Word("Consistency by reward margin:"),
            Word("pairs", "point"),
            Word("and"),
            Word("means", "mean"),
        ],
        x_name="|reward of chosen − reward of rejected|",
        x_ticks=across.ticks(5),
        y_ticks=[Tick(100 - up.at(value), f"{100 * value:.0f}\u00a0%") for value in (0, 0.5, 1)],
        layers=[
            Layer(dots(all_at(across, x[shown]), 100 - all_at(up, y[shown] + nudge)), "dots point"),
            Layer(f"M{line}", "line mean"),
            Layer("M" + line.replace("L", "h0M") + "h0", "dots mean"),
        ],
        note=f"{count(len(shown))} of {count(frame.height)} pairs drawn, spread a little up and down"
        if frame.height > POINTS
        else "drawn a little up and down so that equal values do not hide each other",
    )


def _parts(x: Numbers, y: Numbers, groups: int) -> tuple[list[Numbers], list[Numbers]]:
    return np.array_split(x, groups), np.array_split(y, groups)


def all_at(scale: Scale, values: Numbers) -> Numbers:
    return np.array([scale.at(value) for value in values])
