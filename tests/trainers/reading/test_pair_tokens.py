"""Preference tables become distinct sequences, or an error that names the pairs."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from trainers.reading.pair_tokens import check_fits, read_pairs
from transforms.errors import SchemaError

ROW: dict[str, Any] = {
    "pair_id": "a",
    "prompt_ids": [1, 5],
    "chosen_ids": [7, 8, 2],
    "rejected_ids": [9, 2],
    "chosen_keep": 3,
    "rejected_keep": 2,
}


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([ROW | row for row in rows])


def test_a_sequence_is_the_prompt_and_the_kept_tokens_with_nothing_appended() -> None:
    pairs = read_pairs(table({"chosen_keep": 2}), where="t")
    assert pairs.sequences[pairs.chosen[0]].tolist() == [1, 5, 7, 8]
    assert pairs.sequences[pairs.rejected[0]].tolist() == [1, 5, 9, 2]


def test_a_response_in_several_pairs_is_one_sequence() -> None:
    pairs = read_pairs(
        table(
            {},
            {"pair_id": "b", "rejected_ids": [4, 2]},
            {"pair_id": "c", "chosen_ids": [9, 2], "chosen_keep": 2},
        ),
        where="t",
    )
    assert len(pairs.sequences) == 3
    assert pairs.tokens == 5 + 4 + 4


def test_the_order_of_the_rows_changes_neither_the_pairs_nor_the_hash() -> None:
    rows = [{"pair_id": name, "prompt_ids": [1, index]} for index, name in enumerate("abcd")]
    forward, backward = read_pairs(table(*rows), where="t"), read_pairs(table(*reversed(rows)), where="t")
    assert forward.names == backward.names
    assert forward.sha256 == backward.sha256
    assert [s.tolist() for s in forward.sequences] == [s.tolist() for s in backward.sequences]


def test_the_hash_sees_which_side_was_chosen() -> None:
    swapped = {"chosen_ids": [9, 2], "chosen_keep": 2, "rejected_ids": [7, 8, 2], "rejected_keep": 3}
    assert read_pairs(table({}), where="t").sha256 != read_pairs(table(swapped), where="t").sha256


def test_a_margin_column_enters_pairs_and_hash() -> None:
    pairs = read_pairs(table({"margin": 0.5}), where="t")
    assert pairs.margin is not None
    assert pairs.margin.tolist() == [0.5]
    assert pairs.sha256 != read_pairs(table({"margin": 0.25}), where="t").sha256


def test_a_slice_and_a_chunked_large_list_read_like_a_plain_table() -> None:
    rows = table({"prompt_ids": [9]}, {"pair_id": "b"}, {"pair_id": "c", "prompt_ids": [3]})
    large = rows.schema.field("prompt_ids").with_type(pa.large_list(pa.int64()))
    chunked = pa.concat_tables([rows.slice(1, 1), rows.slice(2, 1)])
    chunked = chunked.set_column(1, large, chunked.column("prompt_ids").cast(large.type))
    found, expected = (
        read_pairs(chunked, where="t"),
        read_pairs(table({"pair_id": "b"}, {"pair_id": "c", "prompt_ids": [3]}), where="t"),
    )
    assert found.sha256 == expected.sha256


def test_prompt_id_names_the_pairs_where_there_is_no_pair_id() -> None:
    rows = table({}).rename_columns({"pair_id": "prompt_id"})
    assert read_pairs(rows, where="t").names == ("a",)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"chosen_keep": 0}],
            "t: chosen_keep must lie between 1 and the length of chosen_ids, but does not in 1 pairs: a",
        ),
        (
            [{"rejected_keep": 3}],
            "t: rejected_keep must lie between 1 and the length of rejected_ids, but does not in 1 pairs: a",
        ),
        ([{"chosen_keep": None}], "t: nulls in chosen_keep"),
        ([{"margin": float("nan")}], "t: margin is null or not finite in 1 pairs: a"),
        ([{"prompt_ids": ["x"]}], "t: prompt_ids is list<item: string>, expected list<int32>"),
        ([{"prompt_ids": "x"}], "t: prompt_ids is string, expected list<int32>"),
    ],
)
def test_a_bad_value_is_named(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        read_pairs(table(*rows), where="t")
    assert str(caught.value) == message


def test_an_empty_table_is_refused(make_pairs: Callable[..., pa.Table]) -> None:
    with pytest.raises(SchemaError, match="training pairs: no pairs"):
        read_pairs(make_pairs(1).slice(0, 0), where="training pairs")


def test_missing_columns_are_named() -> None:
    with pytest.raises(SchemaError, match=r"no column chosen_keep, pair_id or prompt_id; found prompt_ids"):
        read_pairs(table({}).drop_columns(["chosen_keep", "pair_id"]), where="t")


def test_ids_outside_the_vocabulary_name_the_pairs_and_stop_after_five() -> None:
    pairs = read_pairs(table(*[{"pair_id": f"p{i}", "chosen_ids": [10, i, 2]} for i in range(7)]), where="t")
    with pytest.raises(SchemaError) as caught:
        check_fits(pairs, vocabulary=10, context=100, where="t")
    assert str(caught.value) == (
        "t: token ids outside 0…9 in 7 pairs: p0, p1, p2, p3, p4 and 2 more. Tokenise with the tokenizer of that model."
    )


def test_a_pair_longer_than_the_context_is_named() -> None:
    pairs = read_pairs(table({}), where="t")
    with pytest.raises(SchemaError, match="t: more than the 4 tokens the model can read in 1 pairs: a"):
        check_fits(pairs, vocabulary=10, context=4, where="t")


def test_a_pair_that_fits_exactly_passes() -> None:
    check_fits(read_pairs(table({}), where="t"), vocabulary=10, context=5, where="t")
