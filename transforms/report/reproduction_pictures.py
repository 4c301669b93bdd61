"""A table or figure of a paper beside what came out here, as one PNG: the paper on the left, this run on the right.

Both panels have the same kind of axes, and a label has the same colour in both. A paper's curve that is printed without
numbers is not redrawn: the left panel says so.
"""

import math
import warnings
from collections.abc import Sequence
from itertools import pairwise
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from transforms.records.reproduction import Reproduction, Series, SeriesPoint
from transforms.report.pictures import bare, new_figure, palette, to_png
from transforms.text import one_line, visible_plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["points", "bars"]
# Colours of the style sheet, in the order in which labels get them; more labels than colours go round again, lighter,
# hatched as bars, as points with other marks and lines.
COLOURS: Final = ("chosen", "rejected", "kept", "dropped", "before", "ink")
_OWN: Final = {"chosen": "chosen", "rejected": "rejected"}  # sides keep the colour that they have in every report
_MARKERS: Final = ("o", "s", "^", "D", "v", "P")
_HATCHES: Final = ("", "////", "....", "xxxx", "----", "++++")
_LINESTYLES: Final = ("-", "--", ":", "-.", (0, (6, 1)), (0, (1, 3)))
_FAINTEST: Final = 0.35  # opacity; fainter bars are not seen on the light ground
_MOST: Final = 24  # labels: six rounds of the four colours that are free beside chosen and rejected
_MOST_BARS: Final = 64  # in a panel, 13 inches; a picture of more is taller than two screens
_FONT: Final = 8.5
_BAND_FROM: Final = 9  # points of a curve; fewer have an error bar each
_NAME: Final = 24  # characters of a bar's name in a line
_LINES: Final = 3
_LABEL: Final = 60  # characters of a label
_ACROSS: Final = 112  # characters across the picture
_ACROSS_PANEL: Final = 46
_ASIDE: Final = 3.5  # points between error bars at one x
_TICKS_AT_POINTS: Final = 8  # x values that can each have a tick
_PAPER: Final = "In the paper"


class _Look(NamedTuple):
    """How a label is drawn in both panels."""

    colour: str
    alpha: float
    turn: int  # how many labels had its colour before

    @property
    def hatch(self) -> str:
        return _HATCHES[self.turn % len(_HATCHES)]

    @property
    def marker(self) -> str:
        """No two labels have colour and mark in common."""
        names = [palette()[name] for name in COLOURS]
        return _MARKERS[(names.index(self.colour) + self.turn) % len(_MARKERS)]

    @property
    def linestyle(self) -> Any:
        return _LINESTYLES[self.turn % len(_LINESTYLES)]


