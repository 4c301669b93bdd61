"""A paper's numbers beside those here as a picture: labels and colours, intervals, sentences in place of numbers."""

from io import BytesIO
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from transforms.records.reproduction import Reproduction, Series, SeriesPoint
from transforms.report import reproduction_pictures as pictures
from transforms.report.pictures import palette
from transforms.report.reproduction_pictures import draw_reproduction


def line(label: str, *points: tuple[Any, ...], missing: tuple[str, ...] = ()) -> Series:
    """Points as (x, y) or (x, y, half of the interval)."""
    made = [
        SeriesPoint(x=x, y=y, low=y - half[0] if half else None, high=y + half[0] if half else None)
        for x, y, *half in points
    ]
    return Series(label=label, points=made, missing=list(missing))


def found(printed: list[Series], series: list[Series], **changes: Any) -> Reproduction:
    fields: dict[str, Any] = {
        "paper": "poet", "entry": "table-1", "size": "small", "title": "Win rates of two ways to cut", "x": "k, tokens",
        "y": "win rate, %", "printed": printed, "series": series, "claims": [], "caveat": "", "rests_on": [],
        "steps": {}, "fingerprint": "f",
    }  # fmt: skip
    return Reproduction(**(fields | changes))


PRINTED = [line("raw", ("DPO", 40.0), ("SimPO", 42.0)), line("POET", ("DPO", 45.0))]
HERE = [line("POET", ("DPO", 55.0, 7.0), ("SimPO", 50.0, 6.0)), line("raw", ("DPO", 50.0, 6.0))]
CURVE = [line("chosen", *[(float(k), k / 4, 0.5) for k in range(1, 13)])]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Draws and hands over the figure, which is not made a file: that takes a second."""
    kept: list[Figure] = []
    monkeypatch.setattr(pictures, "to_png", kept.append)

    def draw(record: Reproduction, **options: Any) -> Figure:
        draw_reproduction(record, **options)
        return kept[-1]

    return draw


@pytest.mark.slow
def test_a_picture_is_opaque_two_columns_wide_and_equal_for_equal_data() -> None:
    png = draw_reproduction(found(PRINTED, HERE))
    with Image.open(BytesIO(png)) as image:
        assert image.width == 1600
        assert image.convert("RGBA").getchannel("A").getextrema() == (255, 255)
        assert "Software" not in image.info
    assert draw_reproduction(found(PRINTED, HERE)) == png
    assert draw_reproduction(found(PRINTED, HERE[:1])) != png
    curve = draw_reproduction(found([], CURVE), kind="points")
    assert draw_reproduction(found([], CURVE), kind="points") == curve
    assert draw_reproduction(found([], CURVE), kind="points", log_x=True) != curve


def test_a_label_has_one_colour_in_both_panels_and_the_bars_their_lengths(drawn: Any) -> None:
    left, right = drawn(found(PRINTED, HERE)).axes
    assert [round(bar.get_width(), 6) for bar in left.patches] == [40.0, 42.0, 45.0]
    assert [round(bar.get_width(), 6) for bar in right.patches] == [55.0, 50.0, 50.0]
    blue, orange = left.patches[0].get_facecolor(), left.patches[2].get_facecolor()
    assert blue != orange
    assert [bar.get_facecolor() for bar in right.patches] == [orange, orange, blue]
    assert [tuple(one.get_xdata()) for one in right.lines if len(set(one.get_xdata())) == 2] == [
        (48.0, 62.0), (44.0, 56.0), (44.0, 56.0),
    ]  # fmt: skip


def test_bars_begin_at_zero_and_percentages_have_one_scale(drawn: Any) -> None:
    left, right = drawn(found(PRINTED, HERE)).axes
    assert all(bar.get_x() == 0 for bar in [*left.patches, *right.patches])
    assert left.get_xlim() == right.get_xlim()
    assert left.get_xlim()[0] <= 0 < 62 < left.get_xlim()[1]
    left, right = drawn(found(PRINTED, HERE, y="reward")).axes
    assert left.get_xlim() != right.get_xlim()


def test_bars_with_a_name_in_common_share_their_rows_and_others_have_their_own(drawn: Any) -> None:
    left, right = drawn(found(PRINTED, HERE)).axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["DPO", "SimPO"]
    assert [text.get_text() for text in right.get_yticklabels()] == ["", ""]
    own = [line("POET", ("here", 55.0, 7.0))]
    left, right = drawn(found(PRINTED, own)).axes
    assert [text.get_text() for text in right.get_yticklabels()] == ["here"]


def test_a_curve_without_printed_numbers_is_said_in_words_and_not_drawn(drawn: Any) -> None:
    left, right = drawn(found([], CURVE, title="ΔQ grows with k"), kind="points").axes
    assert not left.lines
    assert [text.get_text() for text in left.texts] == ["No printed numbers. The paper shows: ΔQ grows\nwith k"]
    assert len(right.lines[0].get_xdata()) == 12


def test_no_number_here_is_said_with_its_reason(drawn: Any) -> None:
    left, right = drawn(found(PRINTED, [line("POET", missing=("no pair was audited",))])).axes
    assert left.patches
    assert [text.get_text() for text in right.texts] == ["No number came out. no pair was audited"]
    assert not drawn(found([], [])).legends


def test_nine_points_have_a_band_and_fewer_an_error_bar_each(drawn: Any) -> None:
    names = [type(one).__name__ for one in drawn(found([], CURVE), kind="points").axes[1].collections]
    assert names == ["FillBetweenPolyCollection"]
    few = [line("chosen", (1.0, 2.0, 0.5), (2.0, 3.0, 0.5))]
    bars = drawn(found([], few), kind="points").axes[1]
    assert [type(one).__name__ for one in bars.collections] == ["LineCollection"]
    bottom, top = bars.get_ylim()
    assert bottom < 1.5 < 3.5 < top


def test_doublings_have_a_tick_each_and_zero_is_drawn_on_a_plain_axis(drawn: Any) -> None:
    ks = [line("chosen", *[(float(2**k), float(k)) for k in range(2, 9)])]
    right = drawn(found([], ks), kind="points", log_x=True).axes[1]
    assert right.get_xscale() == "log"
    assert [text.get_text() for text in right.get_xticklabels()] == ["4", "8", "16", "32", "64", "128", "256"]
    from_zero = [line("mix", (0.0, 1.0), (4.0, 2.0))]
    assert drawn(found([], from_zero), kind="points", log_x=True).axes[1].get_xscale() == "linear"


def test_points_over_names_are_not_joined(drawn: Any) -> None:
    right = drawn(found(PRINTED, HERE), kind="points").axes[1]
    assert {one.get_linestyle() for one in right.lines if one.get_marker() not in ("", "None")} == {"None"}
    assert [text.get_text() for text in right.get_xticklabels()] == ["DPO", "SimPO"]


def test_sides_keep_their_colours_and_the_seventh_label_is_the_first_one_lighter(drawn: Any) -> None:
    assert pictures._colours(["POET", "rejected", "chosen"]) == {
        "chosen": (palette()["chosen"], 1.0, 0),
        "rejected": (palette()["rejected"], 1.0, 0),
        "POET": (palette()["kept"], 1.0, 0),
    }
    colours = pictures._colours([f"v{number}" for number in range(7)])
    assert colours["v6"] == (palette()["chosen"], 0.5, 1)
    assert len(set(colours.values())) == 7


def test_short_labels_of_a_legend_stay_within_the_picture() -> None:
    assert pictures._columns([f"v{number}" for number in range(20)]) == 9  # eleven were cut off at the right


@pytest.mark.parametrize("first", [[], ["chosen"], ["chosen", "rejected"]])
def test_no_label_is_too_faint_to_be_seen_and_no_two_look_the_same(first: list[str]) -> None:
    looks = list(pictures._colours([*first, *(f"v{number}" for number in range(24 - len(first)))]).values())
    assert min(look.alpha for look in looks) == 0.35
    assert len({(look.colour, look.hatch) for look in looks}) == 24
    assert len({(look.colour, look.linestyle) for look in looks}) == 24
    assert len({(look.colour, look.marker) for look in looks}) == 24


def test_later_rounds_of_colours_are_hatched_as_bars_and_marked_otherwise_as_points(drawn: Any) -> None:
    many = [line(f"v{number}", ("DPO", 40.0)) for number in range(13)]
    figure = drawn(found([], many))
    bars = figure.axes[1].patches
    assert [bar.get_hatch() or "" for bar in (bars[0], bars[6], bars[12])] == ["", "////", "...."]
    shown = figure.legends[0].get_patches()
    assert [patch.get_hatch() or "" for patch in (shown[0], shown[6], shown[12])] == ["", "////", "...."]
    curves = [line(f"v{number}", (1.0, 1.0), (2.0, 2.0)) for number in range(13)]
    lines = drawn(found([], curves), kind="points").axes[1].lines
    assert [one.get_marker() for one in (lines[0], lines[6], lines[12])] == ["o", "s", "^"]
    assert [one.get_linestyle() for one in (lines[0], lines[6], lines[12])] == ["-", "--", ":"]


def test_a_picture_of_sixty_series_has_those_that_fit_and_says_how_many_are_left_to_the_table(drawn: Any) -> None:
    many = [line(f"v{number}", *[(f"task {at}", 40.0) for at in range(6)]) for number in range(60)]
    figure = drawn(found([], many))
    assert figure.get_figheight() < 16
    assert len(figure.axes[1].patches) == 60
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [f"v{number}" for number in range(10)]
    assert figure.get_supxlabel() == "10 of 60 series; the other 50 are in the table alone."
    curves = [line(f"v{number}", (1.0, 1.0), (2.0, 2.0)) for number in range(30)]
    assert len(drawn(found([], curves), kind="points").legends[0].get_texts()) == 24
    assert drawn(found(PRINTED, HERE)).get_supxlabel() == ""


def test_series_of_this_run_are_drawn_before_those_that_the_paper_has_alone(drawn: Any) -> None:
    printed = [line(f"v{number}", *[(f"task {at}", 40.0) for at in range(6)]) for number in range(20)]
    figure = drawn(found(printed, [line("ours", ("task 0", 50.0, 5.0))]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*(f"v{n}" for n in range(9)), "ours"]
    assert len(figure.axes[1].patches) == 1


def test_another_quantity_than_the_papers_is_named_and_shares_no_scale(drawn: Any) -> None:
    left, right = drawn(found(PRINTED, HERE, y_here="win rate over the start, %")).axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("win rate, %", "win rate over the start, %")
    assert left.get_xlim() != right.get_xlim()
    assert [text.get_text() for text in right.get_yticklabels()] == ["", ""]
    left, right = drawn(found(CURVE, CURVE, y_here="gain, %"), kind="points").axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("win rate, %", "gain, %")


@pytest.mark.parametrize("kind", ["bars", "points"])
def test_names_and_labels_of_strangers_are_drawn_as_text(kind: Any, drawn: Any) -> None:
    hostile = "$\\frac$ and $x^2$ \u202e\x00 模型 " + "long " * 60
    record = found([], [line(hostile, (hostile, 1.0, 0.5))], x=hostile, y=hostile, title=hostile)
    axes = drawn(record, kind=kind).axes[1]
    named = axes.get_yticklabels() if kind == "bars" else axes.get_xticklabels()
    assert named[0].get_text().startswith("\\$\\frac\\$ and \\$x^2\\$")
    assert named[0].get_text().count("\n") == 2
    assert "\u202e" not in named[0].get_text()


@pytest.mark.slow
def test_a_formula_that_is_none_and_a_script_that_the_font_lacks_stop_no_picture() -> None:
    hostile = "$\\frac$ and $x^2$ 模型"
    assert draw_reproduction(found([], [line(hostile, (hostile, 1.0, 0.5))], title=hostile)).startswith(b"\x89PNG")
