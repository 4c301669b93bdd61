"""Which of several responses meet in a pair."""

import pytest

from transforms.sources.pairing import Candidate, is_usable, pairings

FOUR = [
    Candidate(2.0, "b", "fair"),
    Candidate(5.0, "c", "best"),
    Candidate(1.0, "a", "worst"),
    Candidate(2.0, "a", "so"),
]


def met(pairing, candidates=FOUR):
    return [(better.response, worse.response) for better, worse in pairings(candidates, pairing)]


def test_the_best_meets_the_worst():
    assert met("best_vs_worst") == [("best", "worst")]


def test_every_two_meet_the_better_one_first_and_equal_ones_in_the_order_of_their_content():
    assert met("all_pairs") == [
        ("best", "so"), ("best", "fair"), ("best", "worst"), ("so", "fair"), ("so", "worst"), ("fair", "worst"),
    ]  # fmt: skip


@pytest.mark.parametrize("pairing", ["best_vs_random", "best_vs_worst", "all_pairs"])
def test_the_order_of_the_responses_changes_nothing(pairing):
    assert met(pairing) == met(pairing, FOUR[::-1])
    assert met(pairing)[0][0] == "best"


def test_a_text_that_says_nothing_is_no_candidate():
    assert [is_usable(text) for text in ("a", "", " \n", None, 3, ["a"], "a\0")] == [True] + [False] * 6