def draw_reproduction(found: Reproduction, *, kind: Kind = "bars", log_x: bool = False) -> bytes:
    """PNG of one table or figure.

    Args:
        found: with its series in the unit of the y axis.
        kind: `bars` lie, named at their left, with whiskers; `points` are joined where x is a number, with error bars,
            or from nine of them on with a band. Series beyond 24, or beyond 64 bars a panel, are left out, the paper's
            own first; the picture says how many.
        log_x: whether x is drawn by doublings, where all of it is above zero.

    Returns:
        Equal bytes for equal data on one machine.
    """
    every = list(dict.fromkeys(one.label for one in (*found.printed, *found.series)))
    labels = _fitting(found, every, kind)
    found = found.model_copy(
        update={
            "printed": [one for one in found.printed if one.label in labels],
            "series": [one for one in found.series if one.label in labels],
        }
    )
    colours = _colours(labels)
    with warnings.catch_warnings():
        # Names of data may be in a script that the font lacks: a box stands in their place.
        warnings.filterwarnings("ignore", message="Glyph")
        names = _names(found) if kind == "bars" else [[], []]
        tall = max((sum(_lines(name) for name in some) for some in names), default=0)
        bars = max((len(some) for some in names), default=0) * max(len(labels), 1)
        drawn = [any(one.points for one in series) for series in (found.printed, found.series)]
        high = (max(1.9, 0.19 * max(bars, tall) + 1.0) if bars else 3.1) if any(drawn) else 1.4
        figure = new_figure(high + (_legend_height(labels) if any(drawn) else 0.0))
        left, right = figure.subplots(1, 2)
        panels = ((left, found.printed, names[0]), (right, found.series, names[1]))
        for (axes, series, some), there in zip(panels, drawn, strict=True):
            _style(axes)
            if there and kind == "bars":
                _bars(axes, series, some, labels, colours)
            elif there:
                _points(axes, series, labels, colours, log_x=log_x and _above_zero(found))
            if there:
                _axis_names(axes, found, kind, here=axes is right)
        if all(drawn) and not found.y_here:
            _same_scale(left, right, kind, found.y)
        if all(drawn) and names[0] and names[0] == names[1]:
            right.set_yticklabels([])
        left.set_title(_PAPER, loc="left", fontsize=10, fontweight="bold")
        right.set_title(f"Here, {found.size} size", loc="left", fontsize=10, fontweight="bold")
        if not drawn[0]:
            _say(left, f"No printed numbers. The paper shows: {found.title}")
        if not drawn[1]:
            why = "; ".join(dict.fromkeys(why for one in found.series for why in one.missing))
            _say(right, f"No number came out. {why}".strip())
        if any(drawn):
            _legend(figure, labels, colours, kind)
        if len(labels) < len(every):
            figure.supxlabel(
                f"{len(labels)} of {len(every)} series; the other {len(every) - len(labels)} are in the table alone.",
                fontsize=_FONT,
                color=palette()["soft"],
            )
        return to_png(figure)


