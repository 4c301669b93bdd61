"""What evaluation.html says of RewardBench 2 and of tasks: the evaluation's numbers, and names of strangers as text."""

import re
from typing import Any

import pytest
from report_support import HOSTILE, Tags, manifest, words
from test_report_evaluation import evaluation, reward

from transforms.evaluation.rewardbench2 import SUBSETS
from transforms.records.evaluation import Counts, Evaluation
from transforms.records.rewardbench2 import BestOfCounts, RewardBench2Evaluation, SubsetRecord, TiesRecord
from transforms.records.tasks import TaskScore, TasksEvaluation
from transforms.report import render_evaluation
from transforms.report.benchmark_figures import subsets_forest


def subset(name: str, value: float, **changes: Any) -> SubsetRecord:
    fields = {"rows": 20, "responses": 80, "level": 2, "value": value, "low": value - 0.1, "high": value + 0.1}
    return SubsetRecord(subset=name, **(fields | changes))


def benchmark(**changes: Any) -> RewardBench2Evaluation:
    values = dict(zip(SUBSETS, (0.71, 0.34, 0.6, 0.85, 0.9, 0.62), strict=True))
    fields: dict[str, Any] = {
        "source": "bench2",
        "model": manifest().reward,
        "counts": BestOfCounts(raw_rows=123, judged=120, quarantined=3),
        "subsets": [subset(name, value) for name, value in values.items()],
        "ties": TiesRecord(questions=9, alone=1, tied=0.5, ref=0.75, preferred=0.4, preferred_hard=0.25, margin=-0.125),
        "total": 0.67,
        "low": 0.62,
        "high": 0.72,
        "missing": [],
        "spend": manifest().scores,
    }
    return RewardBench2Evaluation(**(fields | changes))


def score(**changes: Any) -> TaskScore:
    fields: dict[str, Any] = {
        "task": "capitals",
        "group": False,
        "version": "1.0",
        "metric": "acc",
        "filter": "none",
        "value": 0.83333333,
        "stderr": 0.16666667,
        "n": 1234,
        "num_fewshot": 5,
        "higher_is_better": True,
    }
    return TaskScore(**(fields | changes))


def tasks(*scores: TaskScore, **changes: Any) -> TasksEvaluation:
    fields: dict[str, Any] = {
        "model": manifest().policy,
        "lm_eval": "0.4.13",
        "packages": {"lm_eval": "0.4.13", "torch": "2.13.0"},
        "chat_template": True,
        "limit": None,
        "seed": None,
        "scores": list(scores) or [score()],
        "results": "lm_eval.json",
        "seconds": 12.0,
    }
    return TasksEvaluation(**(fields | changes))


def alone(**changes: Any) -> Evaluation:
    nothing = Counts(raw_rows=0, read=0, loaded=0, left_out={}, quarantined=0)
    return evaluation(**({"reward": None, "policy": None, "sources": [], "counts": nothing} | changes))


def test_every_score_of_rewardbench_2_is_on_the_page() -> None:
    text = words(render_evaluation(alone(rewardbench2=[benchmark()])))
    for part in (
        "RewardBench 2 67.0 %",
        "bench2: 67.0 %",
        "Precise IF 20 80 2 34.0 % [24.0, 44.0]",
        "Ties 20 80 – 62.0 % [52.0, 72.0]",
        "Ties, 9 questions with both rows, 1 rows alone",
        "0.30 50.0 %",
        "0.01 −0.125",
        "is the mean of the six subsets, whatever their sizes",
        "bench2: rows read 123 bench2: judged 120 bench2: quarantined 3",
        "Quarantined 3",
    ):
        assert part in text, part
    assert "rows read 0" not in text
    assert "So many of" not in text


def test_the_mean_of_six_is_drawn_last_and_open() -> None:
    rows = subsets_forest(benchmark()).rows
    assert [row.name for row in rows] == [*SUBSETS, "RewardBench 2"]
    assert [row.kind for row in rows] == ["label"] * 6 + ["reward"]
    without = benchmark(total=None, low=None, high=None, missing=["Focus"], ties=None)
    assert len(subsets_forest(without).rows) == 6
    assert "There is no total: no score of Focus." in words(render_evaluation(alone(rewardbench2=[without])))


def test_the_first_version_says_what_its_total_is_and_what_cannot_be_held_against_it() -> None:
    text = words(render_evaluation(evaluation()))
    assert "its score is the mean of all four" in text
    assert "of the twenty rows of its table one fits the plain mean" in text
    assert "RewardBench 2" not in text


def test_every_number_of_tasks_is_on_the_page() -> None:
    scores = score(), score(task="both", group=True, metric="word_perplexity", higher_is_better=False, value=12345.678)
    found = words(render_evaluation(alone(tasks=tasks(*scores))))
    for part in (
        "1 task ",
        "lm-evaluation-harness 0.4.13, as conversations in its chat template",
        "capitals acc ↑ 0.8333 0.1667 1,234 5 1.0",
        "both (group) word_perplexity ↓ 1.235e+04 0.1667",
        "environment of lm_eval lm_eval 0.4.13, torch 2.13.0",
    ):
        assert part in found, part
    assert "A trial" not in found


@pytest.mark.parametrize(
    ("limit", "said"), [(10.0, "no more than 10 documents of each task"), (0.5, "no more than 0.5 of each task’s")]
)
def test_numbers_of_a_trial_say_so(limit: float, said: str) -> None:
    assert said in words(render_evaluation(alone(tasks=tasks(limit=limit))))


def test_numbers_that_are_not_there_are_dashes() -> None:
    nothing = dict.fromkeys(("version", "value", "stderr", "n", "num_fewshot", "higher_is_better"))
    page = render_evaluation(alone(tasks=tasks(score(**nothing), chat_template=False)))
    assert "capitals acc – – – – –" in words(page)
    assert "without a chat template" in words(page)
    assert not {"nan", "none"} & set(words(page).lower().split())


def test_beside_pairs_the_page_is_whole_and_hostile_names_stay_text() -> None:
    hostile = {"task": HOSTILE, "metric": HOSTILE, "filter": HOSTILE, "version": HOSTILE}
    page = render_evaluation(
        evaluation(
            reward=reward(),
            rewardbench2=[benchmark(source=HOSTILE, subsets=[subset(HOSTILE, 0.5)], missing=[HOSTILE])],
            tasks=tasks(score(**hostile), packages={HOSTILE: HOSTILE}),
        )
    )
    tags = Tags(page)
    assert tags.open == []
    assert not {"script", "img", "iframe", "object", "form", "link"} & set(tags.names)
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert not re.search("[\x00\u202e\u2066\ud800]", page)
