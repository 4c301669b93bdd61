"""training.html from a training's log: how test pairs' log-probs, rewards and margins spread while it learned."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from transforms.records.manifest import ModelRecord
from transforms.report.environment import render
from transforms.report.figures import Layer, Plot, Word
from transforms.report.scales import Scale, Tick, around, band, dots, polyline
from transforms.statistics.spread import LEVELS
from transforms.text import percent, signed

Line = Mapping[str, Any]  # of metrics.jsonl
_ACCURACIES: Final = ("eval_rewards/accuracies", "eval_accuracy")
_TEST: Final = "eval_"


class Training(NamedTuple):
    """What the page says of a training."""

    name: str
    objective: str
    settings: Mapping[str, Any]  # of the objective
    model: ModelRecord  # that it started from
    data: str  # folder or Hub id of the curated run
    version: str  # of the run
    examples: int
    test_examples: int
    steps: int  # 0 of a head alone
    kept_step: int | None  # of the model that was saved, where it is not the last step's
    figures: Sequence[tuple[str, float, float]]  # in words, before, after
    before: Mapping[str, float]
    after: Mapping[str, float]
    device: str
    seconds: float
    packages: Mapping[str, str]
    git_commit: str | None
    fingerprint: str
    finished_at: str


class Panel(NamedTuple):
    """One figure of the log, or several that share an axis."""

    title: str
    figures: Mapping[str, str]  # colour → figure
    words: Mapping[str, str] = {}  # colour → what it is called, where there are several


# AlphaPO, figures 2, 7 and 13 to 16: a token's log-probs and their margin; then what objectives make of them.
SPREAD: Final = (
    Panel("Log-prob of chosen responses, nats a token", {"chosen": "mean_logps/chosen"}),
    Panel("Log-prob of rejected responses, nats a token", {"rejected": "mean_logps/rejected"}),
    Panel("Implicit reward of chosen responses", {"chosen": "rewards/chosen"}),
    Panel("Implicit reward of rejected responses", {"rejected": "rewards/rejected"}),
    Panel("Margin of the log-probs, nats a token", {"quality": "mean_logps/margins"}),
    Panel("Margin of the implicit rewards", {"quality": "rewards/margins"}),
    Panel("Margin of the rewards", {"quality": "margin"}),
)
WHOLE: Final = (
    Panel("Log-prob of whole chosen responses, nats", {"chosen": "logps/chosen"}),
    Panel("Log-prob of whole rejected responses, nats", {"rejected": "logps/rejected"}),
)
# RAO, figure 2, is the second.
MEANS: Final = (
    Panel("KL to the reference, nats a token", {"policy": "kl"}),
    Panel(
        "β log(π/π_ref) of",
        {"chosen": "beta_log_ratio/chosen", "rejected": "beta_log_ratio/rejected"},
        {"chosen": "chosen", "rejected": "rejected"},
    ),
    Panel("Chosen log-prob against the start, nats a token", {"chosen": "displacement"}),
)
# Panels of one row are read against each other.
_SAME_AXIS: Final = (
    ("mean_logps/chosen", "mean_logps/rejected"),
    ("rewards/chosen", "rewards/rejected"),
    ("logps/chosen", "logps/rejected"),
)
_FROM_ZERO: Final = ("mean_logps/margins", "rewards/margins", "margin", "kl", "beta_log_ratio/chosen", "displacement")


def render_training(training: Training, lines: Sequence[Line]) -> str:
    """One HTML page that needs no network and runs no script; every number on it is one of metrics.jsonl.

    Args:
        training: what it was.
        lines: of metrics.jsonl, of steps and measurements; other ones are left alone.
    """
    measured = [line for line in lines if "eval_loss" in line]
    page = {
        "training": training,
        "headline": headline(training),
        "moved": movement(training),
        "loss": loss_plot(lines),
        "spread": [plot for panel in SPREAD if (plot := spread_plot(panel, measured))],
        "whole": [plot for panel in WHOLE if (plot := spread_plot(panel, measured))],
        "means": [plot for panel in MEANS if (plot := means_plot(panel, measured))],
        "measurements": len(measured),
        "kl": training.after.get("eval_kl"),
    }
    return render("training.html.j2", page)


def headline(training: Training) -> str:
    """The outcome in a sentence."""
    for name in _ACCURACIES:
        if name in training.after and name in training.before:
            before, after = (percent(found[name]) for found in (training.before, training.after))
            return f"{after} of {training.test_examples:,} test examples in order, {before} before"
    if "validation_accuracy" in training.after:
        return f"{percent(training.after['validation_accuracy'])} of training pairs in order, each held out once"
    if "eval_perplexity" in training.after and "eval_perplexity" in training.before:
        was, is_now = (found["eval_perplexity"] for found in (training.before, training.after))
        return f"Perplexity {is_now:.2f} of {training.test_examples:,} test examples, {was:.2f} before"
    return f"{training.steps:,} steps of {training.objective}, not measured on test examples"


def movement(training: Training) -> str:
    """What became of the chosen responses' likelihood, in a sentence; "" where it was not measured."""
    chosen = training.after.get("eval_displacement")
    margins = [found.get("eval_mean_logps/margins") for found in (training.before, training.after)]
    if chosen is None or margins[0] is None or margins[1] is None:
        return ""
    margin = margins[1] - margins[0]
    name = ": likelihood displacement" if chosen < 0 < margin else ""
    return (
        f"On average a token of the chosen responses {'lost' if chosen < 0 else 'gained'} {abs(chosen):.3f} nats, and "
        f"their margin over the rejected ones {'shrank' if margin < 0 else 'grew'} ({signed(margin, 3)}){name}."
    )


