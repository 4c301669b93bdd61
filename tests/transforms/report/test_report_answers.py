"""The part of a page about answers: numbers as in the record, hostile names, what rates rest on."""

from typing import Any

from report_support import HOSTILE, Tags, manifest, words

from transforms.records.answers import (
    AlpacaEvalRecord,
    AnswersEvaluation,
    AnswersRecord,
    EntropyCurve,
    HistogramRecord,
    LengthsRecord,
    PrefixQuality,
    QualityCurve,
    WinsRecord,
)
from transforms.records.audit import CurvePoint
from transforms.records.evaluation import Counts, Evaluation
from transforms.records.manifest import ShareRecord, SpendRecord
from transforms.report import render_evaluation
from transforms.report.answers import answers_view, ends_apart, headline, notes, wins_forest
from transforms.report.figures import Plot

LENGTHS = LengthsRecord(mean=412.4, quantiles=[10.0, 200.0, 400.0, 600.0, 1234.0])
OWN = AlpacaEvalRecord(
    rate=0.61, standard_error=0.01, low=0.5, high=0.7, instructions=30, fitted=29, foreign=1, doubled=2, missing=4
)


def share(value: float, spread: float = 0.1, count: int = 36) -> ShareRecord:
    return ShareRecord(value=value, low=value - spread, high=value + spread, count=count)


def wins(label: str = "mine", **changes: Any) -> WinsRecord:
    fields: dict[str, Any] = {
        "label": label,
        "prompts": 40,
        "left_out": {"the judge gave no score": 4},
        "rate": share(0.7),
        "ties": 0.1,
        "at_equal_length": share(0.65),
    }
    return WinsRecord(**(fields | changes))


def record(label: str, **changes: Any) -> AnswersRecord:
    fields: dict[str, Any] = {
        "label": label,
        "model": manifest().reward,
        "responses": 40,
        "ends": {"ended": 30, "out_of_room": 8, "empty": 2},
        "tokens": LENGTHS,
        "characters": LENGTHS,
        "score": 1.25,
    }
    return AnswersRecord(**(fields | changes))


def answers(**changes: Any) -> AnswersEvaluation:
    fields: dict[str, Any] = {
        "judge": manifest().reward,
        "judge_kind": "reward",
        "compares": False,
        "sources": [],
        "prompts": 40,
        "baseline": "base",
        "samples": 1,
        "models": [record("base"), record("mine")],
        "wins": [wins()],
        "unscored": {},
        "lengths": HistogramRecord(edges=[0.0, 500.0, 1000.0], counts={"base": [30, 10], "mine": [20, 20]}),
        "scores": None,
        "quarantined": 3,
        "completions": SpendRecord.nothing(),
        "judgements": SpendRecord.nothing(),
        "price": None,
    }
    return AnswersEvaluation(**(fields | changes))


def evaluation(found: AnswersEvaluation) -> Evaluation:
    return Evaluation(
        name="unit",
        fingerprint="f",
        sources=[],
        counts=Counts(raw_rows=0, read=0, loaded=0, left_out={}, quarantined=0),
        reward=None,
        policy=None,
        answers=found,
        packages={},
        git_commit=None,
        seconds=1.0,
        finished_at="2026-11-30T00:00:00+00:00",
    )


def test_the_headline_says_no_more_than_the_interval_does():
    assert headline(answers()) == "mine beats base: it wins 70.0\u00a0% [60.0,\u00a080.0]"
    assert headline(answers(wins=[wins(rate=share(0.3))])).startswith("mine loses to base: it wins 30.0")
    assert headline(answers(wins=[wins(rate=share(0.55))])).startswith("mine is not told from base: it wins 55.0")
    nothing = ShareRecord(value=0.0, low=0.0, high=1.0, count=0)
    assert headline(answers(wins=[wins(rate=nothing)])) == "No answers could be compared"


def test_the_forest_has_each_kind_of_rate_that_there_is():
    rows = wins_forest([wins(alpaca_eval=OWN), wins("other", at_equal_length=None)]).rows
    assert [(row.group, row.name, row.at, row.note) for row in rows] == [
        ("All answers", "mine", 70.0, "36"),
        ("All answers", "other", 70.0, "36"),
        ("At equal length", "mine", 65.0, "36"),
        ("AlpacaEval 2, length-controlled", "mine", 61.0, "30"),
    ]
    assert [row.first for row in rows] == [True, False, True, True]
    without = wins_forest([wins(alpaca_eval=OWN.model_copy(update={"low": None, "high": None}))]).rows[-1]
    assert (without.low, without.high, without.text) == (61.0, 61.0, "61.0\u00a0%")


