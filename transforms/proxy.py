"""The reward margin of the full responses as a stand-in for sampling (POET, arXiv 2506.09457, appendix A).

A pair's consistency is Beta(κμ, κ(1 − μ)) around a mean that the margin m and the share of tokens cut s foretell:

    logit μ = a + m · (b + c · (1 − s)),  b, c ≥ 0,

so μ rises with the margin, and the more is cut the less the margin says. It is fitted to the completions of audit
pairs by the Beta-binomial likelihood and used as every pair's prior: where that alone is sure, nothing is sampled.

Each pair is judged by a fit that did not see its fold, so the audit pairs' own completions measure what the proxy
gets wrong where it decides (held out), and the predictions stay independent of the outcomes they are compared with.
"""

from typing import Final, NamedTuple

import numpy as np
from scipy import optimize, special, stats

from transforms.consistency import Bools, Floats, Ints, probability_above, wilson
from transforms.estimates import mean_rate
from transforms.manifest import CalibrationPoint, ShareRecord

FOLDS: Final = 5
MIN_AUDIT: Final = 20  # fewer cannot tell a useful margin from a useless one
_POINTS: Final = 8
_STRANGERS: Final = np.linspace(0, 0.5, 101)  # shares of pairs that a prior may know nothing of
_RIDGE: Final = 0.01  # keeps a separable audit from infinite slopes; worth one hundredth of a nat at |b| = √2


class Fit(NamedTuple):
    """Parameters of the calibration; margins are divided by `scale` first."""

    a: float
    b: float
    c: float
    kappa: float
    scale: float

    def mean(self, margin: Floats, share_cut: Floats) -> Floats:
        """P(a completion is consistent), elementwise."""
        found: Floats = special.expit(self.a + margin / self.scale * (self.b + self.c * (1 - share_cut)))
        return found


class Proxy(NamedTuple):
    """What the proxy says of every pair, each by a fit that did not see the pair's fold."""

    informative: bool
    why: str
    gain: float  # held-out log-likelihood over the constant rate, nats a pair
    expected: Floats  # (pairs,), P(a completion is consistent)
    prior: Floats  # (pairs, 2)
    sure: float  # decide without sampling where the prior is at least this sure; above 1: nowhere


def fit_calibration(margin: Floats, share_cut: Floats, wins: Floats, n: Ints, *, slope: bool = True) -> Fit:
    """Maximum of the Beta-binomial likelihood.

    Args:
        margin: (audit,), reward margin towards the reference.
        share_cut: (audit,), in [0, 1].
        wins: (audit,), consistent comparisons; may hold halves.
        n: (audit,), comparisons.
        slope: False fits the constant rate that the margin must beat.
    """
    scale = float(np.median(np.abs(margin))) or 1.0
    x = margin / scale

    def loss(parameters: Floats) -> float:
        a, b, c, log_kappa = parameters
        mean = special.expit(a + x * (b + c * (1 - share_cut)))
        fit = float(_log_likelihood(mean, float(np.exp(log_kappa)), wins, n).sum())
        return float(_RIDGE * (b * b + c * c) / 2 - fit)

    top = 20.0 if slope else 0.0
    bounds = [(-6.0, 6.0), (0.0, top), (0.0, top), (np.log(0.2), np.log(50.0))]
    rate = float(np.clip(wins.sum() / n.sum(), 0.02, 0.98))
    start = np.array([special.logit(rate), min(top, 0.5), min(top, 0.5), 0.7])
    found = optimize.minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
    return Fit(float(found[0]), float(found[1]), float(found[2]), float(np.exp(found[3])), scale)