def loss_plot(lines: Sequence[Line]) -> Plot | None:
    """The loss of every step, and of the test examples; None without steps."""
    steps = _points(lines, "loss")
    if len(steps) < 2:
        return None
    tests = _points(lines, "eval_loss")
    across = Scale(0, max(step for step, _ in (*steps, *tests)))
    up = around(*(value for _, value in (*steps, *tests)), least=1e-3)
    layers = [Layer(polyline(*_places(steps, across, up)), "line before")]
    if tests:
        xs, ys = _places(tests, across, up)
        layers += [Layer(polyline(xs, ys), "line quality"), Layer(dots(xs, ys), "dots quality")]
    test = [Word("and of"), Word("test examples", "quality")] if tests else []
    return _plot([Word("Loss of"), Word("each step", "before"), *test], across, up, layers)


def spread_plot(panel: Panel, measured: Sequence[Line]) -> Plot | None:
    """Median, half and nine tenths of the test examples by step; None where it was measured less than twice."""
    [(style, figure)] = panel.figures.items()
    found = _quantiles(measured, figure)
    if len(found) < 2:
        return None
    shown = next((group for group in _SAME_AXIS if figure in group), (figure,))
    heights = [value for name in shown for _, values in _quantiles(measured, name) for value in values]
    across = Scale(0, found[-1][0])
    zero = [0.0] if figure in _FROM_ZERO else []
    up = around(*heights, *zero, least=1e-3)
    xs = np.array([across.at(step) for step, _ in found])
    lowest, low, middle, high, highest = (
        np.array([100 - up.at(values[at]) for _, values in found]) for at in range(len(LEVELS))
    )
    layers = [
        Layer(band(xs, lowest, highest), f"band {style}"),
        Layer(band(xs, low, high), f"band {style}"),
        Layer(polyline(xs, middle), f"line {style}"),
        Layer(dots(xs, middle), f"dots {style}"),
    ]
    return _plot([Word(panel.title, style)], across, up, layers, level=bool(zero))


def means_plot(panel: Panel, measured: Sequence[Line]) -> Plot | None:
    """Means over the test examples by step, a line a figure; None where one was measured less than twice."""
    drawn = {style: _points(measured, f"{_TEST}{figure}") for style, figure in panel.figures.items()}
    if any(len(points) < 2 for points in drawn.values()):
        return None
    every = [point for points in drawn.values() for point in points]
    across = Scale(0, max(step for step, _ in every))
    up = around(*(value for _, value in every), 0.0, least=1e-3)
    layers = []
    for style, points in drawn.items():
        xs, ys = _places(points, across, up)
        layers += [Layer(polyline(xs, ys), f"line {style}"), Layer(dots(xs, ys), f"dots {style}")]
    if not panel.words:
        return _plot([Word(panel.title, next(iter(drawn)))], across, up, layers, level=True)
    named = [word for style in drawn for word in (Word("and"), Word(panel.words[style], style))][1:]
    return _plot([Word(panel.title), *named], across, up, layers, level=True)


def _plot(title: list[Word], across: Scale, up: Scale, layers: list[Layer], *, level: bool = False) -> Plot:
    return Plot(
        title=title,
        x_name="step",
        x_ticks=across.ticks(5, whole=True),
        y_ticks=[Tick(100 - at, text) for at, text in up.ticks(4)],
        layers=layers,
        levels=[Tick(100 - up.at(0.0), "")] if level else [],
    )


def _points(lines: Sequence[Line], figure: str) -> list[tuple[float, float]]:
    """(step, value) of the lines that have the figure as a finite number."""
    found = [(float(line["step"]), float(line[figure])) for line in lines if figure in line and "step" in line]
    return [point for point in found if math.isfinite(point[1])]


def _quantiles(measured: Sequence[Line], figure: str) -> list[tuple[float, list[float]]]:
    """(step, the quantiles from low to high) of the measurements that have all of them as finite numbers."""
    names = [f"{_TEST}{figure}_{level}" for level in LEVELS]
    found = [(float(line["step"]), [float(line[name]) for name in names]) for line in measured if names[0] in line]
    return [point for point in found if all(map(math.isfinite, point[1]))]


def _places(points: Sequence[tuple[float, float]], across: Scale, up: Scale) -> tuple[Any, Any]:
    return (
        np.array([across.at(step) for step, _ in points]),
        np.array([100 - up.at(value) for _, value in points]),
    )
