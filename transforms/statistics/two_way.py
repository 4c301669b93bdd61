"""Means over trainings and prompts at once: another seed would give another number, and so would other prompts.

A value y of training s on a pair of prompt g is taken as μ + a_s + b_g + e_sg, both seeds and prompts being samples.
The mean's variance then has two parts that are known unequally well: V_s, of the trainings' means (σ_a²/S + σ_e²/SG,
with S − 1 degrees of freedom, often two), and what prompts add to it, V_g − V_e (σ_b²/G). The interval puts both
together as MOVER does (Zou and Donner, Statistics in Medicine 27, 2008), each part with its own Student's t: half its
width is √(t_s² V_s + t_g² (V_g − V_e)). V_g is the delete-one-prompt jackknife's, as in `clustered`.

In simulations (2, 3 and 5 trainings; 12, 30 and 150 prompts of 1 to 5 pairs; each of σ_a, σ_b and σ_e from 0 to 1) 93
to 99 % of the intervals hold the truth. One t for the sum of both parts, with Satterthwaite's degrees of freedom, held
it in 88 to 92 % where two trainings differ, because a V_s that happens to be small is then taken at its word. The
price: with two trainings intervals are up to four times as wide as with known variances, with three 1.0 to 1.9 times,
with five 1.0 to 1.3 times.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from transforms.statistics.intervals import LEVEL, Floats, MeanRecord, wilson


def two_way_mean(values: Floats, prompts: Sequence[str]) -> MeanRecord:
    """Mean with a 95 % interval over trainings and prompts; without one for a single training or prompt.

    Args:
        values: any finite numbers, (trainings, pairs), at least one of each.
        prompts: of the pairs.
    """
    parts = _parts(values, prompts)
    return _around(float(values.mean()), parts and parts.half(0.0))


def two_way_difference(values: Floats, prompts: Sequence[str]) -> MeanRecord:
    """Mean of differences of shares, each in [−1, 1]; never without width.

    No pair that differs is no proof that none ever would. As Agresti and Min do for paired proportions (Statistics in
    Medicine 24, 2005), two prompts are added of which half a one goes each way; that adds (1 / (G + 2))² to the
    variance between prompts.

    Args:
        values: of one training minus its partner's, (trainings, pairs), at least one of each.
        prompts: of the pairs.
    """
    parts = _parts(values, prompts)
    found = _around(float(values.mean()), parts and parts.half((parts.prompts + 2) ** -2))
    if found.low is None or found.high is None:
        return found
    return MeanRecord(value=found.value, low=max(-1.0, found.low), high=min(1.0, found.high))


def two_way_share(values: Floats, prompts: Sequence[str]) -> MeanRecord:
    """Mean of values in [0, 1] with Wilson's interval for as many independent pairs as are known as well.

    Args:
        values: 1, 0, or 0.5 for a tie; (trainings, pairs), at least one of each.
        prompts: of the pairs.
    """
    from scipy import stats

    parts, mean = _parts(values, prompts), float(values.mean())
    if parts is None:
        return MeanRecord(value=mean, low=None, high=None)
    half, binary = parts.half(0.0), mean * (1 - mean)
    worth = parts.prompts  # where nothing varies, prompts say how sure that is
    if half**2 > 1e-12 * binary > 0:
        z = float(stats.norm.ppf(0.5 + LEVEL / 2))
        worth = min(binary * z**2 / half**2, values.shape[1])
    found = wilson(mean * worth, worth)
    return MeanRecord(value=mean, low=found.low, high=found.high)


class _Parts(NamedTuple):
    """What a mean's variance is made of."""

    trainings: int
    prompts: float  # of equal size that would say as much: n² / Σ n_g²
    by_training: float
    by_prompt: float  # what is left of it without both together

    def half(self, more: float) -> float:
        """Half the interval; `more` is added to the variance between prompts."""
        from scipy import stats

        t_s, t_g = (float(stats.t.ppf(0.5 + LEVEL / 2, count - 1)) for count in (self.trainings, self.prompts))
        return float((t_s**2 * self.by_training + t_g**2 * (self.by_prompt + more)) ** 0.5)


def _parts(values: Floats, prompts: Sequence[str]) -> _Parts | None:
    _, place, sizes = np.unique(np.asarray(prompts), return_inverse=True, return_counts=True)
    (trainings, pairs), groups = values.shape, len(sizes)
    if trainings < 2 or groups < 2:
        return None
    off = values - values.mean()
    # (trainings, prompts): how far the training's mean would go without the prompt, as in `clustered`.
    shifts = np.stack([np.bincount(place, row) for row in off]) / (pairs - sizes)
    both = shifts - shifts.mean(0) - shifts.mean(1, keepdims=True) + shifts.mean()
    together = float(np.square(both).sum()) / (trainings * (trainings - 1)) * (groups - 1) / groups
    of_prompts = float(np.square(shifts.mean(0)).sum()) * (groups - 1) / groups
    return _Parts(
        trainings,
        pairs**2 / float(np.square(sizes).sum()),
        float(off.mean(1).var(ddof=1)) / trainings,
        max(of_prompts - together, 0.0),
    )


def _around(mean: float, half: float | None) -> MeanRecord:
    if half is None:
        return MeanRecord(value=mean, low=None, high=None)
    return MeanRecord(value=mean, low=mean - half, high=mean + half)
