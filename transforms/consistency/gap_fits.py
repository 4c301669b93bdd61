"""Shapes of gaps fitted by folds, and whether they foretell wins better than counting does.

Each pair is judged by a fit that did not see its fold: what its own gaps say and what is foretold of it stay apart.
A shape that does not fit (two modes, say, where most completions lose by a little and a few win by much) is noticed by
what it foretells: every gap's sign from those before it, held out, against what counting foretells from the same.
Counting decides unless gaps do better by half a standard error of the difference.
"""

from typing import Final, NamedTuple

import numpy as np

from transforms.consistency.beliefs import Beliefs
from transforms.consistency.proxy import FOLDS, MIN_AUDIT
from transforms.consistency.reward_gaps import GapBeliefs, Gaps, Shape, believe, fit_shape, foresight, log_score
from transforms.statistics.intervals import Floats, Ints

# Standard errors by which gaps must do better. In simulations of 200 pairs with two to eight completions, one standard
# error refused four in ten fits of the right shape, none took two in ten of a shape with two modes.
_SURE: Final = 0.5
_TO_FIT: Final = 1000  # pairs: a dozen numbers are known well enough from them, and a fit of 4,000 takes seconds
_TO_COMPARE: Final = 1000  # pairs, of which a sign is foretold after every gap before it


class GapFits(NamedTuple):
    """What gaps taught so far."""

    trusted: bool  # whether they decide; else wins are counted
    why: str
    gain: float  # log-likelihood of wins over counting's, held out, nats a comparison
    shapes: tuple[Shape, ...]  # of each fold, from the others
    fold: Ints  # (pairs,), of all pairs of the run
    threshold: float
    by_margin: bool  # whether margins foretell places

    def believe(self, rows: Ints, gaps: Gaps) -> GapBeliefs:
        """The posterior of some pairs, whose gaps are given in the same order."""
        folds = [np.flatnonzero(self.fold[rows] == number) for number in range(len(self.shapes))]
        parts = [
            believe(shape, gaps.of(mine), threshold=self.threshold)
            for shape, mine in zip(self.shapes, folds, strict=True)
        ]
        back = np.argsort(np.concatenate(folds), kind="stable")
        kinds = np.concatenate([part.kind + len(part.edges) * number for number, part in enumerate(parts)])
        return GapBeliefs(
            np.concatenate([part.weight for part in parts])[back],
            np.concatenate([part.edges for part in parts]),
            kinds[back],
            np.concatenate([part.information for part in parts])[back],
        )


def fit_gaps(
    gaps: Gaps,
    rows: Ints,
    fold: Ints,
    *,
    threshold: float,
    counting: Beliefs,
    by_margin: bool,
    before: GapFits | None = None,
) -> GapFits:
    """Fit, and compare with counting.

    Args:
        gaps: of pairs with completions.
        rows: their places in the run.
        fold: (pairs,) of the run, equal for pairs of one prompt.
        threshold: τ.
        counting: of `rows`, what counting believes of them before their completions, held out.
        by_margin: whether `gaps` hold the margins.
        before: fits to fewer completions, to begin with.
    """
    mine = fold[rows]
    several = (~np.isnan(gaps.values)).sum(axis=1) > 1
    if why := _too_few(mine[several]):
        return GapFits(False, f"wins are counted: {why}", 0.0, (), fold, threshold, by_margin)
    some = np.zeros(len(mine), bool)
    some[np.linspace(0, len(mine) - 1, min(len(mine), _TO_FIT)).astype(np.int64)] = True
    shapes = tuple(
        fit_shape(
            gaps.of(some & (mine != held_out)),
            threshold=threshold,
            start=before.shapes[held_out] if before and before.shapes else None,
        )
        for held_out in range(FOLDS)
    )
    compared = np.flatnonzero(several)[:_TO_COMPARE]
    by_gaps = np.full((len(compared), gaps.values.shape[1]), np.nan)
    for held_out, shape in enumerate(shapes):
        those = mine[compared] == held_out
        by_gaps[those] = foresight(shape, gaps.of(compared[those]), threshold=threshold)
    # Sums, not means, of each pair: when a pair's sampling ends depends on its completions, and means of pairs that
    # ended early, because theirs agreed, favour whoever was surest of it. A sum of predictions made beforehand is fair.
    better = by_gaps - _by_counting(gaps.values[compared], counting.of(compared))
    sums, counts = np.nansum(better, axis=1), (~np.isnan(better)).sum(axis=1)
    gain = float(sums.sum() / counts.sum())
    error = float(np.sqrt(((sums - gain * counts) ** 2).sum()) / counts.sum())
    # What was trusted is trusted on as long as it is no worse: each change of mind reopens verdicts.
    trusted = bool(gain > (0.0 if before and before.trusted else _SURE * error))
    measured = f"{gain:+.3f} ± {error:.3f} nats a comparison, held out"
    why = (
        f"reward gaps foretell wins better than counts: {measured}"
        if trusted
        else f"wins are counted: reward gaps do not foretell them surely better, {measured}"
    )
    return GapFits(trusted, why, gain, shapes, fold, threshold, by_margin)


def _too_few(fold: Ints) -> str:
    """Why pairs with two completions cannot be fitted with each fold held out; empty where they can."""
    count = len(fold)
    if count < MIN_AUDIT:
        return f"{count} pairs with two completions or more are too few to tell how gaps vary (at least {MIN_AUDIT})"
    left = count - int(np.bincount(fold).max())
    if left < MIN_AUDIT // 2:
        return f"pairs are of too few prompts: {left} of {count} with two completions are left when a fold is held out"
    return ""


def _by_counting(values: Floats, beliefs: Beliefs) -> Floats:
    """As transforms.consistency.reward_gaps.foresight, from the signs alone."""
    scores = np.full(values.shape, np.nan)
    won = np.where(np.isnan(values), 0.0, np.heaviside(values, 0.5))
    for number in range(values.shape[1]):
        has = ~np.isnan(values[:, number])
        if not has.any():
            break
        seen = np.full(int(has.sum()), number)
        chance = beliefs.of(has).after(won[has, :number].sum(axis=1), seen).mean()
        scores[has, number] = log_score(won[has, number], chance)
    return scores
