"""Curated rows become prompts with the kept tokens of their responses, or an error that names the rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trainers.batches.tensors import PACKED, PADDED, Layout
from trainers.reading.examples import Example, check_first_token, check_readable, group_by_prompt, read_examples
from transforms.errors import SchemaError
from transforms.tables.schema import CURATED, check

ROW: dict[str, Any] = {
    "pair_id": "a",
    "prompt_ids": [1, 5],
    "chosen_ids": [7, 8, 2],
    "rejected_ids": [9, 2],
    "chosen_keep": 3,
    "rejected_keep": 2,
    "reward_chosen": 1.5,
    "reward_rejected": -0.5,
}


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([ROW | row for row in rows])


def curated(*rows: dict[str, Any]) -> pa.Table:
    """A whole curated table, as it lies on disk."""
    blank = {pa.string(): "", pa.int32(): 0, pa.float64(): 0.0, pa.bool_(): False}
    filler = {field.name: blank.get(field.type, []) for field in CURATED}
    made = pa.Table.from_pylist([filler | ROW | row for row in rows], schema=CURATED)
    check(made, CURATED, where="test")
    return made


def lists(example: Example) -> list[list[int]]:
    return [ids.tolist() for ids in (example.prompt, *example.responses)]


def test_a_pair_is_its_prompt_and_the_kept_tokens_with_nothing_appended() -> None:
    [pair] = read_examples(curated({"chosen_keep": 2}), where="t")
    # 2 ends a turn; the cut response does not have it and does not get it.
    assert lists(pair) == [[1, 5], [7, 8], [9, 2]]
    assert (pair.name, pair.rewards) == ("a", None)


@pytest.mark.parametrize("layout", [PACKED, PADDED])
def test_the_tokens_that_a_loss_reads_are_the_keeps_of_the_shard(
    layout: Layout, make_pairs: Callable[..., pa.Table]
) -> None:
    rows = make_pairs(9, chosen_keep=list(range(1, 10)), rejected_keep=[3] * 9)
    batch = layout.batch(read_examples(rows, where="t"))
    keeps = [keep for row in rows.to_pylist() for keep in (row["chosen_keep"], row["rejected_keep"])]
    assert list(batch.lengths) == keeps
    assert len(batch.targets) == sum(keeps) == 45 + 27
    kept = [
        token
        for row in rows.to_pylist()
        for s in ("chosen", "rejected")
        for token in row[f"{s}_ids"][: row[f"{s}_keep"]]
    ]
    assert batch.targets.tolist() == kept


def test_rewards_are_read_from_the_columns_asked_for() -> None:
    [pair] = read_examples(curated({}), where="t", rewards=("reward_chosen", "reward_rejected"))
    assert pair.rewards == (1.5, -0.5)


def test_responses_of_one_prompt_come_together_each_once() -> None:
    rows = table(
        {},
        {"pair_id": "b", "prompt_ids": [1, 6]},
        {"pair_id": "c", "rejected_ids": [4], "rejected_keep": 1, "reward_rejected": 0.0},
    )
    groups = group_by_prompt(read_examples(rows, where="t", rewards=("reward_chosen", "reward_rejected")))
    assert [lists(group) for group in groups] == [[[1, 5], [7, 8, 2], [9, 2], [4]], [[1, 6], [7, 8, 2], [9, 2]]]
    assert [group.rewards for group in groups] == [(1.5, -0.5, 0.0), (1.5, -0.5)]
    assert [group.name for group in groups] == ["a", "b"]


def test_equal_tokens_with_unequal_rewards_are_two_responses() -> None:
    rows = table({"chosen_keep": 1}, {"chosen_keep": 1, "reward_chosen": 3.0})
    [group] = group_by_prompt(read_examples(rows, where="t", rewards=("reward_chosen", "reward_rejected")))
    assert lists(group) == [[1, 5], [7], [9, 2], [7]]
    assert group.rewards == (1.5, -0.5, 3.0)


def test_prompts_are_grouped_without_rewards_too() -> None:
    [group] = group_by_prompt(read_examples(table({}, {"rejected_keep": 1}), where="t"))
    assert lists(group) == [[1, 5], [7, 8, 2], [9, 2], [9]]
    assert group.rewards is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"chosen_keep": 0}, "t: chosen_keep must lie between 1 and the length of chosen_ids, but does not in 1 pairs"),
        ({"rejected_keep": 3}, "t: rejected_keep must lie between 1 and the length of rejected_ids"),
        ({"prompt_ids": []}, "t: the prompt is empty; 1 rows: b"),
        ({"reward_chosen": None}, "t: reward_chosen or reward_rejected is null or not finite; 1 rows: b"),
        ({"reward_rejected": float("inf")}, "t: reward_chosen or reward_rejected is null or not finite; 1 rows: b"),
    ],
)
def test_a_bad_row_is_named(row: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read_examples(table({}, {"pair_id": "b"} | row), where="t", rewards=("reward_chosen", "reward_rejected"))


def test_a_missing_column_of_rewards_is_named() -> None:
    with pytest.raises(SchemaError, match="t: no column score; found pair_id"):
        read_examples(table({}), where="t", rewards=("reward_chosen", "score"))


def test_prompts_that_begin_with_one_token_are_fit_for_rao() -> None:
    assert check_first_token(read_examples(table({}, {"prompt_ids": [1, 9]}), where="t"), where="t") == 1


def test_prompts_that_begin_with_another_token_are_named() -> None:
    examples = read_examples(table({}, {}, {"pair_id": "b", "prompt_ids": [5]}), where="t")
    with pytest.raises(SchemaError) as caught:
        check_first_token(examples, where="t")
    assert str(caught.value) == (
        "t: objective rao needs prompts that all begin with one token, but 1 of 3 do not begin with 1: b. "
        "Leave them out, or choose another objective"
    )


def test_an_example_that_the_model_cannot_read_is_named() -> None:
    [pair] = read_examples(table({}), where="t")
    check_readable([pair], vocabulary=10, context=5, where="t")
    with pytest.raises(SchemaError, match=r"t: token ids outside 0…8: tokenise with .*; 1 rows: a"):
        check_readable([pair], vocabulary=9, context=5, where="t")
    with pytest.raises(SchemaError, match=r"t: more than the 4 tokens the model can read: truncate .*; 1 rows: a"):
        check_readable([pair], vocabulary=10, context=4, where="t")


def test_token_ids_of_a_large_table_are_not_copied_a_row_at_a_time() -> None:
    [pair, other] = read_examples(table({}, {"pair_id": "b"}), where="t")
    assert isinstance(pair.prompt, np.ndarray)
    assert pair.prompt.base is other.prompt.base
