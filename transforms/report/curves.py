"""Curves with interval bands: prefix quality against what is kept, entropy and log-prob by position."""

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np

from transforms.records.audit import CurvePoint, PositionCurves
from transforms.report.figures import Label, Layer, Plot, Word
from transforms.report.scales import Numbers, Scale, Tick, around, band, polyline
from transforms.text import count, visible_plain

NAMES: Final = {"tokens": "tokens kept of each response", "ratio": "share kept of each response"}
WORD: Final = 11  # half the width of a label, in percent of a panel on a phone


def quality_plot(points: Sequence[CurvePoint], by: Literal["tokens", "ratio"], *, read: bool = False) -> Plot | None:
    """ΔQ(k): how much better the chosen prefix is than the rejected one (methods §3); None without points.

    Args:
        points: in any order; `at` is kept tokens or the kept ratio.
        by: which of the two it is.
        read: whether it is what the reward model says of the prefixes, and not of their completions.
    """
    if not points:
        return None
    points = sorted(points, key=lambda point: point.at)
    across = Scale(0, 1) if by == "ratio" else Scale(0, max(1.0, points[-1].at) * 1.04)
    up = around(0.0, *_heights(points))
    of_values = [Word("(values, no completions)")] if read else []
    return Plot(
        title=[Word("ΔQ", "quality"), Word("and its 95\u00a0% interval by", ""), Word(by), *of_values],
        x_name=NAMES[by],
        x_ticks=across.ticks(5, percent=by == "ratio"),
        y_ticks=_up_ticks(up),
        layers=_quality(points, across, up),
        levels=[Tick(100 - up.at(0.0), "")],
        note=_pairs_behind(points),
    )


def position_plot(curves: Sequence[PositionCurves], measure: Literal["entropy", "log_prob"]) -> Plot | None:
    """Entropy or log-prob in nats by response position, chosen and rejected; None without points."""
    name = {"entropy": "Entropy", "log_prob": "Log-prob of the data"}[measure]
    return lines_plot({one.side: getattr(one, measure) for one in curves}, name)


def lines_plot(lines: Mapping[str, Sequence[CurvePoint]], name: str, *, over: str = "pairs") -> Plot | None:
    """A measure by response position, a line with its band for each name, which is its style too; None without points.

    Args:
        lines: points in any order, by what they are of.
        name: of the measure, for the title.
        over: what the means are over.
    """
    drawn = {of: sorted(points, key=lambda point: point.at) for of, points in lines.items() if points}
    if not drawn:
        return None
    together = [point for points in drawn.values() for point in points]
    across = around(*(point.at for point in together), least=1.0, margin=0.01)
    up = around(*_heights(together), least=0.1, margin=0.14)  # room for the labels
    shapes = {of: _shape(points, across, up) for of, points in drawn.items()}
    words = [word for of in drawn for word in (Word("and"), Word(of, of))][1:]
    return Plot(
        title=[Word(f"{name} of"), *words],
        x_name="position in the response, tokens",
        x_ticks=across.ticks(5, whole=True),
        y_ticks=_up_ticks(up),
        layers=[
            *(Layer(area, f"band {of}") for of, (_, _, area) in shapes.items()),
            # A single point is a line of no length, which only dots are wide enough to show.
            *(Layer(line, f"{'line' if len(xs) > 1 else 'dots'} {of}") for of, (xs, line, _) in shapes.items()),
        ],
        labels=_labels(drawn, across, up),
        note=_pairs_behind(next(iter(drawn.values())), over),
    )


MODEL_STYLES: Final = (
    "reference",
    "policy",
    "chosen",
    "rejected",
)  # of several models' lines; the first is the baseline


def models_plot(
    lines: Mapping[str, Sequence[CurvePoint]],
    title: str,
    *,
    kept: bool,
    over: str,
    styles: Sequence[str] = MODEL_STYLES,
) -> Plot | None:
    """A measure of up to four models, a line with its band each; None without points.

    Args:
        lines: by the model's name.
        title: what is drawn.
        kept: points stand at kept tokens, each drawn a doubling apart, else at positions.
        over: what the means are over.
        styles: of the lines, in their order.
    """
    drawn = {name: sorted(points, key=lambda point: point.at) for name, points in lines.items() if points}
    if not drawn:
        return None
    if kept:
        places = sorted({point.at for points in drawn.values() for point in points})
        drawn = {
            name: [point.model_copy(update={"at": math.log2(point.at)}) for point in points]
            for name, points in drawn.items()
        }
        across = around(*(math.log2(at) for at in places), least=1.0, margin=0.02)
        x_ticks = [Tick(across.at(math.log2(at)), f"{at:,.0f}") for at in places]
    else:
        across = around(*(point.at for points in drawn.values() for point in points), least=1.0, margin=0.01)
        x_ticks = across.ticks(5, whole=True)
    up = around(*(height for points in drawn.values() for height in _heights(points)), least=0.1)
    style = dict(zip(lines, styles, strict=False))
    shapes = {name: _shape(points, across, up) for name, points in drawn.items()}
    words = [word for name in drawn for word in (Word("and"), Word(visible_plain(name), style[name]))][1:]
    return Plot(
        title=[Word(f"{title}:"), *words],
        x_name="kept tokens" if kept else "position in the answer, tokens",
        x_ticks=x_ticks,
        y_ticks=_up_ticks(up),
        layers=[
            *(Layer(area, f"band {style[name]}") for name, (_, _, area) in shapes.items()),
            *(
                Layer(line, f"{'line' if len(xs) > 1 else 'dots'} {style[name]}")
                for name, (xs, line, _) in shapes.items()
            ),
        ],
        levels=[Tick(100 - up.at(0.0), "")] if up.low <= 0 <= up.high else [],
        note=_pairs_behind(next(iter(drawn.values())), over),
    )


def kept_plot(points: Sequence[CurvePoint], by: Literal["tokens", "ratio"], whole: CurvePoint | None) -> Plot | None:
    """Accuracy of the beginnings alone; None without points.

    Args:
        points: `at` is kept tokens, each drawn a doubling apart, or the kept ratio.
        by: which of the two it is.
        whole: of the whole responses, which `points` by ratio have and points by tokens lack.
    """
    if not points:
        return None
    points = sorted(points, key=lambda point: point.at)
    if by == "tokens":
        names = [f"{point.at:,.0f}" for point in points]
        points = [point.model_copy(update={"at": math.log2(point.at)}) for point in points]
        if whole:
            points.append(whole.model_copy(update={"at": points[-1].at + 1}))
            names.append("whole")
        across = around(*(point.at for point in points), least=1.0)
        x_ticks = [Tick(across.at(point.at), name) for point, name in zip(points, names, strict=True)]
    else:
        across = Scale(0, 1.03)
        x_ticks = across.ticks(5, percent=True)
    up = around(0.5, *_heights(points), least=0.1)
    return Plot(
        title=[Word("Accuracy", "quality"), Word("and its 95\u00a0% interval by"), Word(by)],
        x_name=NAMES[by],
        x_ticks=x_ticks,
        y_ticks=[Tick(100 - at, text) for at, text in up.ticks(4, percent=True)],
        layers=_quality(points, across, up),
        levels=[Tick(100 - up.at(0.5), "")],
        note=_pairs_behind(points),
    )


def _quality(points: Sequence[CurvePoint], across: Scale, up: Scale) -> list[Layer]:
    xs, line, area = _shape(points, across, up)
    return [
        Layer(area, "band quality"),
        Layer(line, "line quality"),
        Layer(_marks(points, xs, up), "dots quality"),
    ]


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
