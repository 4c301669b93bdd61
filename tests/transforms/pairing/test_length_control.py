"""A score without what length explains: recovered where it is known, by hand, and right as often as it claims."""

import numpy as np
import pytest
from pairing_support import run
from scipy import stats

from transforms.errors import SchemaError
from transforms.pairing.length_control import length_controlled

NAN = float("nan")


def of_doublings(*prompts, scores):
    """Tokens 2^k − 1, so that ln(1 + tokens) is k ln 2."""
    return run(*scores, tokens=[2**k - 1 for prompt in prompts for k in prompt])


def test_a_known_slope_is_recovered_and_the_rest_stays():
    # s = 2 x + effect, the effect having nothing to do with x within the prompt, whatever the prompts' own level.
    x = np.log(2.0) * np.array([0, 1, 2, 3, 5, 5, 9, 9])
    effect = np.array([1.0, -1, -1, 1, 0.5, -0.5, 0.5, -0.5]) + np.repeat([100.0, -7.0], 4)
    score = 2 * x + effect
    scored = of_doublings([0, 1, 2, 3], [5, 5, 9, 9], scores=(score[:4], score[4:]))
    fit = length_controlled(scored, score)
    assert fit.slope == pytest.approx(2)
    means = np.repeat([1.5, 7.0], 4) * np.log(2.0)
    assert fit.adjusted == pytest.approx(effect + 2 * means)
    # Variance within prompts: 2² · (5 + 16) ln² 2 of length, 4 · 1 + 4 · ¼ of the effect.
    of_length = 4 * 21 * np.log(2.0) ** 2
    assert fit.explained == pytest.approx(of_length / (of_length + 5))
    assert (fit.prompts, fit.responses) == (2, 8)


def test_the_interval_is_the_jackknifes_over_prompts():
    # Two responses a prompt, one doubling apart: each prompt's slope is its difference over ln 2; 1, 2 and 6 of them.
    scored = of_doublings([0, 1], [0, 1], [0, 1], scores=([0, 1], [0, 2], [0, 6]))
    fit = length_controlled(scored, scored.scores[:, 0])
    assert fit.slope == pytest.approx(3 / np.log(2.0))
    # Without one prompt: 4, 3.5 and 1.5. Off by 1, 0.5 and −1.5: 3.5 · 2/3 (the variance of a mean of 1, 2 and 6).
    half = stats.t.ppf(0.975, 2) * (3.5 * 2 / 3) ** 0.5 / np.log(2.0)
    assert (fit.low, fit.high) == pytest.approx((fit.slope - half, fit.slope + half))


def test_prompts_that_hardly_differ_in_length_add_few_degrees_of_freedom():
    # Σ of squares ½, ½ and 50 (in ln² 2): 51² / 2500.5 = 1.04 prompts.
    scored = of_doublings([0, 1], [0, 1], [0, 10], scores=([0, 1], [0, 2], [0, 6]))
    fit = length_controlled(scored, scored.scores[:, 0])
    assert fit.high - fit.low > 100


def test_without_a_difference_in_length_nothing_is_fitted_and_the_score_stays():
    scored = run([1, 2], [3, 9], [NAN, 4], tokens=[7, 7, 30, 30, 1, 900])
    fit = length_controlled(scored, scored.scores[:, 0])
    assert (fit.slope, fit.low, fit.high, fit.explained, fit.prompts, fit.responses) == (0, None, None, 0, 0, 0)
    assert fit.adjusted == pytest.approx(scored.scores[:, 0], nan_ok=True)


def test_equal_lengths_whose_mean_is_rounded_are_equal():
    score = np.array([1.0, 2.0, 5.0])
    fit = length_controlled(run(score, tokens=[2, 2, 2]), score)  # the mean of three ln 3 is not ln 3
    assert fit.prompts == 0
    assert fit.adjusted.tolist() == score.tolist()


def test_one_prompt_gives_a_slope_without_an_interval():
    fit = length_controlled(of_doublings([0, 1], scores=([0, 1],)), np.array([0.0, 1.0]))
    assert fit.slope == pytest.approx(1 / np.log(2.0))
    assert (fit.low, fit.high) == (None, None)
    assert fit.adjusted == pytest.approx([0.5, 0.5])


def test_a_response_without_a_score_has_no_part_in_it():
    score = np.array([0.0, 1.0, NAN, 0.0, 1.0])
    fit = length_controlled(of_doublings([0, 1, 9], [0, 1], scores=(score[:3], score[3:])), score)
    assert fit.slope == pytest.approx(1 / np.log(2.0))
    assert np.isnan(fit.adjusted).tolist() == [False, False, True, False, False]
    assert fit.responses == 4


def test_empty_responses_have_a_length():
    fit = length_controlled(run([0, 1], [0, 1], tokens=[0, 9, 0, 9]), np.array([0.0, 1.0, 0.0, 1.0]))
    assert fit.slope == pytest.approx(1 / np.log(10.0))


def test_equal_scores_have_nothing_to_explain():
    fit = length_controlled(run([1, 1], [2, 2], tokens=[1, 9, 2, 4]), np.array([1.0, 1.0, 2.0, 2.0]))
    assert (fit.slope, fit.explained) == (0, 0)


def test_scores_of_another_shape_are_refused():
    with pytest.raises(SchemaError, match="score is float64 of shape"):
        length_controlled(run([1, 2]), np.zeros(3))


def test_the_interval_holds_the_slope_as_often_as_it_says():
    # 400 runs of 15 prompts of four responses, each prompt with a slope of its own around 1.
    generator, held = np.random.default_rng(5), 0
    for _ in range(400):
        tokens = generator.lognormal(5, 1, (15, 4)).astype(np.int64)
        slopes = 1 + 0.5 * generator.standard_normal((15, 1))
        score = slopes * np.log1p(tokens) + generator.standard_normal((15, 4))
        fit = length_controlled(run(*score, tokens=tokens.ravel()), score.ravel())
        held += fit.low <= 1 <= fit.high
    assert 0.93 <= held / 400 <= 0.99
