"""The reward margin of the full responses as a stand-in for sampling (POET, arXiv 2506.09457, appendix A).

A pair is believed to be of one of two kinds. With probability 1 − ε its consistency is Beta(κμ, κ(1 − μ)) around a mean
that the margin m and the share of tokens cut s foretell, otherwise it is a stranger's, of which nothing is known
(Jeffreys):

    logit μ = a + m · (b + c · (1 − s)) + g · v,   logit ε = d − f · (m − median m),   b, c, f, g ≥ 0,

so μ rises with the margin, the more is cut the less the margin says, and the larger it is the rarer are strangers. v is
the difference of the reward model's values at both cuts, where they were read (`proxy.values`), else nought. The
seven numbers are fitted to the completions of pairs that were sampled, by the mixture's likelihood, and are then every
pair's prior: where that alone is sure, nothing is sampled.

Each pair is judged by a fit that did not see its fold, so the audit pairs' own completions measure what the proxy
gets wrong where it decides (held out), and the predictions stay independent of the outcomes they are compared with.
"""

from typing import Final, NamedTuple

import numpy as np

from transforms.consistency.beliefs import Beliefs
from transforms.consistency.posteriors import Posterior
from transforms.records.manifest import CalibrationPoint, ShareRecord
from transforms.statistics.estimates import mean_rate
from transforms.statistics.intervals import Bools, Floats, Ints, wilson

FOLDS: Final = 5
MIN_AUDIT: Final = 20  # fewer cannot tell a useful margin from a useless one
_POINTS: Final = 8
_STRANGER: Final = (0.5, 0.5)
_RIDGE: Final = 0.01  # keeps a separable audit from infinite slopes; worth one hundredth of a nat at |b| = √2
_ONE_OF_EACH: Final = 1.0  # pairs of each kind added to the sample, so that no sample without strangers rules them out
_LEAST: Final = 1e-6  # of a Beta's parameters
_SOMETHING: Final = 1e-3  # nats a pair: equal margins gain what rounding gives, the same on every pair


class Fit(NamedTuple):
    """Parameters of the calibration; margins and values are divided by `scale` first."""

    a: float
    b: float
    c: float
    kappa: float
    d: float
    f: float
    centre: float
    scale: float
    g: float = 0.0

    def foretold(self, margin: Floats, share_cut: Floats, value_gap: Floats | float = 0.0) -> Floats:
        """μ of every pair."""
        from scipy import special

        by_margin = margin / self.scale * (self.b + self.c * (1 - share_cut))
        found: Floats = special.expit(self.a + by_margin + self.g * value_gap / self.scale)
        return found

    def beliefs(self, margin: Floats, share_cut: Floats, value_gap: Floats | float = 0.0) -> Beliefs:
        """What is believed of pairs of which no completion was seen."""
        from scipy import special

        mean = self.foretold(margin, share_cut, value_gap)
        shares, wins, losses = (np.empty((len(mean), 2)) for _ in range(3))
        shares[:, 1] = special.expit(self.d - self.f * (margin - self.centre) / self.scale)
        shares[:, 0] = 1 - shares[:, 1]
        wins[:, 0], losses[:, 0] = (np.maximum(self.kappa * part, _LEAST) for part in (mean, 1 - mean))
        wins[:, 1], losses[:, 1] = _STRANGER
        return Beliefs(shares, wins, losses)


class Proxy(NamedTuple):
    """What the proxy says of every pair, each by a fit that did not see the pair's fold."""

    informative: bool
    why: str
    gain: float  # held-out log-likelihood over the constant rate, nats a pair
    expected: Floats  # (pairs,), P(a completion is consistent)
    beliefs: Beliefs  # of every pair before its completions
    sure: float  # decide without sampling where the beliefs are at least this sure; above 1: nowhere
    signs: str = "the reward margin"  # what foretells, in words

    def sure_from(self, sure: float, accepted_error: float) -> "Proxy":
        """An informative one that decides alone where what is foretold is at least so sure, and says so."""
        why = f"{self.signs} foretells consistency: {self.gain:+.3f} nats a pair over the constant rate, held out"
        if sure > 1:
            why += f"; nowhere surely enough for an error of {accepted_error:.1%}, so it decides no pair alone"
        return self._replace(sure=sure, why=why)