def fit_proxy(
    margin: Floats,
    share_cut: Floats,
    fold: Ints,
    audit: Ints,
    wins: Floats,
    n: Ints,
    *,
    threshold: float,
    accepted_error: float,
    fallback: tuple[float, float],
) -> Proxy:
    """Calibrate, test whether the margin says anything, and find how sure it must be to decide alone.

    Args:
        margin: (pairs,), reward margin towards the reference.
        share_cut: (pairs,).
        fold: (pairs,), 0 … FOLDS − 1, equal for pairs of one prompt.
        audit: rows of the audit pairs.
        wins: (audit,), consistent comparisons of each.
        n: (audit,), comparisons of each.
        threshold: τ.
        accepted_error: share of wrong verdicts that the user takes among pairs that are not sampled.
        fallback: the recipe's own prior, for every pair where the audit is too small to say anything. Where only
            the margin says nothing, the prior is what the audit says of all pairs alike.
    """
    count = len(margin)
    flat = np.tile(np.asarray(fallback, float), (count, 1))
    if why := _too_few(fold[audit]):
        return Proxy(False, why, 0.0, np.full(count, np.nan), flat, np.inf)
    expected, prior, gain = np.empty(count), np.empty((count, 2)), np.empty(len(audit))
    for held_out in range(FOLDS):
        seen, mine = fold[audit] != held_out, fold == held_out
        chosen = audit[seen]
        facts = margin[chosen], share_cut[chosen], wins[seen], n[seen]
        calibrated, constant = fit_calibration(*facts), fit_calibration(*facts, slope=False)
        expected[mine] = calibrated.mean(margin[mine], share_cut[mine])
        prior[mine] = calibrated.kappa * np.stack([expected[mine], 1 - expected[mine]], axis=1)
        flat[mine] = _constant_prior(wins[seen], n[seen])
        rest = audit[~seen]
        ours = _log_likelihood(expected[rest], calibrated.kappa, wins[~seen], n[~seen])
        theirs = _log_likelihood(constant.mean(margin[rest], share_cut[rest]), constant.kappa, wins[~seen], n[~seen])
        gain[~seen] = ours - theirs
    mean, low = float(gain.mean()), _lower_bound(gain)
    if not low > 0:
        why = (
            f"the reward margin foretells nothing: its held-out log-likelihood is {mean:+.3f} nats a pair over the "
            f"constant rate, 95 % sure to be above {low:+.3f}; every cut pair is sampled, from the audit's own rate"
        )
        return Proxy(False, why, mean, expected, flat, np.inf)
    sure = _surety(prior, audit, wins, n, threshold=threshold, accepted_error=accepted_error)
    why = f"the reward margin foretells consistency: {mean:+.3f} nats a pair over the constant rate, held out"
    if sure > 1:
        why += f"; nowhere surely enough for an error of {accepted_error:.1%}, so it decides no pair alone"
    return Proxy(True, why, mean, expected, np.maximum(prior, 1e-3), sure)


def certainty(prior: Floats, threshold: float) -> Floats:
    """max(P(c ≥ τ), P(c < τ)) under each pair's prior, (pairs,)."""
    above = probability_above(prior[:, 0], prior[:, 1], threshold)
    return np.maximum(above, 1 - above)


def wrong_chance(prior: Floats, wins: Floats, n: Ints, threshold: float) -> Floats:
    """How likely the verdict of the prior alone is wrong, given the completions that it did not see, (pairs,).

    A share of the pairs, that of greatest likelihood, may be none of the prior's kind: of them nothing was known
    (Jeffreys). Without it a prior that is too sure of itself explains its own mistakes away.
    """
    keeps = probability_above(prior[:, 0], prior[:, 1], threshold) >= 0.5

    def explained(by: Floats) -> tuple[Floats, Floats]:
        a, b = by[:, 0] + wins, by[:, 1] + n - wins
        above = probability_above(a, b, threshold)
        likelihood = np.exp(special.betaln(a, b) - special.betaln(by[:, 0], by[:, 1]))
        return likelihood, np.where(keeps, 1 - above, above)

    (likely, wrong), (otherwise, wrong_otherwise) = explained(prior), explained(np.full(prior.shape, 0.5))
    fits = [np.log((1 - share) * likely + share * otherwise).sum() for share in _STRANGERS]
    share = float(_STRANGERS[int(np.argmax(fits))])
    stranger = share * otherwise / ((1 - share) * likely + share * otherwise)
    return stranger * wrong_otherwise + (1 - stranger) * wrong


