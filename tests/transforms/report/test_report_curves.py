"""Curves with bands: exact places, one-point curves, labels that stand beside their lines."""

import re

from hypothesis import given
from hypothesis import strategies as st
from report_support import curve

from transforms.records.audit import CurvePoint, PositionCurves
from transforms.report.curves import position_plot, quality_plot
from transforms.report.scales import around


def point(at: float, mean: float, low: float, high: float, pairs: int = 40) -> CurvePoint:
    return CurvePoint(at=at, mean=mean, low=low, high=high, pairs=pairs)


def test_quality_is_a_line_in_its_band_over_the_zero_line() -> None:
    plot = quality_plot([point(1.0, 0.88, 0.44, 1.0), point(0.5, 0.44, 0.0, 0.88)], "ratio")
    assert plot
    band, line, marks = plot.layers  # the axis goes from −0.06 to 1.06
    assert line.path == "M50.00 55.36L100.00 16.07"
    assert band.path == "M50.00 16.07L100.00 5.36L100.00 55.36L50.00 94.64z"
    assert marks.path == "M50.00 55.36h0M100.00 16.07h0"
    assert [level.at for level in plot.levels] == [94.64]


def test_the_zero_line_is_drawn_where_every_quality_is_negative() -> None:
    plot = quality_plot(curve(-3.0, -2.0), "tokens")
    assert plot
    assert 0 < plot.levels[0].at < 10


def test_a_curve_of_one_point_is_a_mark_with_its_interval() -> None:
    quality = quality_plot([point(64, 1.0, 0.5, 1.5)], "tokens")
    position = position_plot([PositionCurves(side="chosen", entropy=curve(2.0), log_prob=[])], "entropy")
    assert quality
    assert position
    assert re.fullmatch(r"M[\d.]+ [\d.]+h0", quality.layers[1].path)
    assert [layer.style for layer in position.layers] == ["band chosen", "dots chosen"]
    assert position.labels == []


def test_no_points_make_no_plot() -> None:
    empty = [PositionCurves(side="chosen", entropy=[], log_prob=[])]
    assert quality_plot([], "tokens") is None
    assert position_plot(empty, "entropy") is None
    assert position_plot([], "log_prob") is None


def test_each_line_is_named_on_its_own_side_of_both_bands() -> None:
    sides = [
        PositionCurves(side="chosen", entropy=curve(*[1.0] * 50, spread=0.1), log_prob=[]),
        PositionCurves(side="rejected", entropy=curve(*[2.0] * 50, spread=0.1), log_prob=[]),
    ]
    plot = position_plot(sides, "entropy")
    assert plot
    over, under = plot.labels
    assert (over.text, over.over, under.text, under.over) == ("rejected", True, "chosen", False)
    assert over.x == under.x
    assert over.y < 50 < under.y


def test_lines_that_cross_everywhere_are_named_by_the_title_alone() -> None:
    sides = [
        PositionCurves(side="chosen", entropy=curve(*[1.0, 2.0] * 40), log_prob=[]),
        PositionCurves(side="rejected", entropy=curve(*[2.0, 1.0] * 40), log_prob=[]),
    ]
    plot = position_plot(sides, "entropy")
    assert plot
    assert plot.labels == []
    assert [word.text for word in plot.title] == ["Entropy of", "chosen", "and", "rejected"]


def test_few_pairs_at_far_positions_are_said() -> None:
    points = [point(1, 1, 0, 2, pairs=1200), point(300, 1, 0, 2, pairs=31)]
    plot = quality_plot(points, "tokens")
    assert plot
    assert plot.note == "a mean over 1,200 pairs at the left end, 31 at the right"


@given(
    st.lists(
        st.tuples(st.floats(0, 1e4), st.floats(-1e6, 1e6), st.floats(0, 1e3), st.floats(0, 1e3)),
        min_size=1,
        max_size=30,
    )
)
def test_no_curve_leaves_its_panel(points: list[tuple[float, float, float, float]]) -> None:
    made = [point(at, mean, mean - below, mean + above) for at, mean, below, above in points]
    plots = [
        quality_plot(made, "tokens"),
        position_plot([PositionCurves(side="chosen", entropy=made, log_prob=made)], "log_prob"),
    ]
    for plot in plots:
        assert plot
        numbers = [float(number) for layer in plot.layers for number in re.findall(r"-?[\d.]+", layer.path)]
        assert all(-1.2 <= number <= 101.2 for number in numbers)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_an_axis_around_values_holds_them_and_has_a_length(values: list[float]) -> None:
    scale = around(*values, least=0.5)
    assert scale.low <= min(values) <= max(values) <= scale.high
    assert scale.high - scale.low >= 0.49
