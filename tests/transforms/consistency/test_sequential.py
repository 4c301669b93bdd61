"""Which pairs are sampled next, and what a completion is worth."""

from itertools import product

import numpy as np
import pytest
from evidence_support import believe, draw, evidence
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from transforms.consistency.beliefs import Beliefs
from transforms.consistency.sequential import next_round, worth

parameters = st.floats(0.1, 30)


def asked(found, *, room=np.inf, first=1, step=1, order=None, candidates=None):
    rows = np.arange(len(found)) if candidates is None else np.asarray(candidates)
    order = np.arange(len(found)) if order is None else np.asarray(order)
    result = next_round(found, rows, first=first, step=step, threshold=0.5, room=room, order=order)
    return dict(zip(result.rows.tolist(), result.more.tolist(), strict=True)), result.completions(found)


def test_with_room_every_open_candidate_is_asked_first_samples_then_steps():
    found = evidence(3)
    draw(found, 1, chosen=[1.0, 1.0])
    assert asked(found, first=2) == ({0: 2, 1: 1, 2: 2}, 5)
    assert asked(found, first=2, candidates=[2, 1]) == ({2: 2, 1: 1}, 3)


def test_no_side_gets_more_than_n_max():
    found = evidence(3, n_max=4)
    draw(found, 0, chosen=[1.0, -1.0, 1.0])
    draw(found, 1, chosen=[1.0, -1.0, 1.0, -1.0])
    assert asked(found, first=9, step=3) == ({0: 1, 2: 4}, 5)


def test_closed_and_bad_pairs_are_not_asked():
    found = evidence(3)
    found.verdict[0] = 1
    found.bad[1] = "returned nan"
    assert asked(found) == ({2: 1}, 1)


def test_a_pair_that_is_cut_on_both_sides_costs_two():
    found = evidence(2, cut=["both", "rejected"])
    assert asked(found, first=3) == ({0: 3, 1: 3}, 9)


@pytest.mark.parametrize(
    ("room", "rows"), [(10, [0, 1, 2, 3]), (9, [0, 2, 3]), (8, [0, 2, 3]), (7, [2, 3]), (3, [2]), (1, []), (0, [])]
)
def test_fresh_pairs_come_in_random_order_and_no_cheap_one_overtakes_a_dear_one(room, rows):
    # By rank 2, 3, 0, 1, at a cost of 2, 2, 4 (both sides) and 2: together 2, 4, 8, 10. At room 7 pair 0 does not
    # fit, and pair 1 behind it must not either, or the sampled pairs were no random sample.
    found = evidence(4, cut=["both", "chosen", "chosen", "chosen"])
    asked_for, completions = asked(found, room=room, first=2, order=[2, 3, 0, 1])
    assert asked_for == dict.fromkeys(rows, 2)
    assert completions <= room


def test_fresh_pairs_come_before_those_that_have_completions():
    found = evidence(3)
    draw(found, 0, chosen=[1.0, -1.0])
    assert asked(found, room=2, order=[0, 1, 2])[0] == {1: 1, 2: 1}


