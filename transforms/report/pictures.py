"""The report's figures as PNG, for the dataset card: the Hub shows no SVG of a repository and runs no styles.

The pictures are drawn from the report's own plots, so that both show the same bars. Their ground is opaque and light:
the Hub's dark page changes neither a picture's words nor their contrast.
"""

import re
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from transforms.records.generation import GenerationManifest
from transforms.records.manifest import Counts, Manifest
from transforms.report.calibration import group_plots
from transforms.report.environment import FOLDER
from transforms.report.figures import Layer, Plot, kept_lengths, length_plots
from transforms.report.funnel import FunnelRow, funnel
from transforms.report.generation_figures import length_plots as generation_lengths
from transforms.report.generation_figures import margin_plot, policy_plots
from transforms.report.generation_words import prompt_funnel
from transforms.text import count

Floats = npt.NDArray[np.float64]

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH: Final = 8.0  # inches; at 200 dots an inch twice as wide as the Hub's column, for fine screens
DPI: Final = 200
_SCORE_BINS: Final = 40
SIDE_BY_SIDE: Final = 3  # panels in a picture that can be read on a phone
_TOKEN: Final = re.compile(r"[MLHVhvz]|-?\d+(?:\.\d+)?")
# Styles that are called after what they draw, by their colour in style.css.
_COLOURS: Final = {"": "ink", "before": "ink", "mean": "ink", "point": "chosen", "quality": "kept"}
_DOTS: Final = {"point": (3.0, 0.45), "mean": (5.0, 1.0)}  # points across and how opaque, as in style.css
_FUNNEL: Final = {"all": "before", "lost": "dropped", "kept": "kept"}


def draw_pictures(manifest: Manifest, rows: pl.DataFrame | pl.LazyFrame) -> dict[str, bytes]:
    """PNG files by name: the funnel, consistency by share cut and by margin, response lengths before and after.

    Args:
        manifest: of the finished run.
        rows: one scalar row a pair, as for the report.

    Returns:
        Those for which there is something to draw. Equal data gives equal bytes on one machine.
    """
    kept = kept_lengths(rows.lazy())
    panels = {
        "consistency": group_plots(manifest.groups),
        # The third of them, the share kept, stays in the report: two side by side can be read on a phone.
        "lengths": length_plots(kept)[:2] if kept.height else [],
    }
    pictures = {"funnel": draw_funnel(manifest.counts)}
    return pictures | {name: to_png(_panels(plots)) for name, plots in panels.items() if plots}


def draw_funnel(counts: Counts) -> bytes:
    """PNG of the waterfall from pairs read to pairs kept."""
    return draw_waterfall(funnel(counts))


def draw_generation(manifest: GenerationManifest, responses: pl.DataFrame, pairs: pl.DataFrame) -> dict[str, bytes]:
    """PNG files of a generation by name: funnel of prompts, scores by policy, length, margins.

    Args:
        manifest: of the finished generation.
        responses: one scalar row a response, as for its report.
        pairs: one scalar row a pair, likewise.

    Returns:
        Those for which there is something to draw.
    """
    most = sorted(manifest.voices, key=lambda voice: -voice.responses)[:SIDE_BY_SIDE]
    shown = manifest.model_copy(update={"voices": [voice for voice in manifest.voices if voice in most]})
    margin = margin_plot(pairs)
    panels = {
        "scores": policy_plots(shown, responses),
        "length": generation_lengths(manifest, responses, pairs),
        "margins": [margin] if margin else [],
    }
    pictures = {"funnel": draw_waterfall(prompt_funnel(manifest))}
    return pictures | {name: to_png(_panels(plots)) for name, plots in panels.items() if plots}