def _fitting(found: Reproduction, labels: Sequence[str], kind: Kind) -> list[str]:
    """Labels that are drawn, in their order: those that have numbers here come before the paper's own."""
    most = _MOST
    if kind == "bars":
        rows = max((len(some) for some in _names(found)), default=0)
        most = min(most, max(1, _MOST_BARS // max(rows, 1)))
    here = {one.label for one in found.series}
    kept = sorted(labels, key=lambda label: label not in here)[:most]
    return [label for label in labels if label in kept]


def _colours(labels: Sequence[str]) -> dict[str, _Look]:
    """Label → how it is drawn."""
    taken = {_OWN[label.lower()] for label in labels if label.lower() in _OWN}
    free = [name for name in COLOURS if name not in taken]
    others = [label for label in labels if label.lower() not in _OWN]
    found = {label: _Look(palette()[_OWN[label.lower()]], 1.0, 0) for label in labels if label.lower() in _OWN}
    for at, label in enumerate(others):
        turn = at // len(free)
        found[label] = _Look(palette()[free[at % len(free)]], max(0.5**turn, _FAINTEST), turn)
    return found


def _names(found: Reproduction) -> list[list[str]]:
    """Bars' names of both panels: the same where they have one in common, else each its own."""
    own = [
        list(dict.fromkeys(_name(point.x) for one in series for point in one.points))
        for series in (found.printed, found.series)
    ]
    if set(own[0]) & set(own[1]):
        both = list(dict.fromkeys([*own[0], *own[1]]))
        return [both, both]
    return own


def _name(x: float | str) -> str:
    return x if isinstance(x, str) else f"{x:g}"


def _bars(
    axes: "Axes",
    series: Sequence[Series],
    names: Sequence[str],
    labels: Sequence[str],
    colours: dict[str, _Look],
) -> None:
    """Lying bars from zero, in groups from above."""
    inside = [one for one in labels if any(one == drawn.label for drawn in series)]
    high = 0.78 / max(len(inside), 1)
    for one in series:
        look, edge = colours[one.label], palette()["paper"]
        offset = (inside.index(one.label) - (len(inside) - 1) / 2) * high
        for point in one.points:
            at = names.index(_name(point.x)) + offset
            axes.barh(
                at,
                point.y,
                height=0.86 * high,
                facecolor=look.colour,
                alpha=0.78 * look.alpha,
                hatch=look.hatch,
                edgecolor=edge,
                linewidth=0,
            )
            if point.low is not None and point.high is not None:
                axes.plot([point.low, point.high], [at, at], color=palette()["ink"], linewidth=1.1)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_yticks(range(len(names)), [_wrapped(name) for name in names])
    axes.axvline(0, color=palette()["faint"], linewidth=0.8)
    axes.grid(axis="x", color=palette()["line"], linewidth=0.8)


def _points(
    axes: "Axes",
    series: Sequence[Series],
    labels: Sequence[str],
    colours: dict[str, _Look],
    *,
    log_x: bool,
) -> None:
    """Points over numbers are joined; over names they are not."""
    xs = list(dict.fromkeys(point.x for one in series for point in one.points))
    places = [x for x in xs if isinstance(x, float)]
    named = len(places) < len(xs)
    for one in series:
        if one.points:
            at = [xs.index(point.x) if named else float(point.x) for point in one.points]
            _curve(axes, at, one, labels, colours, joined=not named)
    axes.grid(axis="y", color=palette()["line"], linewidth=0.8)
    axes.margins(x=0.06)
    if named:
        wide = max(len(_name(x)) for x in xs) > _ACROSS_PANEL // len(xs)
        axes.set_xticks(range(len(xs)), [_wrapped(_name(x)) for x in xs])
        if wide:
            for text in axes.get_xticklabels():
                text.set(rotation=30, ha="right", rotation_mode="anchor")
        axes.set_xlim(-0.5, len(xs) - 0.5)
        return
    if log_x:
        axes.set_xscale("log", base=2)
    if len(places) <= _TICKS_AT_POINTS and (log_x or _even(places)):
        axes.set_xticks(sorted(places), [f"{x:g}" for x in sorted(places)], minor=False)
        axes.minorticks_off()
    elif log_x:
        from matplotlib.ticker import FuncFormatter

        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    bottom, top = axes.get_ylim()
    if bottom <= 0 <= top:
        axes.axhline(0, color=palette()["faint"], linewidth=0.8, zorder=1)


def _curve(
    axes: "Axes",
    at: Sequence[float],
    one: Series,
    labels: Sequence[str],
    colours: dict[str, _Look],
    *,
    joined: bool,
) -> None:
    from matplotlib.transforms import ScaledTranslation

    number, look = labels.index(one.label), colours[one.label]
    many = len(one.points) >= _BAND_FROM and joined
    # Error bars of several series at one x stand beside one another, however the axis is scaled.
    aside = 0.0 if many else _ASIDE * (number - (len(labels) - 1) / 2) / 72
    moved = axes.transData + ScaledTranslation(aside, 0, axes.figure.dpi_scale_trans)
    axes.plot(
        at,
        [point.y for point in one.points],
        color=look.colour,
        alpha=look.alpha,
        linewidth=1.6,
        linestyle=look.linestyle if joined else "none",
        marker="" if many else look.marker,
        markersize=4.5,
        transform=moved,
        clip_on=False,  # a mark at the edge is drawn whole
    )
    spans = [(x, *ends) for x, point in zip(at, one.points, strict=True) if (ends := _ends(point)) is not None]
    across, lows, highs = ([span[part] for span in spans] for part in range(3))
    if many:
        axes.fill_between(across, lows, highs, color=look.colour, alpha=0.16 * look.alpha, linewidth=0)
    else:
        axes.vlines(across, lows, highs, color=look.colour, alpha=look.alpha, linewidth=1.1, transform=moved)
        # Lines that are moved aside are not seen by the axis' limits.
        axes.update_datalim([(x, end) for x, *ends in spans for end in ends])
    axes.update_datalim([(x, point.y) for x, point in zip(at, one.points, strict=True)])
    axes.autoscale_view()


def _ends(point: SeriesPoint) -> tuple[float, float] | None:
    return None if point.low is None or point.high is None else (point.low, point.high)


def _even(places: Sequence[float]) -> bool:
    """Whether ticks at these numbers do not crowd: none is nearer to the next than a twelfth of the axis."""
    ordered = sorted(places)
    gaps = [right - left for left, right in pairwise(ordered)]
    return not gaps or min(gaps) >= (ordered[-1] - ordered[0]) / 12


def _above_zero(found: Reproduction) -> bool:
    points = [point for one in (*found.printed, *found.series) for point in one.points]
    return all(isinstance(point.x, float) and point.x > 0 for point in points)


def _same_scale(left: "Axes", right: "Axes", kind: Kind, y: str) -> None:
    """Percentages are compared by eye, so that both panels have one scale; other units may differ by a factor."""
    if "%" not in y:
        return
    get, put = ("get_xlim", "set_xlim") if kind == "bars" else ("get_ylim", "set_ylim")
    ends = [end for axes in (left, right) for end in getattr(axes, get)()]
    for axes in (left, right):
        getattr(axes, put)(min(ends), max(ends))


def _axis_names(axes: "Axes", found: Reproduction, kind: Kind, *, here: bool) -> None:
    y = found.y_here if here and found.y_here else found.y
    across, up = (y, "") if kind == "bars" else (found.x, y)
    axes.set_xlabel(_lined(across, 48), fontsize=_FONT, color=palette()["soft"])
    if up:
        axes.set_ylabel(_lined(up, 38), fontsize=_FONT, color=palette()["soft"])


def _style(axes: "Axes") -> None:
    bare(axes)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=_FONT, colors=palette()["soft"])
    axes.spines["bottom"].set_visible(True)
    axes.spines["bottom"].set_color(palette()["faint"])


def _say(axes: "Axes", text: str) -> None:
    """A sentence in place of a drawing."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)
    lines = wrap(_plain(one_line(visible_plain(text), 400)), 46)
    axes.text(0, 0.96, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=9, color=palette()["soft"])


def _legend(figure: "Figure", labels: Sequence[str], colours: dict[str, _Look], kind: Kind) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Line2D | Patch] = []
    for look in (colours[label] for label in labels):
        colour, alpha = look.colour, look.alpha
        if kind == "bars":
            edge = palette()["paper"]
            handles.append(Patch(facecolor=colour, alpha=0.78 * alpha, hatch=look.hatch, edgecolor=edge, linewidth=0))
        else:
            marks = Line2D([], [], color=colour, alpha=alpha, marker=look.marker, ms=4.5, linestyle=look.linestyle)
            handles.append(marks)
    figure.legend(
        handles,
        [_plain(one_line(visible_plain(label), _LABEL)) for label in labels],
        loc="outside upper left",
        ncols=_columns(labels),
        frameon=False,
        fontsize=_FONT,
        borderaxespad=0.2,
    )


def _columns(labels: Sequence[str]) -> int:
    longest = max(min(len(label), _LABEL) for label in labels)
    return max(1, min(len(labels), _ACROSS // (longest + 9)))


def _legend_height(labels: Sequence[str]) -> float:
    """Inches."""
    return 0.1 + 0.2 * math.ceil(len(labels) / _columns(labels))


def _wrapped(name: str) -> str:
    """A bar's name on few lines."""
    lines = wrap(_plain(visible_plain(name)), _NAME) or [""]
    return "\n".join([*lines[: _LINES - 1], one_line(" ".join(lines[_LINES - 1 :]), _NAME)]).rstrip()


def _lines(name: str) -> int:
    return _wrapped(name).count("\n") + 1


def _lined(text: str, width: int) -> str:
    return "\n".join(wrap(_plain(visible_plain(text)), width))


def _plain(text: str) -> str:
    """Without mathematics: matplotlib would set what stands between two dollar signs."""
    return text.replace("$", r"\$")
