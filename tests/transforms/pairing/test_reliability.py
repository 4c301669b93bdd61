"""Asked the other way round and asked again, by hand."""

import numpy as np
import pytest

from transforms.errors import SchemaError
from transforms.pairing.reliability import order_swap, repeated, ties_within, unreadable, verdicts
from transforms.statistics.clustered import clustered_share
from transforms.statistics.intervals import Rate, wilson

NAN = float("nan")


def test_a_verdict_that_follows_the_place_is_bias_and_no_consistency():
    # Always the first; always the same response; a tie twice; the second, then a tie.
    found = order_swap(np.array([1, 1, 0.5, 0]), np.array([1, 0, 0.5, 0.5]), np.arange(4))
    assert (found.comparisons, found.unread) == (4, 0)
    assert found.first_place.value == pytest.approx((1 + 0.5 + 0.5 + 0.25) / 4)
    assert found.consistent == wilson(2, 4)
    assert found.ties.value == pytest.approx(3 / 8)
    assert found.first_place.low < 0.5 < found.first_place.high


def test_a_comparison_with_an_unread_order_is_in_no_share():
    found = order_swap(np.array([1, NAN, 0]), np.array([0, 1, NAN]), np.arange(3))
    assert (found.comparisons, found.unread) == (3, 2)
    assert found.first_place.value == 0.5
    assert found.consistent == wilson(1, 1)
    assert found.ties == wilson(0, 1)


def test_comparisons_of_one_prompt_count_as_the_prompt():
    # Ten prompts, each with four comparisons of the same outcome.
    forward = np.repeat([1.0, 0, 1, 1, 0, 1, 1, 0, 0, 1], 4)
    found = order_swap(forward, np.zeros(40), np.repeat(np.arange(10), 4))
    assert found.consistent == pytest.approx(wilson(6, 10))


def test_a_judge_that_always_takes_the_first_is_not_certain_to():
    found = order_swap(np.ones(6), np.ones(6), np.arange(6))
    assert found.first_place == wilson(6, 6)
    assert found.first_place.low < 0.7


def test_verdicts_are_the_signs_of_margins():
    assert verdicts(np.array([2.5, -0.1, 0, NAN])) == pytest.approx([1, 0, 0.5, NAN], nan_ok=True)


@pytest.mark.parametrize(
    ("forward", "said"),
    [(np.array([0.7]), "forward is 0.7 in comparison 0"), (np.array([1.0, 1.0]), r"shape \(2,\), expected .* \(1,\)")],
)
def test_what_is_no_verdict_is_refused(forward, said):
    with pytest.raises(SchemaError, match=said):
        order_swap(forward, np.array([1.0]), np.array([0]))


def test_a_second_call_may_differ_and_turn_an_order():
    # Prompt 0: pairs (0, 1) turned, (0, 2) a tie first, (1, 2) as before. Prompt 1: as before; its last was read once.
    first = np.array([3, 2, 3, 1, 5, 4.0])
    second = np.array([3, 4, 5, 1, 5.5, NAN])
    found = repeated(first, second, np.array([0, 0, 0, 1, 1, 1]))
    # (0, 1): 3 > 2, then 3 < 4: turned.  (0, 2): 3 = 3, then 3 < 5: loosened.  (1, 2): 2 < 3, then 4 < 5.
    assert (found.responses, found.unread, found.pairs) == (6, 1, 4)
    assert found.equal.value == pytest.approx(2 / 5)
    assert found.largest == 2
    assert found.turned == clustered_share(np.array([1.0, 0, 0, 0]), ["0", "0", "0", "1"])
    assert found.loosened.value == 0.25


def test_equal_calls_leave_the_room_that_their_number_leaves():
    found = repeated(np.array([1.0, 2, 1, 2]), np.array([1.0, 2, 1, 2]), np.array([0, 0, 1, 1]))
    assert found.largest == 0
    assert found.equal == pytest.approx(wilson(2, 2))
    assert found.turned == wilson(0, 2)


def test_ties_are_within_prompts_and_among_scored_responses():
    found = ties_within(np.array([1.0, 1, 2, NAN, 1, 3]), np.array([0, 0, 0, 1, 1, 2]))
    assert found.pairs == 3
    assert found.share.value == pytest.approx(1 / 3)


def test_unreadable_answers_are_a_share_of_all():
    found = unreadable(np.array([1.0, NAN, 0, 2]), np.array([2, 0, 1, 3]))
    assert found.asked == 4
    assert found.share == wilson(1, 4)


def test_of_nothing_nothing_is_known():
    none, nobody = np.zeros(0), np.zeros(0, np.int64)
    nothing = Rate(0.0, 0.0, 1.0)
    assert order_swap(none, none, nobody).first_place == nothing
    assert repeated(none, none, nobody).turned == nothing
    assert repeated(none, none, nobody).largest == 0
    assert ties_within(none, nobody).share == nothing
    assert unreadable(none, nobody).share == nothing
