"""Keeps by hand, and the properties that hold for every pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from transforms.preparation.truncation import Truncation, floor_share, keeps


def kept(truncation, chosen, rejected, *, prompt=10, finished=(True, True), max_length=None, tail=0):
    result = keeps(
        truncation,
        prompt_tokens=np.array([prompt]),
        chosen_tokens=np.array([chosen]),
        rejected_tokens=np.array([rejected]),
        chosen_end=np.array([finished[0]], np.int64),
        rejected_end=np.array([finished[1]], np.int64),
        max_length=max_length,
        tail=tail,
    )
    return tuple(column[0] for column in result)


def test_poet_keeps_the_shorter_whole_and_cuts_the_longer_to_it():
    assert kept(Truncation(method="poet"), 7, 4) == (4, 4, "poet", "none")


def test_poet_changes_nothing_when_lengths_are_equal():
    assert kept(Truncation(method="poet"), 5, 5) == (5, 5, "none", "none")


def test_ratio_cuts_each_side_by_its_own_length_and_rounds_down():
    assert kept(Truncation(method="ratio", ratio=0.5), 7, 4) == (3, 2, "ratio", "ratio")


def test_ratio_never_cuts_to_zero():
    assert kept(Truncation(method="ratio", ratio=0.1), 3, 1) == (1, 1, "ratio", "none")


def test_ratio_one_keeps_all():
    assert kept(Truncation(method="ratio", ratio=1), 7, 4) == (7, 4, "none", "none")


def test_ratio_is_the_decimal_the_user_wrote_not_its_binary_neighbour():
    # 0.29 * 100 is 28.999999999999996 in binary.
    assert floor_share(0.29, np.array([100]))[0] == 29


def test_fixed_tokens_keep_at_most_that_many():
    assert kept(Truncation(method="tokens", tokens=5), 7, 4) == (5, 4, "tokens", "none")


def test_the_context_cuts_what_the_method_left_and_says_so():
    assert kept(Truncation(method="none"), 7, 4, prompt=10, max_length=15) == (5, 4, "context", "none")


def test_poet_stays_equal_under_a_context_limit():
    assert kept(Truncation(method="poet"), 9, 7, prompt=10, max_length=15) == (5, 5, "context", "context")


def test_a_prompt_that_fills_the_context_keeps_nothing():
    assert kept(Truncation(method="none"), 7, 4, prompt=15, max_length=15)[:2] == (0, 0)


def test_eot_never_takes_the_end_of_turn_from_both_sides():
    assert kept(Truncation(method="none", eot="never"), 7, 4) == (6, 3, "eot", "eot")


def test_eot_never_leaves_poet_sides_equally_long():
    assert kept(Truncation(method="poet", eot="never"), 7, 4) == (3, 3, "poet", "eot")


def test_eot_never_takes_nothing_from_a_response_that_has_none():
    assert kept(Truncation(method="none", eot="never"), 7, 4, finished=(False, True)) == (7, 3, "none", "eot")


lengths = st.integers(1, 5000)
truncations = st.one_of(
    st.builds(Truncation, method=st.sampled_from(["poet", "none"])),
    st.builds(
        Truncation, method=st.just("ratio"), ratio=st.floats(0.01, 1, allow_nan=False).map(lambda r: round(r, 3))
    ),
    st.builds(Truncation, method=st.just("tokens"), tokens=lengths),
)


@given(truncations, lengths, lengths, st.integers(1, 4000), st.none() | st.integers(2, 8000))
def test_keeps_lie_between_one_and_the_length_and_fit_the_context(truncation, chosen, rejected, prompt, limit):
    keep_w, keep_l, *_ = kept(truncation, chosen, rejected, prompt=prompt, max_length=limit)
    room = max(0, limit - prompt) if limit else 10**9
    assert min(1, room) <= keep_w <= min(chosen, room)
    assert min(1, room) <= keep_l <= min(rejected, room)


@given(lengths, lengths, st.integers(1, 4000), st.none() | st.integers(2, 8000), st.sampled_from(["natural", "never"]))
def test_poet_keeps_are_always_equal(chosen, rejected, prompt, limit, eot):
    # A response is at least one token and its end-of-turn.
    keep_w, keep_l, *_ = kept(Truncation(eot=eot), chosen + 1, rejected + 1, prompt=prompt, max_length=limit)
    assert keep_w == keep_l


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "ratio"}, "method ratio needs truncate.ratio"),
        ({"method": "poet", "ratio": 0.5}, "has no effect with method poet"),
        ({"method": "tokens", "tokens": 0}, "greater than or equal to 1"),
        ({"method": "ratio", "ratio": 1.5}, "less than or equal to 1"),
        ({"metod": "poet"}, "Extra inputs are not permitted"),
    ],
)
def test_a_truncation_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        Truncation(**settings)


def test_eot_always_keeps_what_natural_keeps_where_there_is_room():
    for truncation in ({"method": "poet"}, {"method": "ratio", "ratio": 0.5}, {"method": "none"}):
        natural, always = (Truncation(**truncation, eot=eot) for eot in ("natural", "always"))
        assert kept(always, 7, 4, tail=1) == kept(natural, 7, 4) == kept(always, 7, 4, max_length=18, tail=1)


def test_eot_always_leaves_room_for_what_is_appended_and_needs_none_behind_a_whole_response():
    none, half = (Truncation(eot="always", **of) for of in ({"method": "none"}, {"method": "ratio", "ratio": 0.5}))
    assert kept(none, 7, 4, max_length=17, tail=1) == (7, 4, "none", "none")
    assert kept(none, 7, 4, max_length=16, tail=1) == (5, 4, "context", "none")
    assert kept(none, 7, 4, max_length=16, tail=2) == (4, 4, "context", "none")
    assert kept(half, 7, 4, max_length=14, tail=1) == (3, 2, "ratio", "ratio")
    assert kept(half, 7, 4, max_length=13, tail=1) == (2, 2, "context", "ratio")


def test_eot_always_ends_a_response_that_never_finished_within_the_limit():
    none = Truncation(method="none", eot="always")
    assert kept(none, 7, 4, finished=(False, True), max_length=17, tail=1) == (6, 4, "context", "none")
    assert kept(none, 7, 4, finished=(False, True), max_length=18, tail=1) == (7, 4, "none", "none")


def test_eot_always_keeps_nothing_where_the_end_alone_would_fit():
    assert kept(Truncation(eot="always"), 7, 4, prompt=14, max_length=15, tail=1)[:2] == (0, 0)
    assert kept(Truncation(eot="always"), 7, 4, prompt=13, max_length=15, tail=1)[:2] == (1, 1)
