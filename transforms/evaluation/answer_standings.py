"""From what trained models wrote to the same prompts to a standing of each variant at each budget."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from transforms.evaluation.standings import verdict
from transforms.pairing.win_rate import Comparisons, length_controlled_of
from transforms.records.comparison import AnswersDifference, AnswersStanding, Budget
from transforms.statistics.intervals import Floats, Ints, MeanRecord
from transforms.statistics.two_way import two_way_difference, two_way_mean, two_way_share


class AnswersTrial(NamedTuple):
    """A training that came to an end, and its answers against those of the model that it started from."""

    variant: str
    seed: int
    budgets: tuple[Budget, ...]
    compared: Comparisons
    characters: float
    ended: float


class _Rates(NamedTuple):
    """What each prompt gives to a training's win rate, (prompts,)."""

    plain: Floats
    equal: Floats | None  # at equal length; None where it cannot be fitted
    not_fitted: str | None


def common_prompts(trials: Sequence[AnswersTrial]) -> Ints:
    """Prompts that every training's answers could be compared to, so that all are held against the same ones."""
    found = trials[0].compared.prompts
    for trial in trials[1:]:
        found = np.intersect1d(found, trial.compared.prompts)
    return found


def answer_standings(
    variants: Sequence[str], budgets: Sequence[Budget], trials: Sequence[AnswersTrial], prompts: Ints
) -> list[AnswersStanding]:
    """A standing of each variant with answers, budget by budget, in the order of `variants`.

    The rate at equal length is fitted to each training by itself; its interval is that of the prompts' jackknife
    pseudo-values over trainings and prompts.

    Args:
        variants: the first is what others are held against.
        budgets: to report.
        trials: with answers to all of `prompts`.
        prompts: as `common_prompts` has them, at least one.
    """
    names = [str(one) for one in prompts.tolist()]
    rates = {(one.variant, one.seed, one.budgets): _rates(one.compared.of(prompts)) for one in trials}
    found = []
    for budget in budgets:
        mine = {
            variant: {one.seed: one for one in trials if one.variant == variant and budget in one.budgets}
            for variant in variants
        }
        first = mine[variants[0]]
        for variant, of in mine.items():
            if not of:
                continue
            each = [rates[one.variant, one.seed, one.budgets] for one in of.values()]
            why = next((one.not_fitted for one in each if one.not_fitted), None)
            difference = None if variant == variants[0] else _difference(of, first, rates, names)
            found.append(
                AnswersStanding(
                    budget=budget,
                    variant=variant,
                    trainings=len(of),
                    rate=two_way_share(np.stack([one.plain for one in each]), names),
                    at_equal_length=None if why else _within(two_way_mean(_equal(each), names), 0.0),
                    not_fitted=why,
                    characters=float(np.mean([one.characters for one in of.values()])),
                    ended=float(np.mean([one.ended for one in of.values()])),
                    difference=difference,
                )
            )
    return found


def _difference(
    mine: Mapping[int, AnswersTrial],
    first: Mapping[int, AnswersTrial],
    rates: Mapping[tuple[str, int, tuple[Budget, ...]], _Rates],
    names: Sequence[str],
) -> AnswersDifference | None:
    """By prompt and seed; None where no seed is on both sides."""
    pairs = [
        (rates[one.variant, seed, one.budgets], rates[other.variant, seed, other.budgets])
        for seed, one in mine.items()
        if (other := first.get(seed))
    ]
    if not pairs:
        return None
    rate = two_way_difference(np.stack([one.plain - other.plain for one, other in pairs]), names)
    equal = None
    if all(side.equal is not None for pair in pairs for side in pair):
        ours, theirs = (_equal([pair[side] for pair in pairs]) for side in (0, 1))
        equal = _within(two_way_mean(ours - theirs, names), -1.0)
    return AnswersDifference(trainings=len(pairs), rate=rate, at_equal_length=equal, verdict=verdict(rate))


def _rates(compared: Comparisons) -> _Rates:
    equal = length_controlled_of(compared)
    return _Rates(compared.shares, equal.shares, equal.not_fitted)


def _equal(rates: Sequence[_Rates]) -> Floats:
    return np.stack([one.equal for one in rates if one.equal is not None])


def _within(mean: MeanRecord, least: float) -> MeanRecord:
    """Pseudo-values may lie beyond what a rate can be; their mean and its interval may not."""
    value, low, high = (None if one is None else min(max(one, least), 1.0) for one in (mean.value, mean.low, mean.high))
    return MeanRecord(value=value or 0.0, low=low, high=high)
