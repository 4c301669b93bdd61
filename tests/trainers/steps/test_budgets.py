"""Equal steps and equal tokens: worked by hand, and never further off than half a step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.steps.budgets import Reached, steps_for, steps_order, tokens_seen
from trainers.steps.settings import Optimisation


def settings(pairs_per_step, seed=0, **changes):
    return Optimisation(**{"learning_rate": 1.0, "pairs_per_step": pairs_per_step, "seed": seed} | changes)


def test_equal_steps_of_equal_pairs_see_what_their_pairs_hold():
    # Four pairs, two a step: two steps are one pass (100 tokens), four are two passes, three have half a pass more.
    lengths = np.array([10, 20, 30, 40])
    assert tokens_seen(lengths, steps_order(settings(2), 2, 4)) == 100
    assert tokens_seen(lengths, steps_order(settings(2), 4, 4)) == 200
    third = steps_order(settings(2), 3, 4).step(2)
    assert tokens_seen(lengths, steps_order(settings(2), 3, 4)) == 100 + lengths[third].sum()


def test_steps_are_full_and_as_many_as_asked_for_whatever_the_recipe_had():
    for given_ in ({}, {"epochs": 0.3}, {"steps": 9}):
        order = steps_order(settings(4, **given_), 5, 7)
        assert [len(step) for step in order] == [4] * 5


@pytest.mark.parametrize(
    ("tokens", "steps"),
    [(1, 1), (60, 1), (89, 1), (90, 1), (91, 2), (120, 2), (149, 2), (151, 3), (600, 10)],
)
def test_the_nearest_number_of_steps_of_sixty_tokens_each(tokens, steps):
    # Two pairs of 30 a step: 90 is as near to one step as to two, and the smaller number is taken.
    assert steps_for(tokens, np.full(4, 30), settings(2)) == Reached(steps, 60 * steps)


def test_half_the_tokens_a_pair_take_twice_the_steps():
    whole, half = np.full(8, 40), np.full(8, 20)
    assert steps_for(tokens_seen(whole, steps_order(settings(4), 6, 8)), half, settings(4)) == Reached(12, 960)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 800), st.integers(0, 3))
def test_it_is_off_by_half_a_step_at_most_and_sees_what_it_says(lengths, per_step, tokens, seed):
    lengths = np.array(lengths)
    found = steps_for(tokens, lengths, settings(per_step, seed))
    assert found.tokens == tokens_seen(lengths, steps_order(settings(per_step, seed), found.steps, len(lengths)))
    after = tokens_seen(lengths, steps_order(settings(per_step, seed), found.steps + 1, len(lengths)))
    before = (
        tokens_seen(lengths, steps_order(settings(per_step, seed), found.steps - 1, len(lengths)))
        if (found.steps > 1)
        else 0
    )
    off = abs(found.tokens - tokens)
    assert off <= abs(after - tokens)
    assert found.steps == 1 or off <= abs(before - tokens)
    if found.tokens >= tokens and found.steps > 1:
        assert 2 * off <= found.tokens - before
    if found.tokens < tokens:
        assert 2 * off <= after - found.tokens


def test_the_first_variants_own_tokens_give_back_its_own_steps():
    lengths = np.random.default_rng(0).integers(5, 60, size=30)
    for seed in range(3):
        chosen = settings(4, seed)
        target = tokens_seen(lengths, steps_order(chosen, 11, 30))
        assert steps_for(target, lengths, chosen) == Reached(11, target)
