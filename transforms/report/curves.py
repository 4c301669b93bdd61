"""Curves with interval bands: prefix quality against what is kept, entropy and log-prob by position."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from transforms.audit import CurvePoint, PositionCurves
from transforms.report.figures import Label, Layer, Plot, Word
from transforms.report.scales import Numbers, Scale, Tick, around, band, polyline
from transforms.report.text import count

NAMES: Final = {"tokens": "tokens kept of each response", "ratio": "share kept of each response"}
WORD: Final = 11  # half the width of a label, in percent of a panel on a phone


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
    up = around(*_heights(together), least=0.1, margin=0.14)  # room for the labels
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
            # A single point is a line of no length, which only dots are wide enough to show.
            *(Layer(line, f"{'line' if len(xs) > 1 else 'dots'} {side}") for side, (xs, line, _) in shapes.items()),
        ],
        labels=_labels(drawn, across, up),
        note=_pairs_behind(next(iter(drawn.values()))),
    )


def policy_kl_plot(points: Sequence[CurvePoint]) -> Plot | None:
    """KL(π ‖ π_ref) in nats by response position (methods §6); None without points."""
    if not points:
        return None
    points = sorted(points, key=lambda point: point.at)
    across = around(*(point.at for point in points), least=1.0, margin=0.01)
    up = around(0.0, *_heights(points), least=0.1)
    xs, line, area = _shape(points, across, up)
    return Plot(
        title=[Word("KL from the reference", "quality"), Word("and its 95\u00a0% interval by position")],
        x_name="position in the response, tokens",
        x_ticks=across.ticks(5, whole=True),
        y_ticks=_up_ticks(up),
        layers=[Layer(area, "band quality"), Layer(line, f"{'line' if len(xs) > 1 else 'dots'} quality")],
        levels=[Tick(100 - up.at(0.0), "")],
        note=_pairs_behind(points, "responses"),
    )


def _labels(drawn: dict[str, list[CurvePoint]], across: Scale, up: Scale) -> list[Label]:
    """Each side's name at its own line: one over both bands, the other under them, where these are flattest.

    None where there is one line, or no stretch as wide as a word in which the lines do not cross.
    """
    if len(drawn) < 2:
        return []
    lows, highs, means = (
        np.array([_along(points, across, up, name) for points in drawn.values()]) for name in ("low", "high", "mean")
    )
    best: tuple[float, list[Label]] = (np.inf, [])
    for x in range(WORD, 101 - WORD, 2):
        here = slice(x - WORD, x + WORD + 1)
        apart = means[0, here] - means[1, here]
        over, under = float(highs[:, here].max()), float(lows[:, here].min())
        stretch = over - under
        if np.isnan(stretch) or np.abs(np.sign(apart).sum()) < apart.size or stretch >= best[0]:
            continue
        upper, lower = list(drawn) if apart[0] > 0 else list(drawn)[::-1]
        best = (
            stretch,
            [
                Label(x, round(100 - over, 2), upper, upper, over=True),
                Label(x, round(100 - under, 2), lower, lower, over=False),
            ],
        )
    return best[1]


def _along(points: Sequence[CurvePoint], across: Scale, up: Scale, name: str) -> Numbers:
    """The curve's height in percent at 0, 1, … 100 percent of the axis; NaN beyond its ends."""
    xs = [across.at(point.at) for point in points]
    heights = [up.at(getattr(point, name)) for point in points]
    along: Numbers = np.interp(np.arange(101.0), xs, heights, np.nan, np.nan)
    return along


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


def _pairs_behind(points: Sequence[CurvePoint], what: str = "pairs") -> str:
    """How many pairs the means stand on: far positions have few."""
    first, last = points[0].pairs, points[-1].pairs
    if first == last:
        return f"each point is a mean over {count(first)} {what}"
    return f"a mean over {count(first)} {what} at the left end, {count(last)} at the right"