class Sampled(NamedTuple):
    """Pairs with completions, in the places of a run's cut pairs."""

    rows: Ints  # (sampled,)
    wins: Floats  # (sampled,), consistent comparisons; may hold halves
    n: Ints  # (sampled,), comparisons
    audit: Bools  # (sampled,), whether drawn at random

    def of(self, mine: Bools) -> "Sampled":
        """Some of them."""
        return Sampled(self.rows[mine], self.wins[mine], self.n[mine], self.audit[mine])


def fit_calibration(
    margin: Floats,
    share_cut: Floats,
    wins: Floats,
    n: Ints,
    *,
    slope: bool = True,
    value_gap: Floats | None = None,
) -> Fit:
    """Maximum of the mixture's likelihood, lightly penalised.

    Args:
        margin: (sampled,), reward margin towards the reference.
        share_cut: (sampled,), in [0, 1].
        wins: (sampled,), consistent comparisons; may hold halves.
        n: (sampled,), comparisons.
        slope: False fits the constant rate that the margin must beat.
        value_gap: (sampled,), towards the reference; None where no values were read.
    """
    from scipy import optimize, special

    values = np.zeros(len(margin)) if value_gap is None else value_gap

    scale = float(np.median(np.abs(margin))) or 1.0
    centre = float(np.median(margin))
    x, beyond, v = margin / scale, (margin - centre) / scale, values / scale
    inverse = 1 - share_cut
    of_strangers = Beliefs.alike(len(wins), *_STRANGER).log_likelihood(wins, n)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        a, b, c, log_kappa, d, f, g = parameters
        mean, kappa = special.expit(a + x * (b + c * inverse) + g * v), np.exp(log_kappa)
        odds = d - f * beyond
        won, lost = np.maximum(kappa * mean, _LEAST), np.maximum(kappa * (1 - mean), _LEAST)
        of_kind = special.betaln(won + wins, lost + n - wins) - special.betaln(won, lost)
        likely = np.logaddexp(special.log_expit(-odds) + of_kind, special.log_expit(odds) + of_strangers)
        kind = np.exp(special.log_expit(-odds) + of_kind - likely)
        common = special.digamma(won + lost) - special.digamma(won + lost + n)
        by_won = kind * (special.digamma(won + wins) - special.digamma(won) + common)
        by_lost = kind * (special.digamma(lost + n - wins) - special.digamma(lost) + common)
        by_logit = kappa * mean * (1 - mean) * (by_won - by_lost)
        penalty = _RIDGE * (b * b + c * c + f * f + g * g) / 2
        penalty -= _ONE_OF_EACH * (special.log_expit(d) + special.log_expit(-d))
        by_strangers = 1 - kind - special.expit(odds)
        slopes = -np.array(
            [
                by_logit.sum(),
                (by_logit * x).sum() - _RIDGE * b,
                (by_logit * x * inverse).sum() - _RIDGE * c,
                kappa * (mean * by_won + (1 - mean) * by_lost).sum(),
                by_strangers.sum() + _ONE_OF_EACH * (1 - 2 * special.expit(d)),
                -(by_strangers * beyond).sum() - _RIDGE * f,
                (by_logit * v).sum() - _RIDGE * g,
            ]
        )
        return float(penalty - likely.sum()), slopes

    top = 20.0 if slope else 0.0
    of_values = top if v.any() else 0.0
    bounds = [(-6.0, 6.0), (0.0, top), (0.0, top), (np.log(0.2), np.log(50.0)), (-8.0, 0.0), (0.0, top)]
    bounds.append((0.0, of_values))
    rate = float(np.clip(wins.sum() / n.sum(), 0.02, 0.98))
    start = np.array([special.logit(rate), min(top, 0.5), min(top, 0.5), 0.7, -2.0, 0.0, min(of_values, 0.5)])
    a, b, c, log_kappa, d, f, g = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x.tolist()
    return Fit(a, b, c, float(np.exp(log_kappa)), d, f, centre, scale, g)


