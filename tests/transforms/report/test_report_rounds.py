"""The page of rounds: a sentence, win rates with their line at one half, and the gap between judge and annotators."""

import pytest
from report_support import Tags, words

from transforms.records.manifest import ModelRecord, ShareRecord
from transforms.records.rounds import (
    AnswersRecord,
    DataRecord,
    MeanScore,
    PromptsRecord,
    RoundRecord,
    Rounds,
    WinRecord,
)
from transforms.report.rounds_page import gain_plot, headline, render_rounds, win_forest, win_in_words, win_plot

SETTINGS = {
    "rounds": 3,
    "start": {"model": "smollm2"},
    "stop": {"by": "value", "min_gain": 0.0, "length_controlled": False, "patience": 1},
}


def model(name="m"):
    return ModelRecord(name=name, revision="local", fingerprint="f", dtype="float32", engine="transformers")


def share(value, half=0.1):
    return ShareRecord(value=value, low=value - half, high=value + half, count=40)


def win(value, equal=None):
    return WinRecord(
        rate=share(value),
        ties=0.0,
        left_out=0,
        at_equal_length=None if equal is None else share(equal),
        not_fitted="separated" if equal is None else None,
    )


def answers(judge, annotator, *, finished=30, tokens=50.0):
    return AnswersRecord(
        responses=40,
        finished=finished,
        tokens=tokens,
        judge=MeanScore(mean=judge, sd=2.0, scored=40),
        annotators={} if annotator is None else {"reward": MeanScore(mean=annotator, sd=0.5, scored=40)},
    )


def one(number, over_start, *, better, judge=1.0, annotator=0.5, best_before=0):
    return RoundRecord(
        number=number,
        part=1,
        data=DataRecord(version="v", prompts=100, responses=500, pairs=90, kept=80, train=78),
        steps=5,
        folder=f"runs/x/round-{number}/training/model",
        model=model(),
        answers=answers(judge, annotator),
        over_start=win(over_start, over_start - 0.02),
        over_previous=win(over_start - 0.05),
        over_best=win(over_start - 0.05),
        best_before=best_before,
        better=better,
        seconds=61.0,
    )


def rounds(*done, **changes):
    prompts = PromptsRecord(training=[], held_out=[], found=120, overlap=20, parts=[100], held=40, unusable=0)
    content = {
        "name": "unit",
        "fingerprint": "f",
        "config": SETTINGS,
        "start": model("start-model"),
        "judge": model("judge-model"),
        "annotators": {"reward": model("reward-model")},
        "prompts": prompts,
        "start_answers": answers(0.0, 0.0),
        "rounds": list(done),
        "ended": "all_rounds",
        "packages": {},
        "git_commit": None,
        "finished_at": "2026-11-29T00:00:00+00:00",
    }
    return Rounds.model_validate(content | changes)


def test_the_headline_names_the_best_round_or_says_that_none_is():
    found = rounds(one(1, 0.6, better=True), one(2, 0.55, better=False, best_before=1))
    assert headline(found, 1) == "round 1 is the best, and wins 60.0\u00a0% [50.0,\u00a070.0] over the start"
    assert headline(rounds(one(1, 0.4, better=False)), 0) == "no policy of 1 round is better than the start"
    assert win_in_words(None) == "–"


def test_the_page_says_every_round_and_what_could_not_be_fitted():
    page = render_rounds(rounds(one(1, 0.6, better=True), one(2, 0.7, better=False, best_before=1)), best=1)
    assert Tags(page).open == []
    text = words(page)
    for said in (
        "Round 1 is the best",
        "length alone parts wins from losses",
        "not better than round 1",
        "20 of them among the training prompts",
        "judge-model",
        "runs/x/round-2/training/model",
        "+0.50 sd",  # the judge's 1.0 over a standard deviation of 2.0
        "+1.00 sd",  # the annotator's 0.5 over 0.5
    ):
        assert said in text, said


def test_rounds_that_have_not_begun_have_a_page_too():
    text = words(render_rounds(rounds(start_answers=None, ended=None, prompts=None), best=0))
    assert "0 rounds, and not at the end yet" in text


def test_the_line_of_the_forest_is_at_one_half():
    forest = win_forest([("round 1", win(0.6)), ("round 2", win(0.7))])
    assert [row.name for row in forest.rows] == ["round 1", "round 2"]
    assert forest.rows[0].low == pytest.approx(forest.zone) == 25.0  # 0.6 − 0.1, on an axis from 0.4 to 0.8
    assert forest.rows[1].at > forest.rows[0].at > forest.zone


def test_curves_are_drawn_of_what_there_is():
    assert win_plot(rounds()) is None
    assert len(win_plot(rounds(one(1, 0.6, better=True))).layers) == 3
    found = rounds(one(1, 0.6, better=True))
    assert "Is it the goal" in words(render_rounds(found, best=1))
    assert gain_plot([]) is None
    alone = rounds(one(1, 0.6, better=True, annotator=None), start_answers=answers(0.0, None))
    assert "training annotators" not in words(render_rounds(alone, best=1)).replace("annotators of the training", "")
