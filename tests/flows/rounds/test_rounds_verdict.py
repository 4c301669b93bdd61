"""Which round is the best, and when to stop: by hand."""

import numpy as np
import pytest

from flows.rounds.config import StopConfig
from flows.rounds.verdict import best_of, compared, is_better, should_stop
from transforms.pairing.win_rate import Samples
from transforms.records.manifest import ShareRecord
from transforms.records.rounds import RoundRecord, WinRecord

EQUAL = ShareRecord(value=0.6, low=0.4, high=0.8, count=10)


def samples(*scores, tokens=5):
    count = len(scores)
    return Samples(np.arange(count), np.array(scores, float), np.full(count, tokens))


def win(value, low=None, *, equal=None, count=10):
    share = ShareRecord(value=value, low=value if low is None else low, high=1.0, count=count)
    return WinRecord(rate=share, ties=0.0, left_out=0, at_equal_length=equal)


def done(*better):
    return [RoundRecord.model_construct(number=number, better=one) for number, one in enumerate(better, 1)]


def test_a_win_a_tie_and_a_loss_of_four_prompts_are_counted_by_prompt():
    found = compared(samples(3, 2, 1, np.nan), samples(1, 2, 2, 0))
    assert found.rate.value == pytest.approx(0.5)
    assert (found.rate.count, found.left_out) == (3, 1)
    assert found.ties == pytest.approx(1 / 3)
    assert found.at_equal_length == found.rate  # no lengths differ
    assert compared(samples(1, 1, 1, 1), samples(0, 0, 0, 1)).rate.value == pytest.approx(0.875)


def test_what_cannot_be_fitted_says_why():
    ours = Samples(np.arange(2), np.array([1.0, 0.0]), np.array([5, 9]))
    found = compared(ours, samples(0, 1))
    assert (found.at_equal_length, found.not_fitted) == (None, "few_prompts")


@pytest.mark.parametrize(
    ("found", "rule", "better"),
    [
        (win(0.51), {}, True),
        (win(0.5), {}, False),
        (win(0.55), {"min_gain": 0.05}, False),
        (win(0.56), {"min_gain": 0.05}, True),
        (win(0.7, low=0.49), {"by": "low"}, False),
        (win(0.7, low=0.51), {"by": "low"}, True),
        (win(0.7), {"length_controlled": True}, False),
        (win(0.4, equal=EQUAL), {"length_controlled": True}, True),
        (win(0.4, equal=EQUAL), {"by": "low", "length_controlled": True}, False),
        (win(1.0, count=0), {}, False),
    ],
)
def test_better_is_above_one_half_by_the_rule(found, rule, better):
    assert is_better(found, StopConfig(**rule)) is better


@pytest.mark.parametrize(
    ("better", "best"), [((), 0), ((False,), 0), ((True, True), 2), ((True, False), 1), ((False, True, False), 2)]
)
def test_the_best_is_the_last_that_was_better(better, best):
    assert best_of(done(*better)) == best


@pytest.mark.parametrize(
    ("better", "patience", "stop"),
    [
        ((True,), 1, False),
        ((False,), 1, True),
        ((True, False), 1, True),
        ((True, False), 2, False),
        ((True, False, False), 2, True),
        ((False, False, False), None, False),
    ],
)
def test_patience_counts_rounds_since_the_best(better, patience, stop):
    assert should_stop(done(*better), StopConfig(patience=patience)) is stop