def draw_waterfall(rows: Sequence[FunnelRow]) -> bytes:
    """PNG of a funnel's bars."""
    figure = new_figure(0.34 * len(rows) + 0.45)
    axes = figure.subplots()
    at = range(len(rows))
    axes.barh(
        at,
        [max(row.width, 0.2) for row in rows],
        left=[row.left for row in rows],
        height=0.62,
        color=[palette()[_FUNNEL[row.kind]] for row in rows],
    )
    axes.set_xlim(0, 100)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(at, [row.name for row in rows])
    axes.tick_params(length=0, labelsize=10)
    axes.set_xticks([])
    for row, place in zip(rows, at, strict=True):
        amount = f"{'−' if row.kind == 'lost' else ''}{count(row.pairs)}"
        for text, points in ((amount, 62), (row.share, 118)):
            axes.annotate(
                text, (100, place), (points, 0), textcoords="offset points", ha="right", va="center", fontsize=10
            )
    bare(axes)
    return to_png(figure)


def draw_scores(
    chosen: Floats, rejected: Floats, threshold: float, margin: float, unpaired: Floats | None = None
) -> bytes:
    """PNG of histograms of scores over one another, with the threshold and the band that a margin leaves out.

    Args:
        chosen: scores of chosen responses; at least one score in all.
        rejected: of rejected ones.
        threshold: in the scores' unit.
        margin: half the width of the band.
        unpaired: scores of responses in no pair, where there are such.
    """
    colours = palette()
    figure = new_figure(2.9)
    axes = figure.subplots()
    groups = [("chosen", "chosen", chosen), ("rejected", "rejected", rejected)]
    if unpaired is not None:
        groups.insert(0, ("in no pair", "faint", unpaired))  # behind the others, of which it may be a multiple
    edges = np.histogram_bin_edges(np.concatenate([scores for *_, scores in groups]), bins=_SCORE_BINS)
    for name, colour, scores in groups:
        label = f"{name}, {count(len(scores))}"
        axes.hist(scores, bins=edges.tolist(), color=colours[colour], alpha=0.55, label=label)
    if margin:
        axes.axvspan(threshold - margin, threshold + margin, color=colours["faint"], alpha=0.25, label="left out")
    axes.axvline(threshold, color=colours["ink"], linewidth=1.2, label=f"threshold {threshold:.4g}")
    axes.tick_params(length=0, labelsize=8.5, colors=colours["soft"])
    axes.set_xlabel("score of the whole response", fontsize=8.5, color=colours["soft"])
    axes.set_ylabel("responses", fontsize=8.5, color=colours["soft"])
    axes.legend(frameon=False, fontsize=8.5)
    bare(axes)
    axes.spines["bottom"].set_visible(True)
    axes.spines["bottom"].set_color(colours["faint"])
    return to_png(figure)


@cache
def palette() -> dict[str, str]:
    """The report's light colours by name, from its style sheet."""
    style = (FOLDER / "style.css").read_text(encoding="utf-8")
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{3,6});", style[: style.index("@media")]))


def _panels(plots: Sequence[Plot]) -> "Figure":
    figure = new_figure(2.9)
    for plot, axes in zip(plots, figure.subplots(1, len(plots), squeeze=False).flat, strict=True):
        _draw(plot, axes)
    return figure


def _draw(plot: Plot, axes: "Axes") -> None:
    """One panel. Its box is 100 wide and 100 high with y downwards, like the report's SVG."""
    colours = palette()
    axes.set_xlim(0, 100)
    axes.set_ylim(100, 0)
    for tick in plot.y_ticks:
        axes.axhline(tick.at, color=colours["line"], linewidth=0.8, zorder=0)
    for level in plot.levels:
        axes.axhline(level.at, color=colours["ink"], linewidth=0.8)
    for rule in plot.rules:
        axes.axvline(rule.at, color=colours["ink"], linewidth=0.8)
    for layer in plot.layers:
        if layer.style.startswith("dots "):
            _scatter(layer, axes)
        else:
            axes.add_patch(_patch(layer))
    axes.set_xticks([tick.at for tick in plot.x_ticks], [tick.text for tick in plot.x_ticks])
    axes.set_yticks([tick.at for tick in plot.y_ticks], [tick.text for tick in plot.y_ticks])
    axes.tick_params(length=0, labelsize=8.5, colors=colours["soft"])
    axes.tick_params(axis="x", pad=7)  # a label at the corner stands below the other axis's lowest
    axes.set_xlabel("\n".join([plot.x_name, *([plot.note] if plot.note else [])]), fontsize=8.5, color=colours["soft"])
    bare(axes)
    axes.spines["bottom"].set_visible(True)
    axes.spines["bottom"].set_color(colours["faint"])
    _title(plot, axes)


