"""Whole responses behind kept ones."""

import math

import numpy as np
import pyarrow as pa
import pytest

from trainers.reading.examples import Example, read_examples
from trainers.reading.references import References, WholeResponses, read_whole
from transforms.errors import SchemaError


def table(keep: int) -> pa.Table:
    return pa.table(
        {
            "pair_id": ["a", "b"],
            "prompt_ids": [[1, 2], [1, 3]],
            "chosen_ids": [[4, 5, 6], [4, 5, 7]],
            "rejected_ids": [[8, 9], [8]],
            "chosen_keep": [keep, keep],
            "rejected_keep": [1, 1],
        }
    )


def example(number: int, *responses: list[int]) -> Example:
    return Example(str(number), np.array([1], np.int32), tuple(np.array(ids, np.int32) for ids in responses))


def test_whole_responses_are_read_whatever_is_kept_of_them() -> None:
    found = read_whole(table(1), where="train")
    assert [[response.tolist() for response in example.responses] for example in found] == [
        [[4, 5, 6], [8, 9]],
        [[4, 5, 7], [8]],
    ]


def test_a_table_without_ids_is_refused() -> None:
    with pytest.raises(SchemaError, match="train: no column chosen_ids"):
        read_whole(table(1).drop_columns(["chosen_ids"]), where="train")


def test_all_whole_responses_to_a_prompt_that_begin_like_the_kept_one_are_found() -> None:
    same = table(2).set_column(1, "prompt_ids", [[[1, 2], [1, 2]]])
    known = WholeResponses(read_whole(same, where="train"))
    [pair, _] = read_examples(same, where="train")
    assert [whole.tolist() for whole in known.behind(pair.prompt, pair.responses[0])] == [[4, 5, 6], [4, 5, 7]]
    assert [whole.tolist() for whole in known.behind(pair.prompt, pair.responses[1])] == [[8, 9], [8]]


def test_a_response_of_another_prompt_or_none_at_all_stands_for_itself() -> None:
    known = WholeResponses(read_whole(table(2), where="train"))
    other = np.array([9, 9], np.int32)
    kept = np.array([4, 5], np.int32)
    assert [whole.tolist() for whole in known.behind(other, kept)] == [[4, 5]]
    assert [whole.tolist() for whole in known.behind(np.array([1, 2], np.int32), other)] == [[9, 9]]


def test_parts_become_rows_of_more_examples_and_what_is_missing_is_no_number() -> None:
    examples = [example(0, [1]), example(1, [2], [3]), example(2, [4])]
    known = References([(-9.0,), (-1.0, -2.0), (-3.0,)], [0.0, -0.5, -0.25]).part(1, 3)
    responses, prompts = known.as_rows([1, 2], examples)
    assert responses[1:] == [(-1.0, -2.0), (-3.0,)]
    assert prompts is not None
    assert prompts[1:] == [-0.5, -0.25]
    assert math.isnan(responses[0][0])
    assert math.isnan(prompts[0])
    assert References([(-1.0,)], None).as_rows([0], examples[:1]) == References([(-1.0,)], None)
