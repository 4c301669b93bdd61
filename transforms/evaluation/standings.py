"""From what trained models say of the same held-out pairs to a standing of each variant at each budget."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from transforms.errors import ModelError
from transforms.evaluation.accuracies import correct
from transforms.records.comparison import Budget, Difference, Standing, Verdict
from transforms.statistics.intervals import Floats, MeanRecord
from transforms.statistics.two_way import two_way_difference, two_way_mean, two_way_share


class PairScores(NamedTuple):
    """What a trained model says of each held-out pair, (pairs,) each."""

    margins: Floats  # score of chosen minus rejected; not finite where the model could not read the pair
    chosen: Floats | None  # change of log π(y|x)/|y|, nats; None for reward models
    rejected: Floats | None

    def of(self, rows: Sequence[int]) -> "PairScores":
        """Of some of the pairs."""
        sides = [None if side is None else side[rows] for side in (self.chosen, self.rejected)]
        return PairScores(self.margins[rows], *sides)


class Trial(NamedTuple):
    """A training that came to an end."""

    variant: str
    seed: int
    budgets: tuple[Budget, ...]
    steps: int
    tokens: int
    passes: float
    scores: PairScores


def readable(trials: Sequence[Trial]) -> list[int]:
    """Rows of the pairs that every model could read, so that all are held against the same ones.

    Raises:
        ModelError: there is none.
    """
    finite: list[int] = np.flatnonzero(np.isfinite([trial.scores.margins for trial in trials]).all(axis=0)).tolist()
    if not finite:
        message = f"no held-out pair could be read by all {len(trials)} trained models, so they cannot be compared"
        raise ModelError(message)
    return finite


def standings(
    variants: Sequence[str], budgets: Sequence[Budget], trials: Sequence[Trial], prompts: Sequence[str]
) -> list[Standing]:
    """A standing of each variant with a finished training, budget by budget, in the order of `variants`.

    Args:
        variants: the first is what others are held against.
        budgets: to report.
        trials: with scores of the same pairs, all finite.
        prompts: of the pairs.
    """
    found = []
    for budget in budgets:
        first = _of(trials, variants[0], budget)
        for variant in variants:
            mine = _of(trials, variant, budget)
            if mine:
                difference = None if variant == variants[0] else _difference(mine, first, prompts)
                found.append(_standing(budget, mine, difference, prompts))
    return found


def verdict(accuracy: MeanRecord) -> Verdict:
    """What the interval of a difference in accuracy allows to say."""
    if accuracy.low is None or accuracy.high is None:
        return "unclear"
    return "higher" if accuracy.low > 0 else "lower" if accuracy.high < 0 else "unclear"


def _of(trials: Sequence[Trial], variant: str, budget: Budget) -> list[Trial]:
    return [trial for trial in trials if trial.variant == variant and budget in trial.budgets]


def _standing(budget: Budget, mine: list[Trial], difference: Difference | None, prompts: Sequence[str]) -> Standing:
    margins = np.stack([trial.scores.margins for trial in mine])
    return Standing(
        budget=budget,
        variant=mine[0].variant,
        trainings=len(mine),
        steps=float(np.mean([trial.steps for trial in mine])),
        tokens=float(np.mean([trial.tokens for trial in mine])),
        passes=float(np.mean([trial.passes for trial in mine])),
        accuracy=two_way_share(correct(margins), prompts),
        margin=two_way_mean(margins, prompts),
        chosen=_mean([trial.scores.chosen for trial in mine], prompts),
        rejected=_mean([trial.scores.rejected for trial in mine], prompts),
        difference=difference,
    )


def _difference(mine: list[Trial], first: list[Trial], prompts: Sequence[str]) -> Difference | None:
    """By pair and seed; None where no seed is on both sides."""
    partners = {trial.seed: trial for trial in first}
    pairs = [(trial.scores, partners[trial.seed].scores) for trial in mine if trial.seed in partners]
    if not pairs:
        return None
    accuracy = two_way_difference(
        np.stack([correct(one.margins) - correct(other.margins) for one, other in pairs]), prompts
    )
    moved = [None if one.chosen is None or other.chosen is None else one.chosen - other.chosen for one, other in pairs]
    return Difference(
        trainings=len(pairs),
        accuracy=accuracy,
        margin=two_way_mean(np.stack([one.margins - other.margins for one, other in pairs]), prompts),
        chosen=_mean(moved, prompts),
        verdict=verdict(accuracy),
    )


def _mean(values: Sequence[Floats | None], prompts: Sequence[str]) -> MeanRecord | None:
    known = [value for value in values if value is not None]
    return two_way_mean(np.stack(known), prompts) if len(known) == len(values) else None
