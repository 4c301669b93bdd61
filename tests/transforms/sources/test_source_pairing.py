"""Which of several responses meet, worked by hand."""

import pytest

from transforms.sources.pairing import Candidate, is_usable, pairings


def candidate(text, score):
    return Candidate(score, text, text, None)


FOUR = [candidate("c", 1.0), candidate("a", 4.0), candidate("d", 3.0), candidate("b", 2.0)]


@pytest.mark.parametrize(
    ("pairing", "found"),
    [
        ("best_vs_worst", ["ac"]),
        ("all_pairs", ["ad", "ab", "ac", "db", "dc", "bc"]),
    ],
)
def test_pairings_put_the_better_response_first(pairing, found):
    assert [one.text + other.text for one, other in pairings(FOUR, pairing)] == found
    assert pairings(FOUR[::-1], pairing) == pairings(FOUR, pairing)


def test_a_random_other_is_picked_by_content_and_never_the_best_itself():
    [(best, other)] = pairings(FOUR, "best_vs_random")
    assert best.text == "a"
    assert other.text in "bcd"
    assert pairings(FOUR[::-1], "best_vs_random") == [(best, other)]


def test_equally_good_responses_are_ordered_by_content():
    tied = [candidate("b", 1.0), candidate("a", 1.0)]
    [(one, other)] = pairings(tied, "best_vs_worst")
    assert (one.text, other.text) == ("a", "b")


@pytest.mark.parametrize(("text", "usable"), [("a", True), ("", False), (" \n", False), (None, False), ("\0", False)])
def test_a_response_needs_a_text_to_be_a_side(text, usable):
    assert is_usable(text) is usable
