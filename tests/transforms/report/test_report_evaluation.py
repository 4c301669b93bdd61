"""The page about an evaluation: numbers as in the evaluation, empty parts, hostile names."""

import re
from typing import Any

import pytest
from report_support import HOSTILE, Tags, curve, manifest, words

from transforms.records.evaluation import (
    AccuracyRecord,
    Counts,
    Curve,
    Displacement,
    Distance,
    Evaluation,
    Judged,
    Kept,
    PolicyEvaluation,
    RewardEvaluation,
    SectionRecord,
)
from transforms.report import render_evaluation
from transforms.report.curves import kept_plot
from transforms.report.evaluation_page import accuracy_forest, movement
from transforms.statistics.intervals import MeanRecord


def accuracy(value: float, source: str = "all", subset: str | None = None, pairs: int = 40) -> AccuracyRecord:
    low, high = max(0.0, value - 0.05), min(1.0, value + 0.05)
    return AccuracyRecord(
        source=source,
        subset=subset,
        pairs=pairs,
        prompts=pairs // 2,
        ties=3,
        value=value,
        low=low,
        high=high,
        margin=0.5,
    )


def section(name: str, value: float, **changes: Any) -> SectionRecord:
    fields = {"source": "bench", "section": name, "pairs": 10, "value": value, "low": value - 0.1, "high": value + 0.1}
    return SectionRecord(**(fields | changes))


def mean(value: float) -> MeanRecord:
    return MeanRecord(value=value, low=value - 0.1, high=value + 0.1)


def reward(**changes: Any) -> RewardEvaluation:
    fields: dict[str, Any] = {
        "model": manifest().reward,
        "counts": Judged(loaded=42, judged=40, quarantined=2),
        "accuracy": [accuracy(0.75), accuracy(0.8, "bench", "hep-go", 20), accuracy(0.4, "bench", "my own", 20)],
        "sections": [section("Reasoning", 0.8, missing=["math-prm"])],
        "kept": Kept(by_ratio=curve(0.6, 0.7, 0.75, start=0.5, step=0.25, spread=0.05), by_tokens=[]),
        "spend": manifest().scores,
    }
    return RewardEvaluation(**(fields | changes))


def policy(**changes: Any) -> PolicyEvaluation:
    moves = [("chosen", -0.5), ("rejected", -0.9), ("margin", 0.4)]
    both = [("kl", "both"), ("entropy", "policy"), ("entropy", "reference"), ("log_prob", "policy")]
    fields: dict[str, Any] = {
        "model": manifest().policy,
        "reference": manifest().policy,
        "measure": "log_ratio",
        "beta": 0.1,
        "counts": Judged(loaded=42, judged=41, quarantined=1),
        "accuracy": [accuracy(0.65)],
        "sections": [],
        "kept": Kept(
            by_ratio=curve(0.55, 0.65, start=0.5, step=0.5, spread=0.05), by_tokens=curve(0.5, 0.6, start=8, step=8)
        ),
        "displacement": [
            Displacement(side=side, before=mean(-2.0), after=mean(-2.0 + change), change=mean(change))
            for side, change in moves
        ],
        "distance": Distance(
            pairs=32,
            kl=mean(0.25),
            curves=[
                Curve(measure=measure, model=model, side=side, points=curve(0.1, 0.3, 0.2, spread=0.01))
                for measure, model in both
                for side in ("chosen", "rejected")
            ],
        ),
        "spend": manifest().scores,
    }
    return PolicyEvaluation(**(fields | changes))


def evaluation(**changes: Any) -> Evaluation:
    fields: dict[str, Any] = {
        "name": "test-evaluation",
        "fingerprint": "0123456789abcdef",
        "sources": manifest().sources,
        "counts": Counts(raw_rows=50, read=50, loaded=42, left_out={"tie": 5}, quarantined=3),
        "reward": reward(),
        "policy": policy(),
        "packages": {"torch": "2.13.0"},
        "git_commit": None,
        "seconds": 7.0,
        "finished_at": "2026-11-21T12:00:00+00:00",
    }
    return Evaluation(**(fields | changes))


