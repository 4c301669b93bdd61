"""How often one policy's responses beat another's to the same held-out prompts; also at equal length.

The length-controlled win rate is that of AlpacaEval-LC (arXiv 2404.04475), fitted to two policies alone: P(A wins) =
σ(θ + φ tanh(Δ / sd Δ)) with Δ the difference in length (eq. 1), and the rate is σ(θ), where Δ is 0 (eq. 2). Left out
are eq. 1's difficulty of each instruction, which the authors fit on a leaderboard of models, and their penalties, which
hold a model to baselines that were made long and short on purpose. Lengths are tokens here and characters there.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from transforms.pairing.scored import checked, sums
from transforms.statistics.clustered import clustered_rate
from transforms.statistics.intervals import LEVEL, Floats, Ints, Rate

NotFitted = Literal["few_prompts", "separated", "one_difference"]
_SAME: Final = 1e-6  # tanh of differences that are all large for how they differ is 1, or all but 1
_STEPS: Final = 100  # Newton's; a fit of two numbers takes five to ten
_NO_SPREAD: Final = 1e-9  # of the variance that as many zeros and ones would have


@dataclass(frozen=True, slots=True)
class Samples:
    """A policy's responses to held-out prompts, one or several each, in any order; (N,) each.

    Args:
        prompt: which prompt each answers, in the numbering that both policies share.
        score: NaN where there is none.
        tokens: length of the response, in whatever both are counted in.

    Raises:
        SchemaError: another shape or type, or an infinite score.
    """

    prompt: Ints
    score: Floats
    tokens: Ints

    def __post_init__(self) -> None:
        shape = (len(self.prompt),)
        checked(self.prompt, "prompt", np.int64, shape)
        checked(self.score, "score", np.float64, shape)
        checked(self.tokens, "tokens", np.int64, shape)


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often A beats B."""

    rate: Rate  # (0, 0, 1) where no prompt counts
    prompts: int  # with a score of both
    left_out: int  # with responses, but without a score of one of them
    ties: float  # mean share of comparisons with equal scores, 0 for none


@dataclass(frozen=True, slots=True)
class LengthControlledWinRate:
    """How often A would beat B if their responses were equally long."""

    rate: Rate | None  # None where it cannot be fitted
    slope: float | None  # φ; above 0 where longer wins; None where nothing was or had to be fitted
    prompts: int
    extrapolated: bool  # no comparison was of equal length or longer, or none of equal length or shorter
    not_fitted: NotFitted | None
    # What each prompt gives to the rate: jackknife pseudo-values, which may lie outside [0, 1] and whose mean is the
    # rate but for a bias of the order 1/P; (P,). Means over several trainings are taken of these.
    shares: Floats | None


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Who won which comparison of a response of A with one of B to the same prompt; (C,) each."""

    prompt: Ints  # place in `prompts`
    wins: Floats  # 1, ½ or 0 of A
    longer: Ints  # by how much A's is longer
    prompts: Ints  # those with a comparison, in the numbering of both policies, ascending; (P,)
    there: int  # prompts with responses, comparable or not

    @property
    def weight(self) -> Floats:
        """1 / comparisons of the prompt."""
        found: Floats = 1 / np.bincount(self.prompt, minlength=len(self.prompts))[self.prompt]
        return found

    @property
    def shares(self) -> Floats:
        """Of each prompt's comparisons those that A wins, (P,)."""
        return np.clip(sums(self.prompt, self.wins * self.weight, len(self.prompts)), 0.0, 1.0)

    def of(self, prompts: Ints) -> "Comparisons":
        """Those of some of the prompts (in the policies' numbering, ascending)."""
        mine = np.flatnonzero(np.isin(self.prompts[self.prompt], prompts))
        there = np.intersect1d(self.prompts, prompts)
        place = np.searchsorted(there, self.prompts[self.prompt[mine]])
        return Comparisons(place, self.wins[mine], self.longer[mine], there, self.there)


def win_rate(ours: Samples, theirs: Samples) -> WinRate:
    """Mean over prompts of the share of all comparisons, every response of A with every one of B, that A wins.

    Ties count one half. A prompt counts once however often it was sampled. The interval is `clustered_rate`'s, over
    prompts: Wilson's where each has one comparison, so a policy that always wins has one too.
    """
    return win_rate_of(crossed(ours, theirs))


def win_rate_of(compared: Comparisons) -> WinRate:
    """The same of comparisons that were made already."""
    prompts = len(compared.prompts)
    rate = clustered_rate(compared.shares, [str(at) for at in range(prompts)])
    ties = float(compared.weight @ (compared.wins == 0.5)) / max(prompts, 1)
    return WinRate(rate, prompts, compared.there - prompts, ties)


def length_controlled_win_rate(ours: Samples, theirs: Samples) -> LengthControlledWinRate:
    """The win rate at equal length of all comparisons, every response of A with every one of B."""
    return length_controlled_of(crossed(ours, theirs))