def fit_proxy(
    margin: Floats,
    share_cut: Floats,
    fold: Ints,
    sampled: Sampled,
    *,
    threshold: float,
    accepted_error: float,
    fallback: tuple[float, float],
    value_gap: Floats | None = None,
) -> Proxy:
    """Calibrate, test whether the margin says anything, and find how sure it must be to decide alone.

    Which pairs were sampled, and how often, may depend on everything seen before: their likelihood does not.

    Args:
        margin: (pairs,), reward margin towards the reference.
        share_cut: (pairs,).
        fold: (pairs,), 0 … FOLDS − 1, equal for pairs of one prompt.
        sampled: pairs with completions.
        threshold: τ.
        accepted_error: share of wrong verdicts that the user takes among pairs that are not sampled.
        fallback: the recipe's own prior, for every pair where too few were sampled to say anything. Where only the
            margin says nothing, the prior is what the sample says of all pairs alike.
        value_gap: (pairs,), difference of the values at both cuts, towards the reference; None where none were read.
    """
    count = len(margin)
    values = np.zeros(count) if value_gap is None else value_gap
    signs = "the reward margin" if value_gap is None else "the reward margin with the values at the cuts"
    flat = Beliefs.alike(count, *fallback)
    if why := _too_few(fold[sampled.rows]):
        return Proxy(False, why, 0.0, np.full(count, np.nan), flat, np.inf)
    calibrated, constant = flat, flat
    for held_out in range(FOLDS):
        seen, mine = sampled.of(fold[sampled.rows] != held_out), np.flatnonzero(fold == held_out)
        facts = margin[seen.rows], share_cut[seen.rows], seen.wins, seen.n
        for_mine = margin[mine], share_cut[mine], values[mine]
        calibrated = calibrated.replaced(mine, fit_calibration(*facts, value_gap=values[seen.rows]).beliefs(*for_mine))
        constant = constant.replaced(mine, fit_calibration(*facts, slope=False).beliefs(*for_mine))
    outcomes = sampled.wins, sampled.n
    gain = calibrated.of(sampled.rows).log_likelihood(*outcomes) - constant.of(sampled.rows).log_likelihood(*outcomes)
    mean, low = float(gain.mean()), _lower_bound(gain)
    if not low > _SOMETHING:
        why = (
            f"{signs} foretells nothing: its held-out log-likelihood is {mean:+.3f} nats a pair over the "
            f"constant rate, 95 % sure to be above {low:+.3f}; every cut pair is sampled, from the sample's own rate"
        )
        return Proxy(False, why, mean, calibrated.mean(), constant, np.inf)
    audit = sampled.of(sampled.audit)
    foretold = calibrated.of(audit.rows)
    after = foretold.after(audit.wins, audit.n)
    sure = surety(foretold, after, threshold=threshold, accepted_error=accepted_error)
    return Proxy(True, "", mean, calibrated.mean(), calibrated, np.inf, signs).sure_from(sure, accepted_error)


def held_out_error(wrong: Floats) -> ShareRecord:
    """Share of wrong verdicts that the proxy makes, from how likely each is wrong given completions it did not see.

    Args:
        wrong: (audit,), in [0, 1]. As fractions they vary less than verdicts do: the interval is on the safe side.
    """
    rate = wilson(float(wrong.sum()), len(wrong))
    return ShareRecord(value=rate.value, low=rate.low, high=rate.high, count=len(wrong))


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


def surety(before: Posterior, after: Posterior, *, threshold: float, accepted_error: float) -> float:
    """The least certainty at which the audit pairs' expected error stays below the accepted one.

    One wrong verdict more is added to them, so that no handful of audit pairs without an error can vouch for a rule:
    for an error of 5 % it takes nineteen.

    Args:
        before: what is believed of the audit pairs without their completions, held out.
        after: with them.
        threshold: τ.
        accepted_error: share of wrong verdicts that the user takes among pairs that are not sampled.
    """
    sureness, keeps = before.certainty(threshold), before.above(threshold) >= 0.5
    wrong = after.wrong(keeps, threshold)
    order = np.argsort(-sureness, kind="stable")
    counts = np.arange(1, len(order) + 1)
    error = (np.cumsum(wrong[order]) + 1) / (counts + 1)
    last = np.append(sureness[order][1:] < sureness[order][:-1], True)  # equally sure pairs are skipped together
    fine = last & (error <= accepted_error) & (sureness[order] >= 1 - accepted_error)
    return float(sureness[order][np.flatnonzero(fine)[-1]]) if fine.any() else np.inf


def _too_few(fold: Ints) -> str:
    """Why the sample cannot be fitted with each of its folds held out; empty where it can."""
    count = len(fold)
    if count < MIN_AUDIT:
        return f"{count} audit pairs are too few to tell what the reward margin says (at least {MIN_AUDIT})"
    left = count - int(np.bincount(fold).max())
    if left < MIN_AUDIT // 2:
        return f"the audit pairs are of too few prompts: {left} of {count} are left when one fold is held out"
    return ""


def _lower_bound(gain: Floats) -> float:
    """One-sided 95 % bound of a mean (Student's t over pairs)."""
    from scipy import stats

    error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    return float(gain.mean() - stats.t.ppf(0.95, len(gain) - 1) * error)
