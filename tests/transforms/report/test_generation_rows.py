"""What the report of a generation is drawn from: rows that are all there, prompts to read, errors by kind."""

import json

import polars as pl
import pytest
from generation_report_support import generation, pairs, responses, three_annotators

from transforms.errors import SchemaError
from transforms.report.generation_rows import (
    KINDS_KEPT,
    KINDS_SHOWN,
    check_rows,
    pick_prompts,
    score_columns,
    summarise_quarantine,
)

KEYS = ["aa", "bb", "cc"]


def line(error: str, **changes) -> str:
    return json.dumps(
        {"stage": "annotate", "source": "s", "source_id": "p1", "error": error, "row": {"a": 1}} | changes
    )


def test_rows_that_lack_a_column_are_refused_with_its_name() -> None:
    with pytest.raises(SchemaError, match="responses of the report: missing columns: tokens, score_reward"):
        check_rows(generation(), responses().drop("tokens", "score_reward"), pairs())
    with pytest.raises(SchemaError, match="pairs of the report: missing columns: margin"):
        check_rows(generation(), responses(), pairs().drop("margin"))


def test_rows_of_other_numbers_than_the_manifest_counts_are_refused() -> None:
    with pytest.raises(SchemaError, match="given 5 responses, the manifest counts 6"):
        check_rows(generation(), responses().head(5), pairs())
    with pytest.raises(SchemaError, match="given 0 pairs, the manifest counts 1"):
        check_rows(generation(), responses(), pairs().clear())


def test_an_objective_is_called_after_its_annotator() -> None:
    assert score_columns(three_annotators()[0]) == {
        "score_reward": "reward",
        "score_reward_help": "reward: help",
        "score_reward_safe": "reward: safe",
        "score_judge": "judge",
        "score_brief": "brief",
    }


def test_the_widest_the_median_and_the_narrowest_margin_are_picked_with_their_pairs() -> None:
    several = pl.DataFrame({"prompt": [0, 1, 2], "chosen": [1, 3, 5], "rejected": [0, 2, 4], "margin": [2.0, 3.0, 1.0]})
    found = pick_prompts(responses(), several, keys=KEYS, annotators=["reward"])
    assert found == [(1, "the widest margin", 1), (0, "the median margin", 0), (2, "the narrowest margin", 2)]


def test_a_prompt_without_a_pair_and_some_by_chance_are_picked_once_each() -> None:
    found = pick_prompts(responses(), pairs(), keys=KEYS, annotators=["reward"])
    assert found[0] == (0, "the widest margin", 0)
    assert sorted(one.why for one in found[1:]) == ["drawn by chance", "without a pair"]
    assert {one.prompt for one in found} == {0, 1, 2}
    assert [one.pair for one in found[1:]] == [None, None]


def test_the_draw_is_by_the_prompts_ids_and_not_by_their_places() -> None:
    none = pairs().clear()
    first = pick_prompts(responses(), none, keys=KEYS, annotators=["reward"])
    turned = pick_prompts(responses(), none, keys=KEYS[::-1], annotators=["reward"])
    assert [KEYS[one.prompt] for one in first] == [KEYS[::-1][one.prompt] for one in turned]


def test_the_prompt_that_two_annotators_order_most_differently_is_picked() -> None:
    three = pl.DataFrame(
        {
            "prompt": [0, 0, 0, 1, 1, 1, 2, 2, 2],
            "score_a": [1.0, 2, 3, 1, 2, 3, 1, 2, 3],
            "score_b": [1.0, 2, 3, 3, 2, 1, 1, 3, 2],
        }
    )
    found = pick_prompts(three, pairs(), keys=KEYS, annotators=["a", "b"])
    assert (1, "ordered most differently by a and b", None) in found


def test_annotators_that_agree_leave_nothing_to_pick_for_it() -> None:
    same = responses(score_other=responses()["score_reward"])
    found = pick_prompts(same, pairs(), keys=KEYS, annotators=["reward", "other"])
    assert not any("differently" in one.why for one in found)


def test_errors_that_differ_in_numbers_alone_stand_together_with_the_first_of_them() -> None:
    found = summarise_quarantine([line("row 1 of 2,000"), line("empty"), line("row 7 of 2,000", source_id="p7")])
    assert found.lines == 3
    assert [(kind.error, kind.lines, kind.source_id) for kind in found.kinds] == [
        ("row 1 of 2,000", 2, "p1"),
        ("empty", 1, "p1"),
    ]
    assert found.kinds[0].row == '{"a": 1}'


def test_the_same_error_of_two_stages_stays_two() -> None:
    assert len(summarise_quarantine([line("empty"), line("empty", stage="load")]).kinds) == 2


def test_rare_errors_are_counted_together_and_a_flood_of_them_takes_no_memory() -> None:
    words = [f"{'x' * (at % 97)}{'y' * (at // 97)}" for at in range(KINDS_KEPT + 5)]
    # The last came when there was no place for another kind: it stays among the others, however many follow.
    found = summarise_quarantine(line(word) for word in [*words, words[3], *[words[-1]] * 3])
    assert found.lines == KINDS_KEPT + 9
    assert len(found.kinds) == KINDS_SHOWN
    assert (found.kinds[0].error, found.kinds[0].lines) == (words[3], 2)
    assert sum(kind.lines for kind in found.kinds) + found.others == found.lines


def test_a_long_row_is_shown_by_its_start() -> None:
    [kind] = summarise_quarantine([line("e" * 5000, row={"text": "w " * 5000})]).kinds
    assert (len(kind.error), len(kind.row)) == (300, 400)
    assert kind.row.startswith('{"text": "w w')


def test_an_empty_quarantine_is_empty() -> None:
    assert summarise_quarantine([]) == (0, [], 0)