def test_numbers_on_the_page_are_those_of_the_evaluation() -> None:
    text = words(render_evaluation(evaluation()))
    for part in (
        "Reward model: 75.0 % , policy: 65.0 %",
        "40 75.0 % [70.0, 80.0]",
        "bench: hep-go 20 10 3 80.0 % [75.0, 85.0] +0.500",
        "Reasoning 10 80.0 % [70.0, 90.0]",
        "bench, Reasoning: no pair of math-prm; the others carry their weight",
        "β = 0.1",
        "chosen −2.000 [−2.100, −1.900] −2.500 [−2.600, −2.400] −0.500 [−0.600, −0.400]",
        "The mean KL is 0.25 nats a token",
        "rows read 50 pairs in them 50 left out: tie: no side is preferred 5 quarantined on loading 3 loaded 42",
        "Reward model: judged 40 Reward model: quarantined 2",
        "Quarantined 6",
        "torch 2.13.0",
    ):
        assert part.replace(" , ", ", ") in text.replace(" , ", ", "), part


def test_falling_chosen_responses_with_a_growing_margin_are_called_displacement() -> None:
    found = movement(policy().displacement)
    assert found == (
        "The chosen responses became less likely (−0.500 nats a token), and their margin over the rejected ones grew "
        "(+0.400): likelihood displacement."
    )


def test_what_an_interval_leaves_open_is_not_said() -> None:
    rows = [one.model_copy(update={"change": mean(0.05)}) for one in policy().displacement]
    assert movement(rows) == (
        "The chosen responses are about as likely as before (+0.050 nats a token), and their margin over the rejected "
        "ones hardly changed (+0.050)."
    )


def test_without_a_reference_nothing_is_said_of_movement() -> None:
    rows = [one.model_copy(update={"before": None, "change": None}) for one in policy().displacement]
    page = render_evaluation(evaluation(policy=policy(displacement=rows, reference=None, distance=None)))
    assert movement(rows) == ""
    assert "KL to the reference" not in words(page)
    assert "–" in words(page)


def test_sections_stand_before_the_subsets_on_one_axis() -> None:
    drawn = accuracy_forest(reward())
    assert [(row.group, row.name) for row in drawn.rows] == [
        ("All pairs", "all"),
        ("bench: sections", "Reasoning"),
        ("bench: subsets", "hep-go"),
        ("bench: subsets", "my own"),
    ]
    assert drawn.ticks[0].text == "40\u00a0%"
    assert drawn.rows[0].note == "40"


def test_tokens_are_doublings_apart_and_the_whole_response_stands_at_the_end() -> None:
    whole = curve(0.7, start=1.0)[0]
    plot = kept_plot(curve(0.5, 0.6, start=8, step=8), "tokens", whole)
    assert plot is not None
    assert [tick.text for tick in plot.x_ticks] == ["8", "16", "whole"]
    first, second, last = (tick.at for tick in plot.x_ticks)
    assert second - first == pytest.approx(last - second, abs=0.02)
    assert kept_plot([], "tokens", whole) is None


def test_every_curve_is_drawn() -> None:
    # Reward by ratio; policy by ratio and tokens; KL, entropy, and the log-prob of both sides.
    assert render_evaluation(evaluation()).count('class="plot"') == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"reward": None},
        {"policy": None},
        {"reward": reward(accuracy=[], sections=[], kept=Kept(by_ratio=[], by_tokens=[])), "policy": None},
        {"policy": policy(distance=None, kept=Kept(by_ratio=curve(0.5), by_tokens=[]))},
    ],
)
def test_an_evaluation_with_empty_parts_is_still_a_whole_page(changes: dict[str, Any]) -> None:
    page = render_evaluation(evaluation(**changes))
    assert Tags(page).open == []
    assert not {"nan", "none"} & set(words(page).lower().split())


def test_hostile_names_never_become_markup() -> None:
    rows = [accuracy(0.5), accuracy(0.5, HOSTILE, HOSTILE)]
    model = manifest().reward.model_copy(update={"name": HOSTILE})
    page = render_evaluation(
        evaluation(
            name=HOSTILE,
            reward=reward(
                accuracy=rows, sections=[section("Chat", 0.5, source=HOSTILE, missing=[HOSTILE])], model=model
            ),
            counts=Counts(raw_rows=1, read=1, loaded=0, left_out={HOSTILE: 1}, quarantined=0),
        )
    )
    tags = Tags(page)
    assert not {"script", "img", "iframe", "object", "form", "link"} & set(tags.names)
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert not re.search("[\x00\u202e\u2066\ud800]", page)
    page.encode("utf-8")


def test_the_page_runs_no_script_and_loads_nothing() -> None:
    page = render_evaluation(evaluation())
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert not [value for name, value in Tags(page).attributes if name in ("src", "srcset", "data", "action")]
    assert render_evaluation(evaluation()) == page
