"""Figures of a generation: scores by policy and by annotator, length against score, margins of the pairs."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from transforms.records.generation import GenerationManifest, LengthRecord
from transforms.report.figures import POINTS, Layer, Plot, Word, all_at, numbers, y_axis
from transforms.report.scales import (
    Numbers,
    Scale,
    Tick,
    bars,
    bin_count,
    counts,
    dots,
    nice_step,
    outline,
    token_bins,
)
from transforms.text import count, visible_plain

LEVELS: Final = 25  # different scores of a judge that are drawn as bars of their own
NAME: Final = 32  # characters of a name in a title


def policy_plots(manifest: GenerationManifest, responses: pl.DataFrame) -> list[Plot]:
    """The aggregate by policy on one axis, finished and unfinished responses; empty without scores."""
    scored = responses.filter(pl.col("score").is_finite())
    if scored.is_empty():
        return []
    bins = score_bins(numbers(scored, "score"))
    plots = []
    for voice in manifest.voices:
        mine = scored.filter(pl.col("policy").cast(pl.String) == voice.label)
        if mine.is_empty():
            continue
        parts = [numbers(mine.filter(pl.col("finished") == ended), "score") for ended in (True, False)]
        title = [Word(f"{_name(voice.label)}:"), Word("finished", "chosen")]
        title += [Word("and"), Word("unfinished", "dropped")] if len(parts[1]) else []
        plots.append(_stacked(title, parts, ("chosen", "dropped"), bins, "score", numbers(mine, "score").mean()))
    return plots


def annotator_plots(manifest: GenerationManifest, responses: pl.DataFrame) -> list[Plot]:
    """Every annotator's own scores, each on its own axis, for they have no common one."""
    plots = []
    for one in manifest.annotators:
        values = numbers(responses, f"score_{one.label}")
        if len(values):
            name = "score: from comparisons with the prompt's other responses" if one.pairwise else "score"
            title = [Word(f"{count(len(values))} scores of"), Word(_name(one.label), "kept")]
            plots.append(_stacked(title, [values], ("kept",), score_bins(values), name, values.mean()))
    return plots


def score_bins(values: Numbers) -> Numbers:
    """Bins for scores: one a level where they are few whole numbers, else equal ones over the middle 99 %."""
    levels = np.unique(values)
    if len(levels) <= LEVELS and np.array_equal(levels, np.round(levels)) and levels[-1] - levels[0] < LEVELS:
        return np.arange(levels[0] - 0.5, levels[-1] + 1)
    low, high = (float(end) for end in np.quantile(values, [0.005, 0.995]))
    step = nice_step((high - low or 1.0) / bin_count(len(values), 32))
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return np.arange(first, last + 1, dtype=np.float64) * step


def length_plots(manifest: GenerationManifest, responses: pl.DataFrame, pairs: pl.DataFrame) -> list[Plot]:
    """Score against length within prompts with the fitted slope, then the lengths of chosen and rejected."""
    found = [within_plot(responses, manifest.length) if manifest.length else None, _sides_plot(responses, pairs)]
    return [plot for plot in found if plot]


