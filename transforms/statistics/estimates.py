"""Consistency of a dataset and its groups, unbiased although sampling was adaptive and partly skipped.

Augmented inverse-probability weighting (Robins, Rotnitzky and Zhao 1994; "prediction-powered inference" where the
prediction is a model's). With m_i the proxy's held-out prediction, v_i the mean of the pair's first completions, A_i
whether it was observed by a rule that did not look at it, and π_i the chance of that,

    φ_i = m_i + A_i / π_i · (v_i − m_i),   rate = mean φ,   variance = var φ / pairs.

E φ_i is the pair's consistency whatever the proxy is worth. The first completions' number is fixed before they come;
the mean at a stopping time is not unbiased, and is not used.

Where hardly a pair was observed, var φ may say nothing of what the others hold: twenty audit pairs that are all
consistent have no spread. So it is never taken for less than the proxy itself expects, m (1 − m) / π a pair.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from transforms.statistics.clustered import design_effect
from transforms.statistics.intervals import LEVEL, Bools, Floats, Rate, wilson

_NO_SPREAD: Final = 1e-6  # of p (1 − p): equal values differ by rounding alone


class Observed(NamedTuple):
    """What the estimates rest on, each (pairs,)."""

    value: Floats  # v, any number where not observed
    seen: Bools  # A
    chance: Floats  # π, 1 where observed for certain
    expected: Floats  # m, any number where π = 1

    def of(self, mine: Bools) -> "Observed":
        """Of some of the pairs."""
        return Observed(self.value[mine], self.seen[mine], self.chance[mine], self.expected[mine])


def contributions(observed: Observed) -> Floats:
    """φ of every pair."""
    guess = np.where(observed.chance < 1, observed.expected, observed.value)
    correction = np.where(observed.seen, (observed.value - guess) / observed.chance, 0.0)
    return np.where(observed.chance < 1, guess + correction, observed.value)


def estimated_rate(observed: Observed, prompts: Sequence[str]) -> Rate:
    """Mean consistency with a 95 % interval: Wilson's, of as many zeros and ones as would be known as well.

    Args:
        observed: what the estimate rests on.
        prompts: of each pair; those of one prompt keep or lose their order together and say less than their number.
    """
    phi, count = contributions(observed), len(observed.value)
    sampled, together = observed.chance < 1, design_effect(phi, prompts)
    if count < 2 or not sampled.any():
        return mean_rate(np.clip(phi, 0.0, 1.0), together)
    guess = np.where(sampled, observed.expected, observed.value)
    unseen = np.where(sampled, observed.expected * (1 - observed.expected) / observed.chance, 0.0)
    mean = float(np.clip(phi.mean(), 0.0, 1.0))
    effect = max(
        _design_effect(mean, float(phi.var(ddof=1))),
        _design_effect(float(guess.mean()), float(guess.var(ddof=1) + unseen.mean())),
    )
    worth = (count / effect if effect else count) / together
    return wilson(mean * worth, worth)


def mean_rate(values: Floats, together: float = 1.0) -> Rate:
    """Mean of values in [0, 1] with a 95 % interval.

    Wilson's of a share where the values are zeros and ones, narrower where they lie in between: that of as many
    zeros and ones as have the same variance. What a variance of few values promises is taken with Student's t.
    Values without any spread say nothing about their variance; then each counts as one observation.

    Args:
        values: (values,).
        together: how many times the mean's variance is that of independent values (transforms.statistics.clustered).
    """
    from scipy import stats

    count = len(values)
    if count < 2:
        return wilson(float(values.sum()), count)
    mean = float(np.clip(values.mean(), 0.0, 1.0))
    effect = _design_effect(mean, float(values.var(ddof=1)))
    if not effect:
        return wilson(mean * count / together, count / together)
    caution = float(stats.norm.ppf(0.5 + LEVEL / 2) / stats.t.ppf(0.5 + LEVEL / 2, count - 1)) ** 2
    worth = max(count, count / effect * caution) / together
    return wilson(mean * worth, worth)


def _design_effect(mean: float, spread: float) -> float:
    """Variance over that of zeros and ones with the same mean; 0 where there is none."""
    binary = mean * (1 - mean)
    return spread / binary if spread > _NO_SPREAD * binary and binary > 0 else 0.0
