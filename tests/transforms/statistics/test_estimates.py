"""Unbiased rates and honest intervals: by hand, and over many simulated samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from transforms.statistics.estimates import Observed, contributions, estimated_rate, mean_rate
from transforms.statistics.intervals import wilson

ARRAY = np.array


def observed(value, seen, chance, expected):
    return Observed(ARRAY(value, float), ARRAY(seen, bool), ARRAY(chance, float), ARRAY(expected, float))


def test_a_contribution_is_the_prediction_and_its_error_over_the_chance_of_seeing_it():
    # φ = m + A/π (v − m): observed for certain: v. Seen at π = 1/4: .8 + (1 − .8)·4 = 1.6 and .8 − .8·4 = −2.4.
    # Not seen: m.
    found = contributions(
        observed([0.5, 1.0, 0.0, 7.0], [True, True, True, False], [1, 0.25, 0.25, 0.25], [np.nan, 0.8, 0.8, 0.8])
    )
    assert found == pytest.approx([0.5, 1.6, -2.4, 0.8])


def test_contributions_average_to_the_truth_whatever_is_predicted():
    # Of four pairs with values 1, 0, 1, 1 one is seen, each as likely: the mean over the four samples is their mean.
    value, means = ARRAY([1.0, 0.0, 1.0, 1.0]), []
    for row in range(4):
        seen = np.arange(4) == row
        means.append(contributions(Observed(value, seen, np.full(4, 0.25), ARRAY([0.9, 0.2, 0.1, 0.5]))).mean())
    assert np.mean(means) == pytest.approx(0.75)


@pytest.mark.parametrize("ones", [0, 1, 17, 20])
def test_of_zeros_and_ones_it_is_about_the_wilson_interval(ones):
    # Their sample variance is p (1 − p) n / (n − 1), a hair more than that of a share: never a narrower interval.
    rate, plain = mean_rate(ARRAY([1.0] * ones + [0.0] * (20 - ones))), wilson(ones, 20)
    assert rate == pytest.approx(plain)


def test_values_in_between_say_more_than_zeros_and_ones():
    # Mean .5, sample variance of ten times ±.1 is .1²·10/9 = 1/90. Binary: 1/4. Each is worth 22.5 zeros and ones,
    # less Student's caution (1.960 / 2.262)².
    rate = mean_rate(ARRAY([0.4, 0.6] * 5))
    worth = 10 * 22.5 * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 9)) ** 2
    assert rate == pytest.approx(wilson(worth / 2, worth))
    assert rate.low > wilson(5, 10).low


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("count", [1, 3, 10])
def test_equal_values_promise_no_certainty_even_where_their_mean_is_rounded(value, count):
    # The mean of three times 0.1 is not 0.1, and their variance not quite zero.
    rate = mean_rate(np.full(count, value))
    assert rate == pytest.approx(wilson(value * count, count))


def test_of_no_pairs_nothing_is_known():
    assert mean_rate(np.zeros(0)) == (0.0, 0.0, 1.0)
    assert rate_of(observed([], [], [], [])) == (0.0, 0.0, 1.0)


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.booleans(), st.sampled_from([0.01, 0.1, 0.5, 1.0]), st.floats(0, 1)), max_size=30
    )
)
def test_the_interval_lies_in_the_unit_and_around_its_value(pairs):
    value, seen, chance, expected = zip(*pairs, strict=True) if pairs else ([], [], [], [])
    rate = rate_of(observed(value, seen, chance, expected))
    assert 0 <= rate.low <= rate.value + 1e-12
    assert rate.value - 1e-12 <= rate.high <= 1


def test_where_everything_was_observed_predictions_do_not_matter():
    value = ARRAY([0.0, 1.0, 0.5, 0.75])
    rate = rate_of(Observed(value, np.ones(4, bool), np.ones(4), np.full(4, np.nan)))
    assert rate == mean_rate(value)


def test_some_of_the_pairs_are_those_with_all_that_is_known_of_them():
    found = observed([1, 0, 0.5], [1, 0, 1], [1, 0.5, 0.5], [0.1, 0.2, 0.3]).of(ARRAY([True, False, True]))
    assert [column.tolist() for column in found] == [[1.0, 0.5], [True, True], [1.0, 0.5], [0.1, 0.3]]


def test_audit_pairs_that_all_agree_do_not_vouch_for_those_that_nobody_saw():
    # 100 pairs of which 10 were seen, all consistent, at m = .9: φ is .9 + .1·10 = 1.9 ten times and .9 otherwise;
    # its mean is 1 and its spread .09, but m promises a variance of .9·.1/.1 = .9, ten times that of a share of .9:
    # the hundred are worth ten.
    seen = np.arange(100) < 10
    rate = rate_of(Observed(np.ones(100), seen, np.full(100, 0.1), np.full(100, 0.9)))
    assert rate == pytest.approx(wilson(10, 10))


def rate_of(found):
    """Of pairs that each have a prompt of their own."""
    return estimated_rate(found, [str(row) for row in range(len(found.value))])


def test_pairs_of_one_prompt_that_agree_count_as_one():
    # Forty prompts of five equal pairs, a quarter of them lost: Wilson's interval of 30 in 40, not of 150 in 200;
    # what the prompts' spread promises is taken with Student's t of 39 degrees.
    value = np.repeat(np.arange(40) % 4 > 0, 5).astype(float)
    found = Observed(value, np.ones(200, bool), np.ones(200), value)
    alone, together = rate_of(found), estimated_rate(found, np.repeat(np.arange(40), 5).astype(str).tolist())
    assert (alone.value, alone.low, alone.high) == pytest.approx(wilson(150, 200), abs=2e-3)
    assert (together.value, together.low, together.high) == pytest.approx(wilson(30, 40), abs=2e-3)


@pytest.mark.slow  # simulates
@pytest.mark.parametrize("audit", [None, 0.3])
def test_intervals_hold_the_truth_where_pairs_share_their_prompts(audit):
    # 100 prompts of 1 to 7 pairs; half of the pairs of a prompt share its fate. Without the prompts 80 %.
    rng, covered, blind, runs = np.random.default_rng(3), 0, 0, 1500
    for _ in range(runs):
        prompt = np.repeat(np.arange(100), rng.integers(1, 8, 100))
        count = len(prompt)
        common, own = (rng.random(100) < 0.8)[prompt], rng.random(count) < 0.8
        value = np.where(rng.random(count) < 0.5, common, own).astype(float)
        seen = np.ones(count, bool) if audit is None else rng.permutation(count) < audit * count
        found = Observed(value, seen, np.full(count, seen.mean()), np.full(count, 0.8))
        rate, naive = estimated_rate(found, prompt.astype(str).tolist()), rate_of(found)
        covered += rate.low <= 0.8 <= rate.high
        blind += naive.low <= 0.8 <= naive.high
    assert 0.93 <= covered / runs <= 0.98
    assert blind / runs < covered / runs


def world(rng, count):
    """Consistencies, and what a good proxy foretells of them."""
    share, margin = rng.uniform(0.05, 0.9, count), rng.normal(1, 1, count)
    spread = 0.3 + 1.2 * share
    return special.ndtr(margin * np.exp(rng.normal(0, 0.4, count)) / spread), special.ndtr(margin / spread)


POPULATION, FORETOLD = world(np.random.default_rng(0), 200_000)


def simulate(runs, count, *, n=1, audit=None, proxy=None, keep=slice(None)):
    """(rates, covered) of samples of `count` pairs: n completions each, all seen or a random audit."""
    rng = np.random.default_rng(1)
    consistency, foretold = POPULATION[keep], FORETOLD[keep]
    truth, rates, covered = consistency.mean(), np.empty(runs), 0
    for run in range(runs):
        rows = rng.integers(0, len(consistency), count)
        value = rng.binomial(n, consistency[rows]) / n
        if audit is None:
            rate = mean_rate(value)
        else:
            seen = rng.permutation(count) < audit * count
            expected = {"good": foretold[rows], "bad": rng.permutation(foretold[rows])}[proxy]
            rate = rate_of(Observed(value, seen, np.full(count, seen.mean()), expected))
        rates[run] = rate.value
        covered += rate.low <= truth <= rate.high
    assert abs(rates.mean() - truth) < 4 * rates.std() / np.sqrt(runs)
    return covered / runs


# 6,000 intervals: a coverage of 95 % is measured within ± 0.9 points at three standard errors.
RUNS = 6000


@pytest.mark.slow  # simulates
@pytest.mark.parametrize("count", [400, 1000])
def test_a_full_census_of_zeros_and_ones_is_unbiased_and_covered(count):
    assert 0.94 <= simulate(RUNS, count) <= 0.96


@pytest.mark.slow  # simulates
@pytest.mark.parametrize(("count", "n"), [(60, 3), (400, 5)])
def test_fractional_pair_values_are_unbiased_and_covered(count, n):
    assert 0.94 <= simulate(RUNS, count, n=n) <= 0.96


@pytest.mark.slow  # simulates
@pytest.mark.parametrize("proxy", ["good", "bad"])
def test_an_audit_of_a_tenth_is_unbiased_and_covered_however_good_the_proxy(proxy):
    assert 0.94 <= simulate(RUNS, 1000, audit=0.1, proxy=proxy) <= 0.96 + 0.01 * (proxy == "good")


@pytest.mark.slow  # simulates
@pytest.mark.parametrize("count", [200, 640])
def test_a_group_in_which_hardly_an_audit_pair_disagrees_is_covered_too(count):
    # The spread of φ alone covers 57 % at 200 pairs and 81 % at 640.
    assert simulate(2000, count, audit=0.1, proxy="good", keep=FORETOLD > 0.95) >= 0.91


def test_a_good_proxy_narrows_the_interval():
    rng = np.random.default_rng(2)
    value, seen = rng.binomial(1, POPULATION[:5000]).astype(float), rng.permutation(5000) < 500
    chance, flat = np.full(5000, 0.1), np.full(5000, POPULATION.mean())
    good = rate_of(Observed(value, seen, chance, FORETOLD[:5000]))
    blind = rate_of(Observed(value, seen, chance, flat))
    assert good.high - good.low < 0.9 * (blind.high - blind.low)