def length_controlled_of(compared: Comparisons) -> LengthControlledWinRate:
    """σ(θ) of P(A wins) = σ(θ + φ tanh(Δ / sd Δ)) with a 95 % interval over prompts.

    The fit is by (quasi-)likelihood, each comparison weighing 1 / comparisons of its prompt and ties being half a win.
    sd Δ is as the authors' code has it, with n − 1 and n the number of prompts. θ's variance is the
    delete-one-prompt jackknife's after one step of Newton, its interval Student's t with prompts − 2 degrees of
    freedom, taken through σ. Where residuals have no spread (nothing but ties) the variance is that of zeros and ones.

    In simulations (12, 30, 100 and 300 prompts, rates of 0.38 to 0.82, A longer by up to 1.3 sd Δ on the mean, 1,000
    rounds each) 95 to 99 % of the intervals hold the rate.

    It cannot be fitted where fewer than three prompts count (`few_prompts`), where all differences in length are the
    same and not 0, or all but the same, with or without one of the prompts (`one_difference`), or where a difference
    in length parts wins from losses, also where A always or never wins (`separated`): the likelihood then has no
    maximum, and any number would be the optimiser's. Where no lengths differ at all, the win rate is the
    length-controlled one.
    """
    from scipy.special import expit

    prompts, apart, weight = len(compared.prompts), compared.longer.astype(np.float64), compared.weight
    if prompts and not apart.any():
        return LengthControlledWinRate(
            win_rate_of(compared).rate, None, prompts, extrapolated=False, not_fitted=None, shares=compared.shares
        )
    if prompts < 3:
        return _not_fitted("few_prompts", prompts)
    mean = weight @ apart / prompts
    spread = float(weight @ np.square(apart - mean)) / (prompts - 1)
    x = np.tanh(apart / spread**0.5) if apart.min() < apart.max() else np.ones_like(apart)
    if np.ptp(x) < _SAME:
        return _not_fitted("one_difference", prompts)
    won, lost = x[compared.wins > 0], x[compared.wins < 1]
    if not len(won) or not len(lost) or won.min() >= lost.max() or lost.min() >= won.max():
        return _not_fitted("separated", prompts)
    fit = _logistic(np.stack([np.ones_like(x), x], 1), compared)
    if not isinstance(fit, _Fit):
        return _not_fitted(fit, prompts)
    low, value, high = (float(expit(at)) for at in (fit.theta - fit.half, fit.theta, fit.theta + fit.half))
    outside = bool(apart.min() > 0 or apart.max() < 0)
    shares = prompts * value - (prompts - 1) * expit(fit.theta - fit.shifts)
    return LengthControlledWinRate(
        Rate(value, low, high), fit.slope, prompts, extrapolated=outside, not_fitted=None, shares=shares
    )


def _not_fitted(why: NotFitted, prompts: int) -> LengthControlledWinRate:
    return LengthControlledWinRate(None, None, prompts, extrapolated=False, not_fitted=why, shares=None)


def crossed(ours: Samples, theirs: Samples) -> Comparisons:
    """Every response of A with every one of B to the same prompt, where both have a score."""
    scored = [np.flatnonzero(~np.isnan(side.score)) for side in (ours, theirs)]
    both = np.intersect1d(ours.prompt[scored[0]], theirs.prompt[scored[1]])
    mine, yours = (rows[np.isin(side.prompt[rows], both)] for side, rows in zip((ours, theirs), scored, strict=True))
    yours = yours[np.argsort(theirs.prompt[yours], kind="stable")]
    at, other = np.searchsorted(both, ours.prompt[mine]), np.searchsorted(both, theirs.prompt[yours])
    sizes = np.bincount(other, minlength=len(both))
    starts = np.cumsum(sizes) - sizes
    times = sizes[at]  # each of A's meets all of B's to the prompt
    i = np.repeat(mine, times)
    within = np.arange(len(i)) - np.repeat(np.cumsum(times) - times, times)
    j = yours[np.repeat(starts[at], times) + within]
    return Comparisons(
        prompt=np.repeat(at, times),
        wins=np.heaviside(ours.score[i] - theirs.score[j], 0.5),
        longer=ours.tokens[i] - theirs.tokens[j],
        prompts=both,
        there=len(np.union1d(ours.prompt, theirs.prompt)),
    )


class _Fit(NamedTuple):
    theta: float
    slope: float
    half: float  # of the interval of θ
    shifts: Floats  # θ less what it would be without the prompt, (P,)


def _logistic(design: Floats, compared: Comparisons) -> _Fit | NotFitted:
    """Newton's method, halving steps that make it worse."""
    from scipy import stats
    from scipy.special import expit

    y, weight, prompts = compared.wins, compared.weight, len(compared.prompts)

    def loss(beta: Floats) -> float:
        at = design @ beta
        return float(weight @ (np.logaddexp(0.0, at) - y * at))

    beta = np.zeros(2)
    for _ in range(_STEPS):
        mean = expit(design @ beta)
        gradient = design.T @ (weight * (y - mean))
        try:
            step = np.linalg.solve((design.T * (weight * mean * (1 - mean))) @ design, gradient)
        except np.linalg.LinAlgError:  # chances of 0 and 1 but for rounding
            return "separated"
        size = 1.0
        while loss(beta + size * step) > loss(beta) * (1 + 1e-12) and size > 1e-6:
            size /= 2
        beta = beta + size * step
        if np.abs(step).max() < 1e-9 * max(1.0, float(np.abs(beta).max())):
            break
    else:
        return "separated"
    mean = expit(design @ beta)
    outer = design[:, :, None] * design[:, None, :] * (weight * mean * (1 - mean))[:, None, None]
    pulls = design * (weight * (y - mean))[:, None]
    of_prompt = np.zeros((prompts, 2, 2))
    pull = np.zeros((prompts, 2))
    np.add.at(of_prompt, compared.prompt, outer)
    np.add.at(pull, compared.prompt, pulls)
    information = of_prompt.sum(0)
    without = information - of_prompt
    if not (np.linalg.det(without) > 1e-9 * np.linalg.det(information)).all():
        return "one_difference"
    shifts = np.linalg.solve(without, pull[:, :, None])[:, 0, 0]
    variance = float(np.square(shifts).sum()) * (prompts - 1) / prompts
    binary = float(np.linalg.inv(information)[0, 0])
    if variance <= _NO_SPREAD * binary:
        variance = binary
    half = float(stats.t.ppf(0.5 + LEVEL / 2, prompts - 2)) * variance**0.5
    return _Fit(float(beta[0]), float(beta[1]), half, shifts)
