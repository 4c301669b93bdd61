"""The page of a training: numbers and bands as in its log, parts that were not measured, hostile names."""

import math
from typing import Any

import pytest
from report_support import HOSTILE, Tags, manifest, words

from transforms.report.training_page import (
    MEANS,
    SPREAD,
    Training,
    headline,
    loss_plot,
    means_plot,
    movement,
    render_training,
    spread_plot,
)

LEVELS = ("p05", "p25", "p50", "p75", "p95")
CHOSEN, MARGIN = SPREAD[0], SPREAD[4]


def measured(step: int, figure: str, *values: float, **more: float) -> dict[str, float]:
    named = {f"eval_{figure}_{level}": value for level, value in zip(LEVELS, values, strict=True)}
    return {"eval_loss": 0.5, "step": step, **named, **more}


def training(**changes: Any) -> Training:
    fields: dict[str, Any] = {
        "name": "mine",
        "objective": "dpo",
        "settings": {"beta": 0.01},
        "model": manifest().policy,
        "data": "./runs/mine",
        "version": "0123456789abcdef",
        "examples": 1200,
        "test_examples": 40,
        "steps": 10,
        "kept_step": None,
        "figures": [("loss", 0.6931, -0.25)],
        "before": {"eval_rewards/accuracies": 0.5, "eval_mean_logps/margins": 0.1, "eval_displacement": 0.0},
        "after": {"eval_rewards/accuracies": 0.75, "eval_mean_logps/margins": 0.35, "eval_displacement": -0.125},
        "device": "cpu",
        "seconds": 75.0,
        "packages": {"torch": "2.13.0"},
        "git_commit": None,
        "fingerprint": "f1",
        "finished_at": "2026-11-30T12:00:00+00:00",
    }
    return Training(**(fields | changes))


LINES = [
    {"loss": 0.7, "step": 1},
    measured(0, "mean_logps/chosen", -4, -3, -2, -1, 0, eval_kl=0.0),
    measured(10, "mean_logps/chosen", -8, -6, -4, -3, -2, eval_kl=0.5),
    {"loss": 0.6, "step": 10},
]


def test_numbers_on_the_page_are_those_of_the_training() -> None:
    text = words(render_training(training(), LINES))
    for part in (
        "75.0 % of 40 test examples in order, 50.0 % before",
        "tiny learned from 1,200 examples by dpo in 10 steps.",
        "On average a token of the chosen responses lost 0.125 nats, and their margin over the rejected ones grew "
        "(+0.250): likelihood displacement.",
        "the model of step 10 was saved",
        "loss 0.6931 −0.2500",
        "at each of 2 measurements",
        "objective dpo, beta 0.01",
        "torch 2.13.0",
    ):
        assert part in text, part
    assert "best of its measurements" not in text
    kept = words(render_training(training(kept_step=5), LINES))
    assert "the model of step 5 was saved , the best of its measurements" in kept.replace("saved,", "saved ,")


def test_a_band_holds_nine_tenths_an_inner_one_half_and_the_line_is_the_median() -> None:
    plot = spread_plot(CHOSEN, LINES)
    assert plot is not None
    # The axis is from −8.48 to 0.48: 6 % of 8 on both sides.
    down = {value: round(100 * (0.48 - value) / 8.96, 2) for value in range(-8, 1)}

    def path(*values: int) -> str:
        return "L".join(f"{x:.2f} {down[value]:.2f}" for x, value in values)  # type: ignore[misc]

    outer, inner, line, dots = plot.layers
    assert (outer.style, inner.style, line.style, dots.style) == (
        "band chosen", "band chosen", "line chosen", "dots chosen",
    )  # fmt: skip
    assert line.path == "M" + path((0, -2), (100, -4))  # type: ignore[arg-type]
    assert outer.path == f"M{path((0, 0), (100, -2))}L{path((100, -8), (0, -4))}z"  # type: ignore[arg-type]
    assert inner.path == f"M{path((0, -1), (100, -3))}L{path((100, -6), (0, -3))}z"  # type: ignore[arg-type]
    assert plot.levels == []