def held_out_error(keeps: Bools, kept_by_sampling: Bools) -> ShareRecord:
    """Share of audit pairs that the proxy would have decided otherwise than their completions did."""
    wrong, count = int((keeps != kept_by_sampling).sum()), len(keeps)
    rate = wilson(wrong, count)
    return ShareRecord(value=rate.value, low=rate.low, high=rate.high, count=count)


def calibration(expected: Floats, margin: Floats, shares: Floats) -> list[CalibrationPoint]:
    """Predicted against observed consistency of audit pairs, in bins of equal size by prediction."""
    order = np.argsort(expected, kind="stable")
    points = []
    for rows in np.array_split(order, min(_POINTS, max(1, len(order) // 5))):
        rate = mean_rate(shares[rows])
        points.append(
            CalibrationPoint(
                predicted=float(expected[rows].mean()),
                observed=ShareRecord(value=rate.value, low=rate.low, high=rate.high, count=len(rows)),
                margin=float(margin[rows].mean()),
            )
        )
    return points


def _constant_prior(wins: Floats, n: Ints) -> Floats:
    """Beta parameters of pairs of which only the audit's rate is known, (2,).

    One inconsistent completion is added to the audit, so that an audit without any does not call them impossible.
    """
    nowhere = np.zeros(len(n) + 1)
    fit = fit_calibration(nowhere, nowhere, np.append(wins, 0.0), np.append(n, 1), slope=False)
    mean = float(special.expit(fit.a))
    return fit.kappa * np.array([mean, 1 - mean])


def _surety(prior: Floats, audit: Ints, wins: Floats, n: Ints, *, threshold: float, accepted_error: float) -> float:
    """The least certainty at which the audit pairs' expected error stays below the accepted one.

    One wrong verdict more is added to them, so that no handful of audit pairs without an error can vouch for a rule:
    for an error of 5 % it takes nineteen.
    """
    sureness = certainty(prior[audit], threshold)
    wrong = wrong_chance(prior[audit], wins, n, threshold)
    order = np.argsort(-sureness, kind="stable")
    counts = np.arange(1, len(order) + 1)
    error = (np.cumsum(wrong[order]) + 1) / (counts + 1)
    last = np.append(sureness[order][1:] < sureness[order][:-1], True)  # equally sure pairs are skipped together
    fine = last & (error <= accepted_error) & (sureness[order] >= 1 - accepted_error)
    return float(sureness[order][np.flatnonzero(fine)[-1]]) if fine.any() else np.inf


def _too_few(fold: Ints) -> str:
    """Why the audit cannot be fitted with each of its folds held out; empty where it can."""
    count = len(fold)
    if count < MIN_AUDIT:
        return f"{count} audit pairs are too few to tell what the reward margin says (at least {MIN_AUDIT})"
    left = count - int(np.bincount(fold).max())
    if left < MIN_AUDIT // 2:
        return f"the audit pairs are of too few prompts: {left} of {count} are left when one fold is held out"
    return ""


def _log_likelihood(mean: Floats, kappa: float, wins: Floats, n: Ints) -> Floats:
    """Of each pair's comparisons, without the binomial coefficient; halves are allowed."""
    a, b = np.maximum(kappa * mean, 1e-6), np.maximum(kappa * (1 - mean), 1e-6)
    found: Floats = special.betaln(a + wins, b + n - wins) - special.betaln(a, b)
    return found


def _lower_bound(gain: Floats) -> float:
    """One-sided 95 % bound of a mean (Student's t over pairs)."""
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    return float(gain.mean() - stats.t.ppf(0.95, len(gain) - 1) * error)
