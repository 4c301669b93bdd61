"""What a chat benchmark's judge said, on the page: numbers as in the record, empty parts, hostile names."""

from typing import Any

import pytest
from report_support import HOSTILE, Tags, words
from test_report_evaluation import evaluation

from transforms.records.annotations import AnnotationCounts, AnnotationRecord, AnnotationScore
from transforms.report import render_evaluation
from transforms.report.annotated import annotated


def score(of: str, value: float | None, **changes: Any) -> AnnotationScore:
    fields: dict[str, Any] = {
        "of": of,
        "baseline": "o3-mini",
        "unit": "win_rate",
        "value": value,
        "low": None if value is None else value - 0.1,
        "high": None if value is None else value + 0.1,
        "verdicts": 1_012,
        "counts": AnnotationCounts(lines=506, judged=500, no_verdict=4, doubled=2, missing=None),
    }
    return AnnotationScore(**(fields | changes))


def record(*scores: AnnotationScore, **changes: Any) -> AnnotationRecord:
    fields: dict[str, Any] = {
        "kind": "arena_hard",
        "benchmark": "Arena-Hard v2",
        "model": "mine",
        "judge": "gpt-4.1",
        "path": "./mine.jsonl",
        "sha256": "ab" * 32,
        "questions": None,
        "others": 7,
        "scores": list(scores),
    }
    return AnnotationRecord(**(fields | changes))


def rated(value: float | None, low: float | None, high: float | None) -> AnnotationRecord:
    counts = AnnotationCounts(lines=80, judged=80, no_verdict=0, doubled=0, missing=3)
    of = score("both turns", value, baseline=None, unit="score", low=low, high=high, verdicts=80, counts=counts)
    return record(of, kind="mt_bench", benchmark="MT-Bench", judge="gpt-4")


def test_numbers_stand_beside_those_of_labelled_pairs() -> None:
    found = [record(score("hard_prompt", 0.25), score("creative_writing", None)), rated(7.5, 7.0, 8.0)]
    text = words(render_evaluation(evaluation(annotations=found)))
    assert "policy: 65.0" in text
    assert "Arena-Hard v2, hard_prompt 25.0 % mine, 500 instructions" in text
    assert "hard_prompt, over o3-mini 500 25.0 % [15.0, 35.0]" in text
    assert "mine gpt-4.1 hard_prompt o3-mini 25.0 % [15.0, 35.0] 1,012 506 500 4 2 unknown" in text
    assert "mine gpt-4.1 creative_writing o3-mini – 1,012 506 500 4 2 unknown" in text
    assert "mine gpt-4 both turns – 7.50 [7.00, 8.00] 80 80 80 0 0 3" in text
    assert "from ./mine.jsonl , content abab" in text
    assert "7 lines of other models" in text


def test_a_rate_of_one_half_lies_on_the_line_and_ratings_have_an_axis_from_one_to_ten() -> None:
    rates, ratings = annotated([record(score("hard_prompt", 0.5)), rated(5.5, 5.0, 6.0)])
    assert rates.forest
    assert ratings.forest
    assert (rates.forest.zone, rates.forest.rows[0].at) == (50.0, 50.0)
    assert (ratings.forest.zone, ratings.forest.rows[0].at) == (0.0, 50.0)
    assert [tick.text for tick in ratings.forest.ticks] == [str(number) for number in range(1, 11)]


def test_several_models_of_a_benchmark_share_a_figure_with_a_head_each() -> None:
    [part] = annotated([record(score("a", 0.5), score("b", 0.4)), record(score("a", 0.3), model="other")])
    assert part.forest
    assert [(row.group, row.first, row.name) for row in part.forest.rows] == [
        ("mine, judged by gpt-4.1", True, "a, over o3-mini"),
        ("mine, judged by gpt-4.1", False, "b, over o3-mini"),
        ("other, judged by gpt-4.1", True, "a, over o3-mini"),
    ]
    assert [(tile.name, tile.value, tile.model) for tile in part.tiles] == [
        ("Arena-Hard v2, a", "50.0\u00a0%", "mine"),
        ("Arena-Hard v2, a", "30.0\u00a0%", "other"),
    ]


@pytest.mark.parametrize("found", [[record(score("a", None))], [rated(7.0, None, None)], []])
def test_empty_parts_are_still_a_whole_page(found: list[AnnotationRecord]) -> None:
    page = render_evaluation(evaluation(annotations=found))
    assert Tags(page).open == []
    assert ('id="annotations"' in page) == bool(found)


def test_hostile_names_never_become_markup() -> None:
    hostile = record(score(HOSTILE, 0.5, baseline=HOSTILE), model=HOSTILE, judge=HOSTILE, path=HOSTILE)
    plain = record(score("a", 0.5))
    assert Tags(render_evaluation(evaluation(annotations=[hostile]))).names.count("script") == 0
    kinds = [set(Tags(render_evaluation(evaluation(annotations=[one]))).names) for one in (hostile, plain)]
    assert kinds[0] - kinds[1] <= {"span", "bdi"}
