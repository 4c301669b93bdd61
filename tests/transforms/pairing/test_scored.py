"""A run as arrays: what it must be, and the pairs of rows in it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairing_support import run

from transforms.errors import SchemaError
from transforms.pairing import scored as module
from transforms.pairing.scored import Scored, row_pairs


def scored(**changed):
    fields = {
        "prompt": np.array([0, 0, 1]),
        "scores": np.array([[1.0], [2.0], [np.nan]]),
        "tokens": np.array([3, 0, 5]),
        "finished": np.array([True, False, True]),
        "annotators": ("rm",),
    }
    return Scored(**fields | changed)


def test_a_run_may_have_missing_scores_and_empty_responses():
    assert scored().prompts == 2
    assert run().prompts == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"prompt": np.array([0, 0, 2])}, "prompt is 2 in row 2"),
        ({"prompt": np.array([0, 1, 0])}, "prompt is 0 in row 2"),
        ({"prompt": np.array([1, 1, 2])}, "prompt is 1 in row 0"),
        ({"prompt": np.array([-1, -1, 0])}, "prompt is -1 in row 0"),
        ({"prompt": np.array([0.0, 0.0, 1.0])}, "prompt is float64"),
        (
            {"scores": np.array([1.0, 2.0, 3.0])},
            r"scores is float64 of shape \(3,\), expected float64 of shape \(3, 1\)",
        ),
        ({"scores": np.array([[1.0], [np.inf], [0.0]])}, "scores is infinite in row 1"),
        ({"tokens": np.array([3, 0])}, "tokens"),
        ({"tokens": np.array([3, -2, 1])}, "tokens is -2 in row 1"),
        ({"finished": np.array([1, 0, 1])}, "finished is int64"),
        ({"annotators": ("mean_z",)}, "'mean_z'"),
        ({"annotators": ("rm", "rm"), "scores": np.zeros((3, 2))}, "'rm'"),
    ],
)
def test_what_is_no_run_is_refused_with_its_row(changed, said):
    with pytest.raises(SchemaError, match=said):
        scored(**changed)


def test_an_annotator_that_is_not_there_is_refused():
    with pytest.raises(SchemaError, match="annotator 'judge' has no scores here, expected one or more of rm"):
        scored().columns(["judge"])
    with pytest.raises(SchemaError, match="no annotator has"):
        scored().columns([])


def test_pairs_of_rows_are_those_of_one_prompt_in_order():
    left, right = next(row_pairs(np.array([0, 0, 0, 1, 2, 2])))
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2), (4, 5)]


@given(st.lists(st.integers(1, 6), max_size=12), st.integers(1, 20))
def test_every_pair_is_in_one_block_and_a_prompt_in_one_too(sizes, block):
    prompt = np.repeat(np.arange(len(sizes)), sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        blocks = [list(zip(*(rows.tolist() for rows in found), strict=True)) for found in row_pairs(prompt)]
    expected = [(i, j) for i in range(len(prompt)) for j in range(i + 1, len(prompt)) if prompt[i] == prompt[j]]
    assert [pair for found in blocks for pair in found] == expected
    seen = [{prompt[i] for i, _ in found} for found in blocks]
    assert sum(len(prompts) for prompts in seen) == len(set().union(*seen))
