"""Several annotators' scores to one: by hand, and whatever their scales."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairing_support import run, runs

from transforms.errors import SchemaError
from transforms.pairing.aggregate import aggregate, constant_annotators

NAN = float("nan")


def test_z_scores_are_over_the_whole_run_with_the_populations_deviation():
    # a: 1, 3, 5, 3 has mean 3 and variance (4 + 0 + 4 + 0) / 4 = 2; b: 0, 0, 4, 0 has 1 and (1 + 1 + 9 + 1) / 4 = 3.
    scored = run([(1, 0), (3, 0)], [(5, 4), (3, 0)])
    za, zb = np.array([-2, 0, 2, 0]) / 2**0.5, np.array([-1, -1, 3, -1]) / 3**0.5
    assert aggregate(scored, "mean_z") == pytest.approx((za + zb) / 2, abs=1e-9)
    assert aggregate(scored, "minimum") == pytest.approx([-(2**0.5), -(3**-0.5), 2**0.5, -(3**-0.5)], abs=1e-9)
    assert aggregate(scored, "mean_z", ["a"]) == pytest.approx(za, abs=1e-9)


def test_ranks_are_within_the_prompt_with_the_mean_place_of_equal_scores():
    # a: 3 places of 4 responses at 0, 1/3, 2/3, 1; the two 5s share places 1 and 2 (from 0): 0.5.
    scored = run([(5, 1), (5, 2), (9, 3), (1, 4)], [(7, 7)])
    expected = [(0.5 + 0) / 2, (0.5 + 1 / 3) / 2, (1 + 2 / 3) / 2, (0 + 1) / 2, 0.5]
    assert aggregate(scored, "mean_rank") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("how", ["mean_z", "mean_rank", "minimum"])
def test_a_response_that_one_of_them_could_not_score_has_none(how):
    scored = run([(1, 1), (2, NAN), (3, 3)], [(NAN, NAN), (4, 5)])
    assert np.isnan(aggregate(scored, how)).tolist() == [False, True, False, True, False]
    assert np.isnan(aggregate(scored, how, ["a"])).tolist() == [False, False, False, True, False]


def test_ranks_are_among_the_responses_that_all_scored():
    # The second has no place, so that of the third is the higher of two and not of three.
    assert aggregate(run([(1, 1), (9, NAN), (3, 0)]), "mean_rank") == pytest.approx([0.5, NAN, 0.5], nan_ok=True)


def test_an_annotator_without_any_difference_adds_nothing_and_is_named():
    scored = run([(1, 0.1), (3, 0.1)], [(1, 0.1), (3, 0.1)], names=("rm", "flat"))
    assert aggregate(scored, "mean_z").tolist() == [-0.5, 0.5, -0.5, 0.5]
    assert aggregate(scored, "minimum").tolist() == [-1, 0, -1, 0]
    assert constant_annotators(scored) == ("flat",)


def test_an_annotator_without_any_score_is_not_called_constant():
    scored = run([(1, NAN), (3, NAN)])
    assert constant_annotators(scored) == ()
    assert np.isnan(aggregate(scored, "mean_z")).all()


def test_a_named_annotators_score_is_what_it_said():
    scored = run([(0.1, 7), (0.3, NAN)], names=("rm", "judge"))
    assert aggregate(scored, "judge") == pytest.approx([7, NAN], nan_ok=True)
    assert aggregate(scored, "rm").tolist() == [0.1, 0.3]


def test_votes_that_cancel_out_are_a_tie():
    # What one has 1 and 2 steps apart the other has too, downwards: z-scores add up to 0 but for rounding.
    scores = [0.1, 0.2, 0.4]
    found = aggregate(run([(s, 3 * t) for s, t in zip(scores, [0.4, 0.3, 0.1], strict=True)]), "mean_z")
    assert found.tolist() == [0.0, 0.0, 0.0]


def test_an_unknown_name_is_refused_and_so_are_names_beside_an_annotator():
    with pytest.raises(SchemaError, match="annotator 'median' has no scores here"):
        aggregate(run([1, 2]), "median")
    with pytest.raises(SchemaError, match="'a' is an annotator"):
        aggregate(run([1, 2]), "a", ["a"])


@given(runs(), st.sampled_from(["mean_z", "mean_rank", "minimum"]), st.integers(1, 9), st.integers(-9, 9))
def test_another_scale_of_an_annotator_changes_nothing(scored, how, factor, shift):
    other = run(
        *(
            [tuple(r) for r in scored.scores[scored.prompt == p] * (factor, 1) + (shift, 0)]
            for p in range(scored.prompts)
        )
    )
    assert aggregate(other, how) == pytest.approx(aggregate(scored, how), nan_ok=True, abs=2e-10)


@given(runs(annotators=3))
def test_the_best_of_a_prompt_by_rank_is_at_most_one_and_the_ranks_average_to_a_half(scored):
    rank = aggregate(scored, "mean_rank")
    for prompt in range(scored.prompts):
        mine = rank[(scored.prompt == prompt) & ~np.isnan(rank)]
        assert ((mine >= 0) & (mine <= 1)).all()
        assert not len(mine) or mine.mean() == pytest.approx(0.5, abs=1e-9)
