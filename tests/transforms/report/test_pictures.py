"""The card's figures: the report's shapes as PNG, opaque, and readable on light and dark pages."""

from io import BytesIO

import numpy as np
import polars as pl
import pytest
from matplotlib.path import Path
from PIL import Image
from report_support import judged, manifest, rows

from transforms.report.pictures import _path, draw_funnel, draw_pictures, draw_scores, palette


def test_an_svg_path_becomes_the_same_points() -> None:
    drawn = _path("M0 100V40.5H50h25v-10zM1 2L3 4h0")
    assert drawn.vertices.tolist() == [
        [0, 100], [0, 40.5], [50, 40.5], [75, 40.5], [75, 30.5], [75, 30.5], [1, 2], [3, 4], [3, 4],
    ]  # fmt: skip
    line, move, close = Path.LINETO, Path.MOVETO, Path.CLOSEPOLY
    assert drawn.codes.tolist() == [move, line, line, line, line, close, move, line, line]


@pytest.mark.parametrize("name", ["ink", "soft", "chosen", "rejected", "kept", "dropped"])
def test_words_have_a_contrast_of_four_and_a_half_on_the_pictures_ground(name: str) -> None:
    lighter, darker = sorted((luminance(palette()["paper"]), luminance(palette()[name])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.slow
def test_pictures_are_opaque_two_columns_wide_and_equal_for_equal_data() -> None:
    judged_run = manifest(**judged())
    pictures = draw_pictures(judged_run, rows())
    assert list(pictures) == ["funnel", "consistency", "lengths"]
    assert pictures == draw_pictures(judged_run, rows())
    for png in pictures.values():
        with Image.open(BytesIO(png)) as image:
            assert image.width == 1600
            assert image.convert("RGBA").getchannel("A").getextrema() == (255, 255)
            assert "Software" not in image.info


@pytest.mark.slow
def test_a_run_that_kept_nothing_and_sampled_nothing_has_a_funnel_only() -> None:
    nothing = manifest(sampled=False)
    assert list(draw_pictures(nothing, rows(sampled=False).filter(pl.col("verdict") != "keep"))) == ["funnel"]


@pytest.mark.slow
def test_the_funnel_grows_with_its_reasons() -> None:
    counts = manifest().counts
    heights = []
    for dropped in ({"inconsistent": 20}, {"inconsistent": 10, "tie": 5, "duplicate": 5}):
        with Image.open(BytesIO(draw_funnel(counts.model_copy(update={"dropped": dropped})))) as image:
            heights.append(image.height)
    assert heights == [round(200 * (0.34 * bars + 0.45)) for bars in (4, 6)]


def test_scores_are_drawn_with_their_threshold_and_margin() -> None:
    chosen, rejected = np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0])
    plain = draw_scores(chosen, rejected, 1.5, 0.0)
    assert plain.startswith(b"\x89PNG")
    assert draw_scores(chosen, rejected, 1.5, 0.0) == plain
    assert draw_scores(chosen, rejected, 1.5, 0.5) != plain
    assert draw_scores(chosen, rejected, 0.5, 0.0) != plain
    assert draw_scores(chosen, rejected, 1.5, 0.0, chosen) != plain
