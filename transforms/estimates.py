"""Consistency of a dataset and its groups, unbiased although sampling was adaptive and partly skipped.

Augmented inverse-probability weighting (Robins, Rotnitzky and Zhao 1994; "prediction-powered inference" where the
prediction is a model's). With m_i the proxy's held-out prediction, v_i the mean of the pair's first completions, A_i
whether it was observed by a rule that did not look at it, and π_i the chance of that,

    φ_i = m_i + A_i / π_i · (v_i − m_i),   rate = mean φ,   variance = var φ / pairs.

E φ_i is the pair's consistency whatever the proxy is worth. The first completions' number is fixed before they come;
the mean at a stopping time is not unbiased, and is not used.
"""

from typing import NamedTuple

import numpy as np

from transforms.consistency import Bools, Floats, Rate, wilson


class Observed(NamedTuple):
    """What the estimates rest on, each (pairs,)."""

    value: Floats  # v, any number where not observed
    seen: Bools  # A
    chance: Floats  # π, 1 where observed for certain
    expected: Floats  # m, any number where π = 1


def contributions(observed: Observed) -> Floats:
    """φ of every pair."""
    guess = np.where(observed.chance < 1, observed.expected, observed.value)
    correction = np.where(observed.seen, (observed.value - guess) / observed.chance, 0.0)
    return np.where(observed.chance < 1, guess + correction, observed.value)


def mean_rate(values: Floats) -> Rate:
    """Mean of contributions with a 95 % interval.

    Wilson's interval of as many zeros and ones as have the same variance: that of a share where the values are
    zeros and ones, narrower where pairs lie in between, wider where few were observed, never outside [0, 1].
    Values without any spread say nothing about their variance; then each counts as one observation.
    """
    count = len(values)
    if count == 0:
        return wilson(0, 0)
    mean = float(np.clip(values.mean(), 0.0, 1.0))
    spread = float(values.var(ddof=1)) if count > 1 else 0.0
    binary = mean * (1 - mean)
    worth = count if spread <= 0 or binary <= 0 else binary / spread * count
    return wilson(mean * worth, worth)
