"""What the reward margin foretold and what sampling found; where the cut keeps the order and where it does not."""

import math
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from transforms.records.manifest import CalibrationPoint, GroupRecord, ProxyRecord
from transforms.report.figures import Layer, Plot, Word
from transforms.report.scales import Scale, Tick, whiskers
from transforms.text import count, interval, percent

WIDEST_MARK: Final = 24.0  # pixels across, for the point of most pairs
NAMES: Final = {
    "share_cut": ("Rate by share cut", "response tokens cut, of all"),
    "margin": ("Rate by reward margin", "reward of chosen − reward of rejected, full responses"),
}


def calibration_plot(points: Sequence[CalibrationPoint]) -> Plot | None:
    """Predicted against observed consistency; a mark's area is its number of pairs. None without points."""
    if not points:
        return None
    # One scale for both axes, so that the diagonal of the panel is where prediction and finding agree. Intervals
    # of few pairs may leave it: drawn whole, they would press the points into a corner.
    ends = [value for point in points for value in (point.predicted, point.observed.value)]
    scale = Scale(max(0.0, math.floor(min(*ends, 0.9) * 10) / 10), 1.0)
    most = max(point.observed.count for point in points)
    xs = np.array([scale.at(point.predicted) for point in points])
    lows = np.array([100 - scale.at(point.observed.low) for point in points])
    highs = np.array([100 - scale.at(point.observed.high) for point in points])
    marks = [
        Layer(
            f"M{scale.at(point.predicted):.2f} {100 - scale.at(point.observed.value):.2f}h0",
            "dots proxied",
            round(max(5.0, WIDEST_MARK * math.sqrt(point.observed.count / max(most, 1))), 1),
        )
        for point in points
    ]
    ticks = scale.ticks(4, percent=True)
    beyond = any(point.observed.low < scale.low for point in points)
    return Plot(
        title=[
            Word("Audit pairs,"),
            Word("foretold and found", "proxied"),
            Word("(dashed: where both agree)"),
        ],
        x_name="foretold by the reward margin",
        x_ticks=ticks,
        y_ticks=[Tick(100 - at, text) for at, text in ticks],
        layers=[
            Layer("M0 100L100 0", "line diagonal"),
            Layer(whiskers(xs, lows, highs), "line proxied"),
            *marks,
        ],
        note=f"the largest mark is {count(most)} pairs; up is what sampling found, with its 95\u00a0% interval"
        + ("; those that touch the lower edge go on" if beyond else ""),
    )


def error_in_words(proxy: ProxyRecord) -> str:
    """The error of skipped decisions beside the accepted one, as a sentence."""
    accepted = percent(proxy.accepted_error)
    if proxy.error is None:
        return f"The error was not measured; up to {accepted} was accepted."
    found = interval(proxy.error.value, proxy.error.low, proxy.error.high)
    if proxy.error.value <= proxy.accepted_error < proxy.error.high:
        held = f"within the {accepted} that was accepted, though the interval reaches beyond it"
    elif proxy.error.value <= proxy.accepted_error:
        held = f"within the {accepted} that was accepted"
    elif proxy.error.low <= proxy.accepted_error:
        held = f"above the {accepted} that was accepted, though the interval reaches down to it"
    else:
        held = f"above the {accepted} that was accepted"
    return f"{found} of {count(proxy.error.count)} held-out decisions: {held}."


def group_plots(groups: Sequence[GroupRecord]) -> list[Plot]:
    """The rate as a step for every group of like pairs, one panel a measure."""
    panels = [_steps(by, [group for group in groups if group.by == by]) for by in ("share_cut", "margin")]
    return [panel for panel in panels if panel]


def _steps(by: Literal["share_cut", "margin"], groups: list[GroupRecord]) -> Plot | None:
    if not groups:
        return None
    groups = sorted(groups, key=lambda group: group.start)
    across = Scale(0, 1) if by == "share_cut" else _across(groups)
    up = Scale(max(0.0, math.floor(min(*(group.low for group in groups), 0.95) * 10) / 10), 1.0)
    edges = [(across.at(group.start), across.at(group.end)) for group in groups]
    bands = "".join(
        f"M{left:.2f} {100 - up.at(group.low):.2f}H{right:.2f}V{100 - up.at(group.high):.2f}H{left:.2f}z"
        for (left, right), group in zip(edges, groups, strict=True)
    )
    steps = "".join(
        f"M{left:.2f} {100 - up.at(group.rate):.2f}H{right:.2f}"
        for (left, right), group in zip(edges, groups, strict=True)
    )
    title, x_name = NAMES[by]
    return Plot(
        title=[Word(f"{title}:"), Word("mean and 95\u00a0% interval", "chosen")],
        x_name=x_name,
        x_ticks=across.ticks(4, percent=by == "share_cut"),
        y_ticks=[Tick(100 - at, text) for at, text in up.ticks(4, percent=True)],
        layers=[Layer(bands, "band chosen"), Layer(steps, "line chosen")],
        rules=[Tick(across.at(0.0), "")] if across.low < 0 < across.high else [],
        note=_beyond(groups, across),
    )


def _across(groups: list[GroupRecord]) -> Scale:
    """From the first group to the last, but the two outermost no wider than twice the median group.

    Rewards have tails: drawn to scale, one far pair would press all other groups into a line.
    """
    inner = groups[1:-1]
    if not inner:
        return Scale(groups[0].start, groups[-1].end) if groups[0].start < groups[-1].end else Scale(-1, 1)
    wide = 2 * float(np.median([group.end - group.start for group in inner]))
    return Scale(max(groups[0].start, groups[0].end - wide), min(groups[-1].end, groups[-1].start + wide))


def _beyond(groups: list[GroupRecord], across: Scale) -> str:
    cut = groups[0].start < across.low or groups[-1].end > across.high
    return f"the outermost groups reach from {_number(groups[0].start)} to {_number(groups[-1].end)}" if cut else ""


def group_range(group: GroupRecord) -> str:
    """Where the group's measure lies."""
    if group.by == "share_cut":
        return f"{percent(group.start, 0)} to {percent(group.end, 0)}"
    return f"{_number(group.start)} to {_number(group.end)}"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
