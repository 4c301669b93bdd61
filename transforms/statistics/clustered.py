"""Shares and means of pairs that share prompts: ten pairs of one prompt say less than ten prompts do.

A share's interval is Wilson's for as many independent pairs as would be known as well: Korn and Graubard (Survey
Methodology 24, 1998) take the share's variance between clusters for that and Student's t for how well the variance
is known; Franco, Little, Louis and Slud (J. Survey Stat. Methodol. 7, 2019) find Wilson's the best form to put it in.
The variance is the delete-one-cluster jackknife's, and its degrees of freedom are those of n² / Σ n_g² clusters, so
that a few large ones do not pass for many. In simulations (12, 30 and 100 prompts of 1 to 8 pairs, truths of 0.6 and
0.9, 1,000 rounds each) 93 to 99 % of the intervals hold the truth at intra-class correlations up to 0.3; at 0.6 and
1, 91 to 97 %, worst where few prompts of 30 are wrong.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from transforms.statistics.intervals import LEVEL, Bools, Floats, MeanRecord, Rate, wilson

_ALMOST: Final = 1 - 1e-9  # of a rank correlation of 1, whose z is infinite
_NO_SPREAD: Final = 1e-12  # of p (1 − p), for the variance of a mean: equal values differ by rounding alone


def clustered_share(values: Floats, clusters: Sequence[str]) -> Rate:
    """Mean of values in [0, 1] with a 95 % interval; Wilson's of all values where each is a cluster of its own.

    The pairs count for at least as many independent ones as there would be if a cluster's values were all equal
    (n² / Σ n_g²), and for at most n. Values without any spread say nothing of their variance; then it is the least.

    Args:
        values: 1, 0, or 0.5 for a tie; (values,).
        clusters: what each belongs to, such as its prompt.
    """
    worth = min(_worth(values, clusters), len(values))
    return wilson(float(values.sum()) / max(len(values), 1) * worth, worth)


def clustered_rate(values: Floats, clusters: Sequence[str]) -> Rate:
    """Mean of shares in [0, 1], such as of a pair's completions, with a 95 % interval.

    `estimates.mean_rate` where each value is a cluster of its own: Wilson's of as many zeros and ones as have the
    variance of the mean, taken with Student's t, so narrower than that of zeros and ones where values lie in between.
    With clusters the variance is theirs. Values that are equal within each cluster get the interval of the clusters'
    means, which is the widest; the narrowest is that of as many independent values.

    Args:
        values: (values,).
        clusters: what each belongs to, such as its prompt.
    """
    alone = _worth(values, [str(row) for row in range(len(values))])
    worth = min(_worth(values, clusters), alone)
    return wilson(float(values.sum()) / max(len(values), 1) * worth, worth)


def _worth(values: Floats, clusters: Sequence[str]) -> float:
    """How many independent zeros and ones would be known as well; at least n² / Σ n_g² (equal clusters)."""
    from scipy import stats

    if not len(values):
        return 0.0
    found = _clustered(values, clusters)
    binary = found.mean * (1 - found.mean)
    if not found.variance > _NO_SPREAD * binary > 0:
        return found.effective
    caution = float(stats.norm.ppf(0.5 + LEVEL / 2)) / found.t
    return max(found.effective, binary / found.variance * caution**2)


def design_effect(values: Floats, clusters: Sequence[str]) -> float:
    """How many times the variance of a mean is that of as many independent values; 1 where each is a cluster.

    At most that of equal values within each cluster, which is also taken where values have no spread.
    """
    from scipy import stats

    if len(set(clusters)) == len(values):
        return 1.0
    if len(set(clusters)) == 1:
        return float(len(values))  # one observation: how clusters differ is not known
    found, alone = _clustered(values, clusters), float(values.var(ddof=1)) / len(values)
    most = len(values) / found.effective
    if not alone > 0:
        return most
    caution = (found.t / float(stats.norm.ppf(0.5 + LEVEL / 2))) ** 2
    return float(np.clip(found.variance / alone * caution, 1.0, most))


def clustered_mean(values: Floats, clusters: Sequence[str]) -> MeanRecord:
    """Mean with Student's t over clusters; without an interval for a single one, where no spread is known.

    Args:
        values: any finite numbers, at least one; (values,).
        clusters: what each belongs to, such as its prompt.
    """
    if len(set(clusters)) < 2:
        return MeanRecord(value=float(values.mean()), low=None, high=None)
    found = _clustered(values, clusters)
    half = found.t * found.variance**0.5
    return MeanRecord(value=found.mean, low=found.mean - half, high=found.mean + half)


def clustered_difference(values: Floats, clusters: Sequence[str]) -> MeanRecord:
    """Mean of differences of shares, each in [−1, 1], with Student's t over clusters; never without width.

    As in `two_way.two_way_difference`, two clusters are added of which half a one goes each way (Agresti and Min,
    Statistics in Medicine 24, 2005): that no value differs is no proof that none ever would.
    """
    found = clustered_mean(values, clusters)
    if found.low is None or found.high is None:
        return found
    parts = _clustered(values, clusters)
    half = parts.t * (parts.variance + (len(set(clusters)) + 2) ** -2) ** 0.5
    return MeanRecord(value=found.value, low=max(-1.0, found.value - half), high=min(1.0, found.value + half))


def clustered_rank_correlation(one: Floats, other: Floats, clusters: Sequence[str]) -> MeanRecord | None:
    """Spearman's rank correlation with a 95 % interval; None where it has none: too few values, or all of a kind alike.

    The interval is Student's t of the delete-one-cluster jackknife of Fisher's z = artanh ρ; none for fewer than three
    clusters, where how they differ is not known.

    Args:
        one: (values,), at least three of them.
        other: (values,), what is ranked beside them.
        clusters: what each pair of values belongs to, such as its prompt.
    """
    from scipy import stats

    if len(one) < 3 or not (np.ptp(one) > 0 and np.ptp(other) > 0):
        return None

    def z(some: Bools) -> float:
        alike = not (np.ptp(one[some]) > 0 and np.ptp(other[some]) > 0)
        ranked = 0.0 if alike else float(stats.spearmanr(one[some], other[some]).statistic)
        return float(np.arctanh(np.clip(ranked, -_ALMOST, _ALMOST)))

    everyone = np.ones(len(one), bool)
    names, mine = np.unique(np.asarray(clusters, object).astype(str), return_inverse=True)
    whole, count = z(everyone), len(names)
    if count < 3:
        return MeanRecord(value=float(np.tanh(whole)), low=None, high=None)
    left = np.array([z(mine != cluster) for cluster in range(count)])
    error = np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum())
    half = float(stats.t.ppf(0.5 + LEVEL / 2, count - 1)) * error
    return MeanRecord(value=float(np.tanh(whole)), low=float(np.tanh(whole - half)), high=float(np.tanh(whole + half)))


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


class _Clustered(NamedTuple):
    mean: float
    variance: float  # of the mean; 0 for a single cluster
    effective: float  # clusters of equal size that would say as much
    t: float  # quantile for the variance; infinite for a single cluster


def _clustered(values: Floats, clusters: Sequence[str]) -> _Clustered:
    from scipy import stats

    _, place, sizes = np.unique(np.asarray(clusters), return_inverse=True, return_counts=True)
    count, mean = len(values), float(values.mean())
    effective = count**2 / float(np.square(sizes).sum())
    if len(sizes) == 1:
        return _Clustered(mean, 0.0, effective, np.inf)
    # Without cluster g the mean is off by its sum of deviations over the values that are left.
    shifts = np.bincount(place, values - mean) / (count - sizes)
    variance = float(np.square(shifts).sum()) * (len(sizes) - 1) / len(sizes)
    return _Clustered(mean, variance, effective, float(stats.t.ppf(0.5 + LEVEL / 2, effective - 1)))
