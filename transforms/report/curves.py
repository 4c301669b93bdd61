"""Curves with interval bands: prefix quality against what is kept, entropy and log-prob by position."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from transforms.audit import CurvePoint, PositionCurves
from transforms.report.figures import Label, Layer, Plot, Word
from transforms.report.scales import Numbers, Scale, Tick, around, band, polyline
from transforms.report.text import count

NAMES = {"tokens": "tokens kept of each response", "ratio": "share kept of each response"}


def quality_plot(points: Sequence[CurvePoint], by: Literal["tokens", "ratio"]) -> Plot | None:
    """ΔQ(k): how much better the chosen prefix is than the rejected one (methods §3); None without points.

    Args:
        points: in any order; `at` is kept tokens or the kept ratio.
        by: which of the two it is.
    """
    if not points:
        return None
    points = sorted(points, key=lambda point: point.at)
    across = Scale(0, 1) if by == "ratio" else Scale(0, max(1.0, points[-1].at) * 1.04)
    up = around(0.0, *_heights(points))
    xs, line, area = _shape(points, across, up)
    return Plot(
        title=[Word("ΔQ", "quality"), Word("and its 95\u00a0% interval by", ""), Word(by)],
        x_name=NAMES[by],
        x_ticks=across.ticks(5, percent=by == "ratio"),
        y_ticks=_up_ticks(up),
        layers=[
            Layer(area, "band quality"),
            Layer(line, "line quality"),
            Layer(_marks(points, xs, up), "dots quality"),
        ],
        levels=[Tick(100 - up.at(0.0), "")],
        note=_pairs_behind(points),
    )


def position_plot(curves: Sequence[PositionCurves], measure: Literal["entropy", "log_prob"]) -> Plot | None:
    """Entropy or log-prob in nats by response position, chosen and rejected; None without points."""
    drawn: dict[str, list[CurvePoint]] = {
        one.side: sorted(getattr(one, measure), key=lambda point: point.at) for one in curves
    }
    drawn = {side: points for side, points in drawn.items() if points}
    if not drawn:
        return None
    together = [point for points in drawn.values() for point in points]
    across = around(*(point.at for point in together), least=1.0, margin=0.01)
    up = around(*_heights(together), least=0.1)
    shapes = {side: _shape(points, across, up) for side, points in drawn.items()}
    name = {"entropy": "Entropy", "log_prob": "Log-prob of the data"}[measure]
    words = [word for side in drawn for word in (Word("and"), Word(side, side))][1:]
    return Plot(
        title=[Word(f"{name} of"), *words],
        x_name="position in the response, tokens",
        x_ticks=across.ticks(5, whole=True),
        y_ticks=_up_ticks(up),
        layers=[
            *(Layer(area, f"band {side}") for side, (_, _, area) in shapes.items()),
            *(Layer(line, f"line {side}") for side, (_, line, _) in shapes.items()),
        ],
        labels=_labels(drawn, across, up),
        note=_pairs_behind(next(iter(drawn.values()))),
    )


def _labels(drawn: dict[str, list[CurvePoint]], across: Scale, up: Scale) -> list[Label]:
    """Each side's name at its own line, where the two are farthest apart: one over, the other under."""
    if len(drawn) < 2:
        return []
    (one, ones), (two, twos) = drawn.items()
    other = {point.at: point for point in twos}
    shared = [(point, other[point.at]) for point in ones if point.at in other]
    # Labels need room to the sides; without a shared point in the middle the title's colours must do.
    shared = [pair for pair in shared if 12 <= across.at(pair[0].at) <= 88]
    if not shared:
        return []
    first, second = max(shared, key=lambda pair: abs(pair[0].mean - pair[1].mean))
    x = across.at(first.at)
    named = sorted([(first, one), (second, two)], key=lambda pair: pair[0].mean)
    return [
        Label(x, 100 - up.at(named[1][0].high), named[1][1], named[1][1], over=True),
        Label(x, 100 - up.at(named[0][0].low), named[0][1], named[0][1], over=False),
    ]


def _shape(points: Sequence[CurvePoint], across: Scale, up: Scale) -> tuple[Numbers, str, str]:
    """Positions along the axis, the line of the means, the area of the intervals."""
    xs = np.array([across.at(point.at) for point in points])
    means, lows, highs = (
        np.array([100 - up.at(getattr(point, name)) for point in points]) for name in ("mean", "low", "high")
    )
    return xs, polyline(xs, means), band(xs, lows, highs)


def _marks(points: Sequence[CurvePoint], xs: Numbers, up: Scale) -> str:
    return "".join(f"M{x:.2f} {100 - up.at(point.mean):.2f}h0" for x, point in zip(xs, points, strict=True))


def _heights(points: Sequence[CurvePoint]) -> list[float]:
    return [value for point in points for value in (point.low, point.mean, point.high)]


def _up_ticks(up: Scale) -> list[Tick]:
    return [Tick(100 - at, text) for at, text in up.ticks(4)]


def _pairs_behind(points: Sequence[CurvePoint]) -> str:
    """How many pairs the means stand on: far positions have few."""
    first, last = points[0].pairs, points[-1].pairs
    if first == last:
        return f"each point is a mean over {count(first)} pairs"
    return f"a mean over {count(first)} pairs at the left end, {count(last)} at the right"
