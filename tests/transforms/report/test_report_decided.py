"""What decided the pairs, how good the proxy was, where the cut hurts: shapes hold the manifest's numbers."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_support import judged, manifest, rows, share, words

from transforms.records.manifest import (
    CalibrationPoint,
    DecisionRecord,
    EstimatorRecord,
    GroupRecord,
    ProxyRecord,
    RoundRecord,
    ShareRecord,
)
from transforms.report import render_report
from transforms.report.calibration import calibration_plot, error_in_words, group_plots, group_range
from transforms.report.decided import Piece, decisions, rounds
from transforms.text import NBSP


def decision(by: Any, keep: int, drop: int, completions: int = 0) -> DecisionRecord:
    return DecisionRecord(by=by, keep=keep, drop=drop, completions=completions)


def group(start: float, end: float, by: Any = "margin") -> GroupRecord:
    return GroupRecord(by=by, start=start, end=end, pairs=9, sampled=9, rate=0.9, low=0.8, high=0.95)


def test_decisions_tile_all_judged_pairs_kept_before_dropped() -> None:
    drawn = decisions([decision("uncut", 20, 0), decision("proxy", 25, 5), decision("sampling", 30, 20, 150)])
    assert drawn
    assert [row.pieces for row in drawn.rows] == [
        [Piece("kept", 0.0, 20.0)],
        [Piece("kept", 20.0, 25.0), Piece("lost", 45.0, 5.0)],
        [Piece("kept", 50.0, 30.0), Piece("lost", 80.0, 20.0)],
    ]
    assert (drawn.pairs, drawn.keep, drawn.drop, drawn.completions) == (100, 75, 25, 150)
    assert drawn.undecided is None


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=5))
def test_bars_of_decisions_never_leave_the_axis(numbers: list[tuple[int, int]]) -> None:
    kinds = ("uncut", "proxy", "sampling", "n_max", "undecided")
    drawn = decisions([decision(by, *pair) for by, pair in zip(kinds, numbers, strict=False)])
    if drawn is None:
        assert sum(map(sum, numbers)) == 0
        return
    pieces = [piece for row in drawn.rows for piece in row.pieces]
    assert pieces[0].left == 0
    assert pieces[-1].left + pieces[-1].width == pytest.approx(100)
    assert all(piece.width >= 0 for piece in pieces)
    assert all(a.left + a.width == pytest.approx(b.left) for a, b in pairwise(pieces))


def test_the_page_counts_decisions_as_the_manifest_does() -> None:
    text = words(render_report(manifest(**judged()), rows(), []))
    assert "80 pairs were judged: 60 kept and 20 dropped , with 192 completions, 2.4 a pair" in text
    assert "proxy 25 5 0 0.0 the reward margin" in text
    assert "mean at n_max 3 4 63 9.0 the most completions" in text
    assert "all 60 20 192 2.4" in text
    assert (
        "For 3 pairs the budget ended before their completions made it sure: 2 of them were kept and 1 dropped" in text
    )


def test_a_simple_run_has_no_section_about_decisions() -> None:
    page = render_report(manifest(), rows(), [])
    assert "How each pair was decided" not in page
    assert "Where the cut keeps the order" not in page
    assert 'href="#decided"' not in page


def test_a_run_of_rounds_alone_shows_them() -> None:
    text = words(render_report(manifest(rounds=judged()["rounds"]), rows(), []))
    assert "rest 1 18 156 9,000 9 8 1" in text
    assert "all 192 12,600" in text
    assert "pairs were judged:" not in text


def test_the_bars_of_a_round_are_its_pairs_and_its_completions() -> None:
    drawn = rounds(
        [
            RoundRecord(stage="audit", number=1, pairs=50, completions=150, tokens=1, keep=25, drop=5, open=20),
            RoundRecord(stage="rest", number=1, pairs=100, completions=75, tokens=1, keep=0, drop=0, open=100),
        ]
    )
    assert drawn
    assert drawn.pairs[0].pieces == [Piece("kept", 0.0, 25.0), Piece("lost", 25.0, 5.0), Piece("open", 30.0, 20.0)]
    assert drawn.pairs[1].pieces == [Piece("open", 0.0, 100.0)]
    assert [row.pieces for row in drawn.completions] == [[Piece("spent", 0.0, 100.0)], [Piece("spent", 0.0, 50.0)]]
    assert rounds([]) is None


def test_a_marks_area_is_its_number_of_pairs_and_agreement_lies_on_the_diagonal() -> None:
    plot = calibration_plot(
        [
            CalibrationPoint(predicted=0.6, observed=share(0.6, 25), margin=0.1),
            CalibrationPoint(predicted=0.95, observed=share(0.95, 100), margin=2.0),
        ]
    )
    assert plot
    marks = [layer for layer in plot.layers if layer.style.startswith("dots")]
    assert [mark.width for mark in marks] == [12.0, 24.0]  # a quarter of the pairs: half the width
    assert [mark.path for mark in marks] == ["M0.00 100.00h0", "M87.50 12.50h0"]
    assert "the largest mark is 100 pairs" in plot.note
    assert "touch the lower edge" in plot.note  # the interval of the first reaches to 55 %, the axis to 60 %


def test_one_audit_group_is_a_plot_and_none_is_no_plot() -> None:
    assert calibration_plot([CalibrationPoint(predicted=0.97, observed=share(1.0, 7), margin=0.0)])
    assert calibration_plot([]) is None


@pytest.mark.parametrize(
    ("found", "held"),
    [
        ((0.01, 0.005, 0.02), "within the 5.0 % that was accepted."),
        ((0.04, 0.01, 0.12), "within the 5.0 % that was accepted, though the interval reaches beyond it."),
        ((0.06, 0.02, 0.13), "above the 5.0 % that was accepted, though the interval reaches down to it."),
        ((0.20, 0.12, 0.30), "above the 5.0 % that was accepted."),
    ],
)
def test_the_error_of_skipping_is_judged_by_its_interval(found: tuple[float, float, float], held: str) -> None:
    value, low, high = found
    proxy: ProxyRecord = judged()["proxy"]
    error = ShareRecord(value=value, low=low, high=high, count=25)
    said = error_in_words(proxy.model_copy(update={"error": error})).replace(NBSP, " ")
    assert said.endswith(f"of 25 held-out decisions: {held}")


def test_an_uninformative_proxy_says_why_and_draws_nothing() -> None:
    proxy = judged()["proxy"].model_copy(
        update={"informative": False, "why": "12 audit <pairs> are too few.", "calibration": [], "error": None}
    )
    text = words(render_report(manifest(proxy=proxy), rows(), []))
    assert "not informative 12 audit &lt;pairs&gt; are too few." in text
    assert "The error was not measured; up to 5.0 % was accepted." in text
    assert "foretold and found" not in text


def test_a_rate_is_a_step_from_the_start_to_the_end_of_its_group() -> None:
    plots = group_plots([group(0.5, 1.0, "share_cut"), group(0.0, 0.5, "share_cut")])
    assert len(plots) == 1
    band, line = plots[0].layers  # the axis goes from 80 % to 100 %
    assert line.path == "M0.00 50.00H50.00M50.00 50.00H100.00"
    assert band.path.startswith("M0.00 100.00H50.00V25.00H0.00z")


def test_a_far_margin_does_not_press_the_other_groups_into_a_line() -> None:
    plot = group_plots([group(-40.0, -1.0), group(-1.0, 0.0), group(0.0, 1.0), group(1.0, 90.0)])[0]
    assert plot.layers[1].path.startswith("M0.00 50.00H33.33M33.33 50.00H50.00")
    assert plot.note == "the outermost groups reach from −40.00 to 90.00"
    assert [rule.at for rule in plot.rules] == [50.0]


def test_groups_are_listed_in_words() -> None:
    assert group_range(group(-1.5, 0.25)) == "−1.50 to 0.25"
    assert group_range(group(0.2, 0.4, "share_cut")).replace(NBSP, " ") == "20 % to 40 %"
    text = words(render_report(manifest(**judged()), rows(), []))
    assert "share cut 50 % to 100 % 20 10 85.0 % [70.0, 93.0]" in text
    assert "reward margin −2.00 to 1.00 60 30 90.0 % [80.0, 95.0]" in text


def test_one_group_of_equal_margins_is_still_a_plot() -> None:
    assert len(group_plots([group(0.5, 0.5)])) == 1


def test_the_page_says_whether_sizes_or_counts_decided_and_why() -> None:
    for used, badge in (("rewards", "by size"), ("counts", "by count")):
        record = EstimatorRecord.model_validate({"used": used, "why": f"because of <{used}>", "gain": 0.01})
        text = words(render_report(manifest(**judged(), estimator=record), rows(), []))
        assert f"{badge} The recipe asks by how much completions win, not only how many: because of" in text
    assert "by how much completions win" not in words(render_report(manifest(**judged()), rows(), []))
