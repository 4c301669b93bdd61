"""Comparisons to scores, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.errors import SchemaError
from transforms.pairing.wins import win_scores

NAN = float("nan")


def scores(comparisons, responses):
    first, second, forward, backward = (np.array(column) for column in zip(*comparisons, strict=True))
    return win_scores(first, second, forward.astype(float), backward.astype(float), responses)


def test_a_score_is_the_mean_gain_over_the_opponents():
    # (0, 1): (3 − (−1)) / 2 = 2 for 0.  (0, 2): (0 − 2) / 2 = −1 for 0.  (1, 2): (1 − 1) / 2 = 0.
    found = scores([(0, 1, 3, -1), (0, 2, 0, 2), (1, 2, 1, 1)], 3)
    assert found.score.tolist() == [0.5, -1.0, 0.5]
    assert found.opponents.tolist() == [2, 2, 2]


def test_an_opponent_of_whom_one_order_could_not_be_read_does_not_count():
    found = scores([(0, 1, 3, NAN), (0, 2, 1, -1), (3, 1, NAN, NAN)], 5)
    assert found.score == pytest.approx([1, NAN, -1, NAN, NAN], nan_ok=True)
    assert found.opponents.tolist() == [1, 0, 1, 0, 0]


def test_of_no_comparison_there_is_no_score():
    none = np.zeros(0, np.int64)
    found = win_scores(none, none, np.zeros(0), np.zeros(0), 2)
    assert np.isnan(found.score).all()
    assert found.opponents.tolist() == [0, 0]


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=3), st.integers(-5, 5))
def test_what_is_given_to_the_first_place_cancels_out(margins, bias):
    rows = [(0, 1), (0, 2), (1, 2)]
    fair = scores([(i, j, f, b) for (i, j), (f, b) in zip(rows, margins, strict=True)], 3)
    biased = scores([(i, j, f + bias, b + bias) for (i, j), (f, b) in zip(rows, margins, strict=True)], 3)
    swapped = scores([(j, i, b, f) for (i, j), (f, b) in zip(rows, margins, strict=True)], 3)
    assert biased.score.tolist() == fair.score.tolist() == swapped.score.tolist()


@pytest.mark.parametrize(
    ("comparisons", "said"),
    [
        ([(0, 0, 1, 1)], "row 0 is compared with itself"),
        ([(0, 1, 1, 1), (1, 0, 1, 1)], "rows 0 and 1 are compared more than once"),
        ([(0, 3, 1, 1)], "second has row 3 to 3, expected rows from 0 to 2"),
        ([(-1, 1, 1, 1)], "first has row -1"),
        ([(0, 1, np.inf, 1)], "forward is infinite in row 0"),
    ],
)
def test_what_is_no_comparison_is_refused(comparisons, said):
    with pytest.raises(SchemaError, match=said):
        scores(comparisons, 3)
