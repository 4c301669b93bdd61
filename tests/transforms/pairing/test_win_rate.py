"""Win rates, plain and at equal length: by hand, refused where there is none, and right as often as they claim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from scipy.special import expit, logit

from transforms.errors import SchemaError
from transforms.pairing.win_rate import (
    Samples,
    crossed,
    length_controlled_of,
    length_controlled_win_rate,
    win_rate,
)
from transforms.statistics.clustered import clustered_rate
from transforms.statistics.intervals import Rate, wilson

NAN = float("nan")


def samples(score, tokens=None, prompt=None):
    count = len(score)
    return Samples(
        np.array(range(count) if prompt is None else prompt, np.int64),
        np.array(score, float),
        np.array([5] * count if tokens is None else tokens, np.int64),
    )


def against_nothing(wins, longer):
    """A that scores `wins` and is `longer` than B, whose scores are ½."""
    return samples(wins, np.array(longer) + 1000), samples([0.5] * len(wins), [1000] * len(wins))


def test_a_win_rate_is_the_share_of_prompts_and_ties_are_half():
    found = win_rate(samples([3, 1, 2, 5]), samples([1, 3, 2, 4]))
    assert found.rate.value == pytest.approx(2.5 / 4)
    assert (found.prompts, found.left_out, found.ties) == (4, 0, 0.25)


def test_of_several_samples_every_one_meets_every_other():
    # Prompt 4: 1, 3 and 5 against 2 and 3: 0 + 0, 1 + ½, 1 + 1 of 6.  Prompt 9: a win.  In any order of rows.
    ours = samples([5, 7, 1, 3], prompt=[4, 9, 4, 4])
    theirs = samples([3, 0, 2], prompt=[4, 9, 4])
    found = win_rate(ours, theirs)
    assert tuple(found.rate) == pytest.approx(tuple(clustered_rate(np.array([3.5 / 6, 1.0]), ["0", "1"])))
    assert found.rate.value == pytest.approx((3.5 / 6 + 1) / 2)
    assert found.ties == pytest.approx(1 / 12)


def test_a_policy_that_always_wins_has_wilsons_interval():
    assert win_rate(samples([2] * 8), samples([1] * 8)).rate == wilson(8, 8)


def test_a_prompt_without_a_score_of_both_is_left_out_and_counted():
    found = win_rate(samples([1, NAN, 3], prompt=[0, 1, 2]), samples([0, 0, 0], prompt=[0, 1, 7]))
    assert (found.prompts, found.left_out) == (1, 3)
    assert found.rate == wilson(1, 1)
    assert win_rate(samples([]), samples([1])).rate == Rate(0.0, 0.0, 1.0)


def test_samples_of_another_shape_are_refused():
    with pytest.raises(SchemaError, match="tokens"):
        samples([1, 2], [3])
    with pytest.raises(SchemaError, match="score is infinite in row 1"):
        samples([1, np.inf])


def test_length_differences_that_say_nothing_leave_the_win_rate():
    # As many wins of four among the longer as among the shorter: φ = 0 and σ(θ) = 3/4.
    found = length_controlled_win_rate(*against_nothing([1, 1, 1, 0] * 2, [30] * 4 + [-30] * 4))
    assert found.rate.value == pytest.approx(0.75)
    assert found.slope == pytest.approx(0, abs=1e-9)
    assert not found.extrapolated


def test_a_saturated_fit_is_half_way_between_the_logits():
    # 9 of 10 of those 40 tokens longer, 5 of 10 of those 40 shorter: θ is the mean of logit 0.9 and logit 0.5, and
    # tanh(40 / sd) with sd = 40 √(20/19).
    wins = [1] * 9 + [0] + [1] * 5 + [0] * 5
    found = length_controlled_win_rate(*against_nothing(wins, [40] * 10 + [-40] * 10))
    assert found.rate.value == pytest.approx(expit((logit(0.9) + logit(0.5)) / 2))
    assert found.slope * np.tanh((19 / 20) ** 0.5) == pytest.approx((logit(0.9) - logit(0.5)) / 2)
    assert found.rate.low < found.rate.value < found.rate.high
    assert found.rate.low < 0.75


def test_the_interval_is_the_one_step_jackknifes_on_the_scale_of_logits():
    generator = np.random.default_rng(1)
    longer, wins = generator.integers(-200, 300, 40), generator.choice([0, 0.5, 1], 40)
    found = length_controlled_win_rate(*against_nothing(wins, longer))
    x = np.tanh(longer / longer.std(ddof=1))
    design = np.stack([np.ones(40), x], 1)

    def loss(beta):
        return np.sum(np.logaddexp(0, design @ beta) - wins * (design @ beta))

    beta = optimize.minimize(loss, np.zeros(2), tol=1e-12).x
    assert found.rate.value == pytest.approx(expit(beta[0]), abs=1e-6)
    mean = expit(design @ beta)
    shifts = []
    for out in range(40):
        rest = np.arange(40) != out
        hessian = (design[rest].T * (mean * (1 - mean))[rest]) @ design[rest]
        shifts.append(np.linalg.solve(hessian, design[out] * (wins - mean)[out])[0])
    half = stats.t.ppf(0.975, 38) * (np.square(shifts).sum() * 39 / 40) ** 0.5
    assert (found.rate.low, found.rate.high) == pytest.approx((expit(beta[0] - half), expit(beta[0] + half)), abs=1e-5)


def test_the_other_side_has_the_other_share():
    generator = np.random.default_rng(2)
    sides = [
        samples(generator.normal(size=60), generator.integers(1, 900, 60), np.repeat(np.arange(20), 3))
        for _ in range(2)
    ]
    ours, theirs = length_controlled_win_rate(*sides), length_controlled_win_rate(*sides[::-1])
    assert ours.rate.value == pytest.approx(1 - theirs.rate.value)
    assert ours.rate.low == pytest.approx(1 - theirs.rate.high)
    assert ours.slope == pytest.approx(theirs.slope)


def test_a_prompt_that_was_sampled_twice_as_often_counts_once():
    wins, longer = [1, 0, 1, 1, 0, 1], [10, 20, -30, 40, -50, 60]
    ours, theirs = against_nothing(wins, longer)
    twice = Samples(*(np.concatenate([part, part[:2]]) for part in (ours.prompt, ours.score, ours.tokens)))
    once, often = length_controlled_win_rate(ours, theirs), length_controlled_win_rate(twice, theirs)
    assert tuple(often.rate) == pytest.approx(tuple(once.rate))
    assert often.prompts == once.prompts == 6


@pytest.mark.parametrize(
    ("wins", "longer", "why"),
    [
        ([1, 0], [5, -5], "few_prompts"),
        ([1, 1, 1, 1], [1, 2, 3, -4], "separated"),
        ([0, 0, 0, 0], [1, 2, 3, -4], "separated"),
        ([1, 1, 0, 0], [1, 2, -3, -4], "separated"),
        ([1, 1, 0, 0], [-3, 2, 2, 4], "separated"),
        ([1, 0.5, 0, 0], [9, 2, 1, -4], "separated"),
        ([1, 0, 1, 0], [7, 7, 7, 7], "one_difference"),
        ([1, 0, 1, 0.5], [7, 7, 7, 8], "one_difference"),
        ([1, 0, 1, 0.5], [0, 0, 0, 8], "one_difference"),
    ],
)
def test_what_cannot_be_fitted_is_said_and_no_number_given(wins, longer, why):
    found = length_controlled_win_rate(*against_nothing(wins, longer))
    assert (found.rate, found.slope, found.not_fitted) == (None, None, why)
    assert found.prompts == len(wins)


def test_equal_lengths_need_no_control():
    ours, theirs = against_nothing([1, 1, 1, 1], [0, 0, 0, 0])
    found = length_controlled_win_rate(ours, theirs)
    assert found.rate == win_rate(ours, theirs).rate == wilson(4, 4)
    assert (found.slope, found.not_fitted) == (None, None)


def test_a_rate_at_a_difference_that_nobody_saw_is_marked():
    assert length_controlled_win_rate(*against_nothing([1, 0, 1, 0, 1], [10, 20, 30, 40, 25])).extrapolated


def test_nothing_but_ties_is_not_certain():
    found = length_controlled_win_rate(*against_nothing([0.5] * 6, [1, -2, 3, -4, 5, -6]))
    assert found.rate.value == pytest.approx(0.5)
    assert found.rate.high - found.rate.low > 0.3


RESPONSES = st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 2000))


@given(st.lists(RESPONSES, max_size=20), st.lists(RESPONSES, max_size=20))
def test_there_is_a_rate_with_room_around_it_or_a_reason(ours, theirs):
    sides = [samples(*(np.array(side).reshape(-1, 3).T[[1, 2, 0]])) for side in (ours, theirs)]
    plain, controlled = win_rate(*sides), length_controlled_win_rate(*sides)
    assert plain.rate.low <= plain.rate.value <= plain.rate.high
    assert plain.rate.high - plain.rate.low > 0.01
    assert (controlled.rate is None) == (controlled.not_fitted is not None)
    assert controlled.prompts == plain.prompts
    if controlled.rate is not None:
        assert 0 <= controlled.rate.low <= controlled.rate.value <= controlled.rate.high <= 1


@pytest.mark.parametrize("prompts", [30, 100])
def test_the_interval_holds_the_rate_as_often_as_it_says(prompts):
    generator, held = np.random.default_rng(prompts), []
    for _ in range(300):
        longer = np.rint(generator.normal(80, 150, prompts))
        chance = expit(0.5 + 0.8 * np.tanh(longer / longer.std(ddof=1)))
        wins = (generator.random(prompts) < chance).astype(float)
        found = length_controlled_win_rate(*against_nothing(wins, longer.astype(int)))
        held.append(found.rate is not None and found.rate.low <= expit(0.5) <= found.rate.high)
    assert 0.92 <= np.mean(held) <= 0.99


def test_a_prompts_part_of_the_rate_at_equal_length_is_what_leaving_it_out_changes():
    rng = np.random.default_rng(3)
    prompts = np.arange(40)
    ours = Samples(prompts, rng.normal(0.4, 1, 40), rng.integers(50, 200, 40))
    theirs = Samples(prompts, rng.normal(0.0, 1, 40), rng.integers(50, 200, 40))
    compared = crossed(ours, theirs)
    found = length_controlled_of(compared)
    assert found.shares.shape == (40,)
    assert found.shares.mean() == pytest.approx(found.rate.value, abs=0.01)
    for left_out in (0, 17, 39):
        without = length_controlled_of(compared.of(np.delete(prompts, left_out))).rate.value
        # One step of Newton in place of a fit, and sd Δ as it was.
        assert found.shares[left_out] == pytest.approx(40 * found.rate.value - 39 * without, abs=0.2)
    assert np.corrcoef(found.shares, compared.shares)[0, 1] > 0.8


def test_comparisons_of_some_prompts_are_those_prompts_alone():
    ours = Samples(np.array([5, 5, 7, 9]), np.array([1.0, 3.0, 0.0, 2.0]), np.array([1, 2, 3, 4]))
    theirs = Samples(np.array([5, 7, 9]), np.array([2.0, 1.0, 2.0]), np.array([1, 1, 1]))
    compared = crossed(ours, theirs)
    assert dict(zip(compared.prompts.tolist(), compared.shares.tolist(), strict=True)) == {5: 0.5, 7: 0.0, 9: 0.5}
    some = compared.of(np.array([7, 9, 11]))
    assert (some.prompts.tolist(), some.prompt.tolist()) == ([7, 9], [0, 1])
    assert (some.wins.tolist(), some.longer.tolist()) == ([0.0, 0.5], [2, 3])