def test_chosen_and_rejected_have_one_axis_and_margins_a_line_at_zero() -> None:
    rejected = SPREAD[1]
    both = [
        measured(step, "mean_logps/chosen", -4, -3, -2, -1, 0)
        | measured(step, "mean_logps/rejected", -40, -30, -20, -10, 0)
        for step in (0, 10)
    ]
    plots = [spread_plot(panel, both) for panel in (CHOSEN, rejected)]
    assert plots[0] and plots[1] and plots[0].y_ticks == plots[1].y_ticks
    margin = spread_plot(MARGIN, [measured(step, "mean_logps/margins", 1, 2, 3, 4, 5) for step in (0, 10)])
    assert margin and len(margin.levels) == 1
    assert margin.levels[0].at == pytest.approx(100 - 100 * 0.3 / 5.6, abs=0.01)  # 5 and 6 % of it on both sides


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_measurement_that_is_no_number_is_not_drawn(value: float) -> None:
    lines = [*LINES, measured(20, "mean_logps/chosen", -8, -6, value, -3, -2, eval_kl=value)]
    assert spread_plot(CHOSEN, lines) == spread_plot(CHOSEN, LINES)
    assert means_plot(MEANS[0], lines) == means_plot(MEANS[0], LINES)
    render_training(training(), lines)


def test_raos_log_ratios_are_two_lines_of_their_own() -> None:
    lines = [
        {"eval_loss": 1.0, "step": step, "eval_beta_log_ratio/chosen": step, "eval_beta_log_ratio/rejected": -step}
        for step in (0, 10)
    ]
    plot = means_plot(MEANS[1], lines)
    assert plot is not None
    assert [layer.style for layer in plot.layers] == ["line chosen", "dots chosen", "line rejected", "dots rejected"]
    assert " ".join(word.text for word in plot.title) == "β log(π/π_ref) of chosen and rejected"
    assert means_plot(MEANS[1], lines[:1]) is None
    assert "β log(π/π_ref)" in words(render_training(training(), lines))


def test_what_was_not_measured_is_not_there() -> None:
    alone = training(test_examples=0, before={}, after={}, figures=[])
    page = render_training(alone, [{"loss": 0.7, "step": 1}, {"loss": 0.6, "step": 2}])
    text = words(page)
    assert "10 steps of dpo, not measured on test examples" in text
    assert "there were none to measure on" in text
    for part in ("along the training", "Against the reference", "KL to the reference"):
        assert part not in text
    assert loss_plot([{"loss": 0.7, "step": 1}]) is None


def test_a_head_that_was_fitted_alone_has_a_page_without_steps() -> None:
    head = training(
        objective="bradley_terry", steps=0, test_examples=0, before={"validation_accuracy": 0.5},
        after={"validation_accuracy": 0.625},
    )  # fmt: skip
    text = words(render_training(head, [{"weight_decay": 0.1, "validation_loss": 0.5}]))
    assert "62.5 % of training pairs in order, each held out once" in text
    assert "0 steps" not in text
    assert headline(head._replace(before={"eval_accuracy": 0.5}, after={"eval_accuracy": 1.0}, test_examples=3)) == (
        "100.0\u00a0% of 3 test examples in order, 50.0\u00a0% before"
    )


@pytest.mark.parametrize(
    ("chosen", "after", "said"),
    [
        (0.1, 0.35, "gained 0.100 nats, and their margin over the rejected ones grew (+0.250)."),
        (-0.1, 0.05, "lost 0.100 nats, and their margin over the rejected ones shrank (−0.050)."),
    ],
)
def test_only_a_margin_that_grows_while_chosen_responses_fall_is_displacement(
    chosen: float, after: float, said: str
) -> None:
    found = movement(training(after={"eval_displacement": chosen, "eval_mean_logps/margins": after}))
    assert found.endswith(said)


def test_names_of_strangers_stay_text_and_nothing_is_loaded() -> None:
    model = manifest().policy
    assert model is not None
    page = render_training(
        training(
            name=HOSTILE, data=HOSTILE, device=HOSTILE, settings={"form": HOSTILE},
            model=model.model_copy(update={"name": HOSTILE}), figures=[(HOSTILE, 1.0, 2.0)],
        ),
        LINES,
    )  # fmt: skip
    tags = Tags(page)
    assert not tags.open
    assert not {"script", "img"} & set(tags.names)
    assert not any(name.startswith("on") for name, _ in tags.attributes)
    assert "default-src 'none'" in page
    assert "&lt;script&gt;alert(1)" in words(page)
    page.encode("utf-8")