def test_notes_say_on_what_the_rates_rest():
    said = notes(
        answers(
            unscored={"an odd <b>answer</b>": 5},
            wins=[wins(at_equal_length=None, not_fitted="separated", extrapolated=True, alpaca_eval=OWN)],
        )
    )
    assert said == [
        "5 answers have no score by the judge: an odd <b>answer</b>",
        "mine: 4 of 40 prompts left out, 4 because the judge gave no score.",
        "mine: no rate at equal length, because one side wins all, or length alone parts wins from losses.",
        "mine: all answers of one side are the longer ones, so equal length is beyond what was seen.",
        "mine: AlpacaEval's rate rests on 30 of its instructions; 4 have no judgement, 1 judgements are of others, "
        "2 were made twice.",
    ]


def test_models_that_differ_in_how_often_they_end_are_named_with_their_shares():
    assert ends_apart([("base", 0.5), ("mine", 0.59)]) is None
    assert ends_apart([("base", 0.5), ("mine", 0.6)]) is not None
    assert ends_apart([]) is None
    said = ends_apart([("base", 0.5), ("mine", 0.25), ("theirs", 0.375)])
    assert said.startswith(
        "How many answers ended by themselves differs: base 50.0\u00a0%, mine 25.0\u00a0%, theirs 37.5"
    )
    few = record("mine", ends={"ended": 10, "out_of_room": 30})
    assert notes(answers(models=[record("base"), few]))[-1].startswith(
        "How many answers ended by themselves differs: base 75.0\u00a0%, mine 25.0\u00a0%."
    )
    assert not any("ended by themselves" in one for one in notes(answers()))


def test_the_page_has_the_numbers_and_escapes_what_strangers_wrote():
    found = answers(unscored={HOSTILE: 1}, judge=manifest().reward.model_copy(update={"name": HOSTILE}))
    html = render_evaluation(evaluation(found))
    tags = Tags(html)
    assert (tags.open, "script" in tags.names) == ([], False)
    text = words(html)
    assert "mine beats base: it wins 70.0 % [60.0, 80.0]" in text
    assert "10–1,234" in text
    assert "ran out of room" in text
    assert "ended within its reasoning" not in [said for _, said in answers_view(found).other_ends]
    assert "<script>alert" not in html
    assert "What became of the rows" not in text


def test_scores_of_a_judge_that_compares_are_not_drawn():
    scores = HistogramRecord(edges=[0.0, 1.0], counts={"base": [40], "mine": [40]})
    assert len(answers_view(answers(scores=scores)).scores) == 1
    view = answers_view(answers(compares=True))
    assert (view.scores, len(view.lengths)) == ([], 1)
    assert "mean score" not in words(render_evaluation(evaluation(answers(compares=True))))


def curve(label: str, *means: float) -> QualityCurve:
    points = [CurvePoint(at=8.0 * 2**at, mean=m, low=m - 1, high=m + 1, pairs=40) for at, m in enumerate(means)]
    return QualityCurve(label=label, points=points, over_baseline=points if label != "base" else [])


def test_prefix_quality_of_up_to_four_models_is_in_one_figure():
    def view(*labels: str) -> list[Plot]:
        found = PrefixQuality(
            completer=manifest().reward,
            completions_each=3,
            prompts=40,
            answers=80,
            read=78,
            left_out={"an odd <b>reason</b>": 2},
            curves=[curve(label, 1.0, 2.0) for label in ("base", *labels)],
            completions=SpendRecord.nothing(),
            judgements=SpendRecord.nothing(),
        )
        html = render_evaluation(evaluation(answers(prefixes=found)))
        assert "2 are left out: an odd &lt;b&gt;reason&lt;/b&gt;" in html
        return answers_view(answers(prefixes=found)).prefixes

    one, above = view("a", "b", "c")
    assert [word.text for word in one.title] == ["Score of completions:", "base", "and", "a", "and", "b", "and", "c"]
    assert [tick.text for tick in one.x_ticks] == ["8", "16"]
    assert [word.style for word in above.title] == ["", "policy", "", "chosen", "", "rejected"]
    assert len(view("a", "b", "c", "d")) == 4


def test_entropy_by_position_is_drawn_with_the_baseline_in_each_panel():
    points = [CurvePoint(at=float(at), mean=2.0, low=1.0, high=3.0, pairs=9) for at in range(1, 4)]
    found = [EntropyCurve(label=label, responses=9, points=points) for label in ("base", "mine")]
    [plot] = answers_view(answers(entropy=found)).entropy
    assert [word.text for word in plot.title] == ["Entropy, nats:", "base", "and", "mine"]
