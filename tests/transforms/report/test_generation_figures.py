"""Figures of a generation: bins of scores, the fitted slope within prompts, lengths and margins."""

import numpy as np
import polars as pl
import pytest
from generation_report_support import generation, pairs, responses, three_annotators, voice

from transforms.records.generation import LengthRecord
from transforms.report.generation_figures import (
    annotator_plots,
    length_plots,
    margin_plot,
    policy_plots,
    score_bins,
    within_plot,
)

FIT = LengthRecord(slope=2.0, low=1.0, high=3.0, explained=0.5, applied=False)


def test_few_whole_numbers_have_a_bar_each() -> None:
    assert score_bins(np.array([1.0, 3.0, 3.0, 10.0])).tolist() == [0.5 + i for i in range(11)]


def test_other_scores_have_round_bins_that_hold_the_middle_of_them() -> None:
    # 10 bins over 0 … 4.5: a step of 0.5.
    bins = score_bins(np.arange(10) / 2 + 0.0)
    assert bins[0] <= 0.0225
    assert bins[-1] >= 4.4775
    assert np.allclose(np.diff(bins), 0.5)


@pytest.mark.parametrize("value", [0.0, -3.25, 1e6, 1e-12])
def test_equal_scores_have_at_least_one_bin(value: float) -> None:
    bins = score_bins(np.full(5, value))
    assert len(bins) >= 2
    assert np.histogram(np.full(5, value), bins)[0].sum() == 5


def test_a_policy_has_a_panel_with_its_finished_and_unfinished_responses_and_its_mean() -> None:
    both = responses(policy=["a"] * 2 + ["b"] * 4, finished=[True] * 3 + [False] * 3)
    manifest = generation(voices=[voice("a"), voice("b"), voice("silent")])
    first, second = policy_plots(manifest, both)
    assert [word.text for word in first.title] == ["a:", "finished"]
    assert [word.text for word in second.title] == ["b:", "finished", "and", "unfinished"]
    assert [layer.style for layer in second.layers] == ["fill chosen", "fill dropped"]
    assert first.x_ticks == second.x_ticks
    # Scores of 1 to 3 have an axis from 1 to 3, and those of a, 1 and 3, their mean in its middle.
    assert first.rules[0].at == 50.0


def test_without_scores_there_is_no_figure_of_them() -> None:
    silent = responses(score=[None] * 6, score_reward=[None] * 6)
    assert policy_plots(generation(), silent) == []
    assert annotator_plots(generation(), silent) == []
    assert margin_plot(pairs().clear()) is None
    assert length_plots(generation(), silent, pairs().clear()) == []


def test_every_annotator_has_its_own_axis_and_a_pairwise_one_says_so() -> None:
    manifest, frame = three_annotators()
    plots = annotator_plots(manifest, frame)
    assert [[word.text for word in plot.title] for plot in plots] == [
        ["5 scores of", "reward"],
        ["6 scores of", "judge"],
        ["6 scores of", "brief"],
    ]
    assert "comparisons" in plots[1].x_name
    assert plots[0].x_name == "score"


def test_the_slope_is_drawn_within_prompts_of_different_lengths() -> None:
    # Prompt 0 alone has two scored lengths, 2 and 4: x = ± ln(5/3)/2, and scores 1 and 3 lie 1 from their mean.
    plot = within_plot(responses(), FIT)
    assert plot is not None
    [points] = [layer.path for layer in plot.layers if layer.style == "dots point"]
    end = max(np.log(5 / 3) / 2, np.log(1.25)) * 1.05
    x = 100 * (np.log(5 / 3) / 2 + end) / (2 * end)
    assert points.startswith(f"M{100 - x:.2f} ")
    assert f"M{x:.2f} " in points
    assert [layer.style for layer in plot.layers] == ["band quality", "dots point", "line quality"]
    assert plot.note == "up: score less the prompt's mean (2 of 2)"


def test_a_slope_without_an_interval_has_no_band() -> None:
    plot = within_plot(responses(), FIT.model_copy(update={"low": None, "high": None}))
    assert plot is not None
    assert [layer.style for layer in plot.layers] == ["dots point", "line quality"]


def test_equal_lengths_have_no_slope_to_draw() -> None:
    assert within_plot(responses(tokens=[3] * 6), FIT) is None


def test_many_responses_are_drawn_few_with_means_of_groups() -> None:
    rng = np.random.default_rng(0)
    many = pl.DataFrame(
        {"prompt": np.repeat(np.arange(2000), 4), "tokens": rng.integers(1, 500, 8000), "score": rng.normal(size=8000)}
    )
    plot = within_plot(many, FIT)
    assert plot is not None
    [points] = [layer.path for layer in plot.layers if layer.style == "dots point"]
    assert points.count("M") == 300
    [means] = [layer.path for layer in plot.layers if layer.style == "dots mean"]
    assert means.count("M") == 10
    assert plot.note == "up: score less the prompt's mean (300 of 8,000)"
    assert [tick.text for tick in plot.x_ticks if tick.at == 50.0] == ["1×"]


def test_lengths_of_both_sides_share_an_axis() -> None:
    [plot] = length_plots(generation(), responses(), pairs())
    assert [word.text for word in plot.title] == ["Lengths of", "chosen", "and", "rejected"]
    assert [layer.style for layer in plot.layers] == ["fill chosen", "line rejected"]


def test_margins_begin_at_0_and_the_line_is_the_median() -> None:
    several = pl.DataFrame({"margin": [1.0, 2.0, 6.0]})
    plot = margin_plot(several)
    assert plot is not None
    assert [word.text for word in plot.title] == ["3 pairs", "by margin"]
    assert plot.x_ticks[0] == (0.0, "0")
    assert [word.text for word in margin_plot(pairs()).title] == ["1 pair", "by margin"]
