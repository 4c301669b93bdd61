"""Scores of comparisons, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.annotators.comparisons import ALONE, ordered_pairs, scores_of_comparisons
from flows.annotators.protocol import Comparison


def test_equal_texts_are_not_compared():
    assert list(ordered_pairs(["a", "b", "a"])) == [(0, 1), (1, 0), (1, 2), (2, 1)]
    assert list(ordered_pairs(["a"])) == list(ordered_pairs([])) == []


def test_a_score_is_the_mean_over_opponents_of_half_the_difference():
    # m_01 = 1, m_10 = 0: (1 − 0)/2 for 0; m_02 = 1, m_20 = 1: (1 − 1)/2. Mean 0.25; 1 has −0.5 and 2 has 0.
    found = scores_of_comparisons(
        [Comparison(0, 1, 1.0), Comparison(1, 0, 0.0), Comparison(0, 2, 1.0), Comparison(2, 0, 1.0)], 3
    )
    assert found == [0.25, -0.5, 0.0]


def test_an_order_that_cannot_be_read_takes_the_other_with_it():
    found = scores_of_comparisons([Comparison(0, 1, 1.0), Comparison(1, 0, "no")], 2)
    assert found == ["no", "no"]
    assert scores_of_comparisons([Comparison(0, 1, 1.0)], 2)[0] == "it was not asked in the other order"
    assert scores_of_comparisons([], 1) == [ALONE]


@given(st.integers(2, 5), st.data())
def test_a_judge_that_looks_at_places_alone_moves_no_score(responses, data):
    texts = [str(n) for n in range(responses)]
    bias = data.draw(st.sampled_from([-1.0, 0.0, 1.0]))
    found = [Comparison(i, j, bias) for i, j in ordered_pairs(texts)]
    assert scores_of_comparisons(found, responses) == pytest.approx([0.0] * responses)