def test_under_a_budget_the_pair_goes_first_whose_verdict_a_completion_is_likeliest_to_right():
    # One to one is a coin toss, two to none nearly settled; at equal worth the random rank decides.
    found = evidence(4, n_max=8)
    for row, rewards in enumerate(([1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [1.0, -1.0])):
        draw(found, row, chosen=rewards)
    assert asked(found, room=1, order=[0, 2, 1, 3])[0] == {1: 1}
    assert asked(found, room=1, order=[0, 3, 1, 2])[0] == {3: 1}
    assert asked(found, room=3, order=[0, 2, 1, 3])[0] == {0: 1, 1: 1, 3: 1}


def test_a_pair_that_costs_two_must_be_worth_two():
    found = evidence(2, cut=["both", "chosen"], n_max=8)
    draw(found, 0, chosen=[1.0, -1.0], rejected=[0.0, 0.0])
    draw(found, 1, chosen=[1.0, -1.0])
    assert asked(found, room=2, order=[0, 1])[0] == {1: 1}


def test_pairs_differ_in_worth_after_one_completion_although_one_more_can_turn_no_verdict():
    # Priors of a proxy: Beta(1, 1) and Beta(4, 1), then one win each. One more loss leaves the first at a tie and the
    # second above, so one completion alone is worth nothing; two can turn the first.
    found = evidence(2, n_max=5)
    believe(found, 0, 1, 1)
    believe(found, 1, 4, 1)
    for row in range(2):
        draw(found, row, chosen=[1.0])
    rows = np.arange(2)
    assert found.posterior(rows).value_of_sampling(step=1, threshold=0.5).tolist() == [0.0, 0.0]
    first, second = worth(found, rows, step=1, threshold=0.5).tolist()
    assert first > second
    # Beta(2, 1): wrong 1/4 now. Two losses (chance 1·2/(3·4) = 1/6) make it Beta(2, 3), wrong 5/16 and no longer
    # 11/16: worth 1/6 · 6/16 = 1/16, half of that each.
    assert first == pytest.approx(1 / 32)
    assert asked(found, room=1, order=[1, 0])[0] == {0: 1}


def test_nobody_is_looked_ahead_further_than_n_max():
    # With one completion left two can come no more: nothing is worth anything.
    found = evidence(1, n_max=2)
    believe(found, 0, 1, 1)
    draw(found, 0, chosen=[1.0])
    assert worth(found, np.array([0]), step=1, threshold=0.5).tolist() == [0.0]


def brute_force(wins, losses, step, threshold):
    """Every sequence of outcomes, one comparison at a time."""
    wrong = lambda a, b: min(stats.beta.sf(threshold, a, b), stats.beta.cdf(threshold, a, b))  # noqa: E731
    later = 0.0
    for outcomes in product((0, 1), repeat=step):
        a, b, chance = wins, losses, 1.0
        for outcome in outcomes:
            chance *= (a if outcome else b) / (a + b)
            a, b = a + outcome, b + 1 - outcome
        later += chance * wrong(a, b)
    return wrong(wins, losses) - later


def value(wins, losses, step, threshold):
    return float(Beliefs.alike(1, wins, losses).value_of_sampling(step=step, threshold=threshold)[0])


@given(parameters, parameters, st.integers(1, 4), st.sampled_from([0.3, 0.5, 0.8]))
def test_the_value_of_sampling_is_that_of_all_sequences_of_outcomes(wins, losses, step, threshold):
    assert value(wins, losses, step, threshold) == pytest.approx(brute_force(wins, losses, step, threshold), abs=1e-9)


@given(parameters, parameters, st.integers(1, 8), st.floats(0, 1))
def test_sampling_never_makes_a_verdict_worse_and_more_of_it_no_worse_than_less(wins, losses, step, threshold):
    less, more = value(wins, losses, step, threshold), value(wins, losses, step + 1, threshold)
    assert 0 <= less <= more + 1e-9
    assert more <= min(special.betaincc(wins, losses, threshold), special.betainc(wins, losses, threshold)) + 1e-9


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_where_the_verdict_is_certain_a_completion_is_worth_nothing(threshold):
    assert value(0.5, 0.5, 3, threshold) == 0.0
    assert value(1e6, 1.0, 3, 0.5) == 0.0


def test_a_coin_toss_under_a_flat_prior_is_worth_a_quarter():
    # Beta(1, 1): wrong with 1/2. After one comparison Beta(2, 1) or (1, 2): wrong with 1/4.
    assert value(1.0, 1.0, 1, 0.5) == pytest.approx(1 / 4)


def test_without_candidates_or_pairs_nothing_is_asked():
    assert asked(evidence(2), candidates=np.zeros(0, int)) == ({}, 0)
    assert asked(evidence(0, cut="none")) == ({}, 0)
    assert asked(evidence(0, cut="none"), room=-1) == ({}, 0)


def test_under_a_budget_of_tokens_a_pair_of_short_completions_goes_first():
    found = evidence(2, n_max=8)
    for row in range(2):
        draw(found, row, chosen=[1.0, -1.0])
    found.tokens["chosen"][0, :2], found.tokens["chosen"][1, :2] = 90, 10
    order = np.arange(2)
    for by_tokens, first in ((False, 0), (True, 1)):
        options = {"first": 1, "step": 1, "threshold": 0.5, "room": 1, "order": order, "by_tokens": by_tokens}
        assert next_round(found, order, **options).rows.tolist() == [first]