def within_plot(responses: pl.DataFrame, fit: LengthRecord) -> Plot | None:
    """Length over the prompt's own (geometric mean) against score less the prompt's mean; None where none differ."""
    within = (
        responses.filter(pl.col("score").is_finite())
        .with_columns(x=(1 + pl.col("tokens")).log())
        .select(
            "prompt",
            x=pl.col("x") - pl.col("x").mean().over("prompt"),
            y=pl.col("score") - pl.col("score").mean().over("prompt"),
            told=pl.col("tokens").max().over("prompt") > pl.col("tokens").min().over("prompt"),
        )
        .filter("told")
        .sort("x", "y")
    )
    if within.is_empty():
        return None
    x, y = numbers(within, "x"), numbers(within, "y")
    end = max(float(np.quantile(np.abs(x), 0.99)), math.log(1.25)) * 1.05
    across = Scale(-end, end)
    high = max(float(np.quantile(np.abs(y), 0.99)), abs(fit.slope) * end * 1.02, 1e-9) * 1.08
    up = Scale(-high, high)
    layers = []
    if fit.low is not None and fit.high is not None:
        layers.append(Layer(_bow_tie(fit.low, fit.high, end, up), "band quality"))
    # Rows are sorted by length, so equal steps through them are an even draw over lengths.
    shown = np.unique(np.linspace(0, len(x) - 1, min(POINTS, len(x))).astype(int))
    places = dots(all_at(across, x[shown]), 100 - all_at(up, y[shown]))
    line = f"M0 {100 - up.at(-fit.slope * end):.2f}L100 {100 - up.at(fit.slope * end):.2f}"
    layers += [Layer(places, "dots point"), Layer(line, "line quality")]
    title = [Word("Responses", "point"), Word("by length,"), Word("fitted slope", "quality")]
    if len(x) >= 30:
        groups = min(10, len(x) // 15)
        means = [
            (a.mean(), b.mean()) for a, b in zip(np.array_split(x, groups), np.array_split(y, groups), strict=True)
        ]
        marks = np.array(means)
        layers.append(Layer(dots(all_at(across, marks[:, 0]), 100 - all_at(up, marks[:, 1])), "dots mean"))
        title += [Word("and"), Word("means", "mean")]
    return Plot(
        title=title,
        x_name="length, over the prompt's own",
        x_ticks=_factors(across),
        y_ticks=[Tick(100 - at, text) for at, text in up.ticks(4)],
        layers=layers,
        levels=[Tick(100 - up.at(0.0), "")],
        note=f"up: score less the prompt's mean ({count(len(shown))} of {count(len(x))})",
    )


def _bow_tie(low: float, high: float, end: float, up: Scale) -> str:
    """Where lines through the middle with a slope from low to high lie."""
    left = [100 - up.at(-slope * end) for slope in (low, high)]
    right = [100 - up.at(slope * end) for slope in (low, high)]
    middle = 100 - up.at(0.0)
    return (
        f"M50 {middle:.2f}L0 {left[0]:.2f}L0 {left[1]:.2f}z"
        + f"M50 {middle:.2f}L100 {right[0]:.2f}L100 {right[1]:.2f}z"
    )


def _factors(across: Scale) -> list[Tick]:
    """½×, 1×, 2× … as far as the axis goes, at most seven of them."""
    most = max(1, int(across.high / math.log(2)))
    step = max(1, math.ceil(most / 3))
    powers = range(-(most // step) * step, most + 1, step)
    names = [f"{2**power}×" if power >= 0 else f"1/{2**-power}×" for power in powers]
    return [Tick(across.at(power * math.log(2)), name) for power, name in zip(powers, names, strict=True)]


def _sides_plot(responses: pl.DataFrame, pairs: pl.DataFrame) -> Plot | None:
    if pairs.is_empty():
        return None
    tokens = responses["tokens"].cast(pl.Float64).to_numpy()
    sides = {side: tokens[pairs[side].to_numpy()] for side in ("chosen", "rejected")}
    bins = token_bins(*sides.values())
    heights = {side: counts(values, bins) for side, values in sides.items()}
    top, ticks = y_axis(max(float(height.max()) for height in heights.values()))
    beyond = sum(int((values > bins[-1]).sum()) for values in sides.values())
    return Plot(
        title=[Word("Lengths of"), Word("chosen", "chosen"), Word("and"), Word("rejected", "rejected")],
        x_name="tokens",
        x_ticks=Scale(0, float(bins[-1])).ticks(5),
        y_ticks=ticks,
        layers=[
            Layer(outline(heights["chosen"], top), "fill chosen"),
            Layer(outline(heights["rejected"], top), "line rejected"),
        ],
        note=f"{count(beyond)} longer than {count(int(bins[-1]))} stand in the last bar" if beyond else "",
    )


def margin_plot(pairs: pl.DataFrame) -> Plot | None:
    """Margins of the pairs, from 0; None without pairs."""
    values = numbers(pairs, "margin")
    if not len(values):
        return None
    high = float(np.quantile(values, 0.995)) or 1.0
    step = nice_step(high / bin_count(len(values), 40))
    bins = np.arange(math.ceil(high / step - 1e-9) + 1, dtype=np.float64) * step
    title = [Word(f"{count(len(values))} pair{'' if len(values) == 1 else 's'}", "kept"), Word("by margin")]
    return _stacked(title, [values], ("kept",), bins, "score of chosen − score of rejected", float(np.median(values)))


def _stacked(
    title: list[Word], parts: Sequence[Numbers], styles: Sequence[str], bins: Numbers, x_name: str, rule: float
) -> Plot:
    """Bars of several parts on each other, with a vertical line at `rule`."""
    heights = [counts(part, bins) for part in parts]
    top, ticks = y_axis(float(np.sum(heights, axis=0).max()))
    scale = Scale(float(bins[0]), float(bins[-1]))
    layers, base = [], np.zeros(len(bins) - 1)
    for height, style in zip(heights, styles, strict=True):
        if height.any():
            layers.append(Layer(bars(height, top, base), f"fill {style}"))
        base = base + height
    return Plot(
        title=title,
        x_name=x_name,
        x_ticks=scale.ticks(5),
        y_ticks=ticks,
        layers=layers,
        rules=[Tick(scale.at(rule), "")],
    )


def _name(label: str) -> str:
    shown = visible_plain(label)
    return shown if len(shown) <= NAME else shown[: NAME - 1] + "…"
