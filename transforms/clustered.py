"""Shares and means of pairs that share prompts: ten pairs of one prompt say less than ten prompts do.

A share's interval is Wilson's for as many independent pairs as would be known as well: Korn and Graubard (Survey
Methodology 24, 1998) take the share's variance between clusters for that and Student's t for how well the variance
is known; Franco, Little, Louis and Slud (J. Survey Stat. Methodol. 7, 2019) find Wilson's the best form to put it in.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from transforms.consistency import LEVEL, Floats, Ints, Rate, wilson


class Mean(NamedTuple):
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float


def clustered_share(values: Floats, clusters: Sequence[str]) -> Rate:
    """Mean of values in [0, 1] with a 95 % interval; Wilson's of all values where each is a cluster of its own.

    The pairs count for at least as many independent ones as there would be if a cluster's values were all equal
    (n² / Σ n_g²), and for at most n. Values without any spread say nothing of their variance; then it is the least.

    Args:
        values: 1, 0, or 0.5 for a tie; (values,).
        clusters: what each belongs to, such as its prompt.
    """
    count = len(values)
    if not count:
        return wilson(0.0, 0)
    sizes, sums, mean = _by_cluster(values, clusters)
    least = count**2 / float(np.square(sizes).sum())
    spread = _variance(sums, count)
    binary = mean * (1 - mean)
    worth = least
    if spread > 1e-12 * binary > 0:
        worth = float(np.clip(binary / spread * _caution(len(sizes)), least, count))
    return wilson(mean * worth, worth)


def clustered_mean(values: Floats, clusters: Sequence[str]) -> Mean | None:
    """Mean with Student's t over clusters; None for fewer than two of them, where no spread is known."""
    if len(set(clusters)) < 2:
        return None
    sizes, sums, mean = _by_cluster(values, clusters)
    t = float(stats.t.ppf(0.5 + LEVEL / 2, len(sizes) - 1))
    half = t * _variance(sums, len(values)) ** 0.5
    return Mean(mean, mean - half, mean + half)


def weighted_share(shares: Sequence[Rate], weights: Sequence[float]) -> Rate:
    """Weighted mean of independent shares; its interval is put together from theirs.

    low = p − √Σ w²(p_i − low_i)², high likewise (MOVER: Zou and Donner, Statistics in Medicine 27, 2008), so that
    a share of 1 adds the width that its own interval has, and not the zero of its variance.

    Args:
        shares: at least one.
        weights: of each, at least 0 and not all 0; they need not add up to 1.
    """
    weight = np.asarray(weights, np.float64) / sum(weights)
    value, low, high = np.asarray(shares, np.float64).T
    mean = float(weight @ value)
    below, above = (float(np.linalg.norm(weight * (value - end))) for end in (low, high))
    return Rate(mean, max(0.0, mean - below), min(1.0, mean + above))


def _by_cluster(values: Floats, clusters: Sequence[str]) -> tuple[Ints, Floats, float]:
    """Sizes and sums of deviations from the mean of each cluster, and the mean."""
    _, place, sizes = np.unique(np.asarray(clusters), return_inverse=True, return_counts=True)
    mean = float(values.mean())
    return sizes.astype(np.int64), np.bincount(place, values - mean).astype(np.float64), mean


def _variance(sums: Floats, count: int) -> float:
    """Of the mean, from the clusters' sums of deviations; 0 for a single cluster."""
    clusters = len(sums)
    return float(np.square(sums).sum()) / count**2 * clusters / (clusters - 1) if clusters > 1 else 0.0


def _caution(clusters: int) -> float:
    """(z / t)²: how much less a variance of few clusters promises."""
    return float((stats.norm.ppf(0.5 + LEVEL / 2) / stats.t.ppf(0.5 + LEVEL / 2, clusters - 1)) ** 2)