def _title(plot: Plot, axes: "Axes") -> None:
    """The title's words in the colours of what they name."""
    from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea

    words: list[Artist] = [
        TextArea(
            word.text,
            textprops={
                "color": _colour(word.style),
                "fontsize": 9.5,
                "fontweight": "bold" if word.style else "normal",
            },
        )
        for word in plot.title
    ]
    box = HPacker(children=words, pad=0, sep=4, align="baseline")
    axes.add_artist(
        AnchoredOffsetbox(
            "lower left", child=box, frameon=False, bbox_to_anchor=(0, 1.03), bbox_transform=axes.transAxes, borderpad=0
        )
    )


def _scatter(layer: Layer, axes: "Axes") -> None:
    """Lines of no length, of which SVG draws the round ends and matplotlib nothing."""
    name = layer.style.removeprefix("dots ")
    xs, ys = _path(layer.path).vertices[::2].T
    size, alpha = _DOTS.get(name, (4.0, 1.0))
    axes.plot(xs, ys, "o", markersize=size, markeredgewidth=0, color=_colour(name), alpha=alpha, clip_on=False)


def _patch(layer: Layer) -> Any:
    """The layer's shape as style.css draws its classes."""
    from matplotlib.patches import PathPatch

    kind, _, name = layer.style.partition(" ")
    soft, colour = name.startswith("fillsoft"), name.removeprefix("fillsoft ")
    fill = _colour(colour)
    filled, drawn = kind in ("fill", "band") or soft, kind == "line"
    return PathPatch(
        _path(layer.path),
        facecolor=(fill, {"fill": 0.78, "band": 0.16}.get(kind, 0.14)) if filled else "none",
        edgecolor=fill if drawn else "none",
        linewidth=1.6 if drawn else 0,
        joinstyle="round",
        clip_on=False,  # a line along the edge is drawn in its whole width
    )


def _colour(style: str) -> str:
    """Of marks and of the words that name them; what lay there before the cut is drawn like text."""
    return palette()[_COLOURS.get(style, style)]


def _path(drawn: str) -> Any:
    """An SVG path made of `M L H V h v z`, which is all that scales.py writes."""
    from matplotlib.path import Path

    points: list[tuple[float, float]] = []
    codes: list[np.uint8] = []
    tokens = iter(_TOKEN.findall(drawn))
    x = y = 0.0
    for command in tokens:
        if command == "z":
            points.append((x, y))
            codes.append(Path.CLOSEPOLY)
            continue
        if command in "ML":
            x, y = float(next(tokens)), float(next(tokens))
        elif command in "Hh":
            x = float(next(tokens)) + (x if command == "h" else 0.0)
        else:
            y = float(next(tokens)) + (y if command == "v" else 0.0)
        points.append((x, y))
        codes.append(Path.MOVETO if command == "M" else Path.LINETO)
    return Path(np.array(points), codes)


def bare(axes: "Axes") -> None:
    """No box and no ground of its own."""
    axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set_visible(False)


def new_figure(height: float) -> "Figure":
    """An empty picture, `height` inches high."""
    from matplotlib.figure import Figure  # 0.4 s, and only a finished run draws
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    room = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    return Figure(figsize=(WIDTH, height), layout=room, facecolor=palette()["paper"])


def to_png(figure: "Figure") -> bytes:
    """Its file."""
    sink = BytesIO()
    # Without the name and version of the software equal pictures are equal bytes.
    figure.savefig(sink, format="png", dpi=DPI, metadata={"Software": None})
    return sink.getvalue()
