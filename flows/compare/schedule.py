"""Which trainings a comparison takes: at equal steps, and at equal tokens, which for the first variant are the same."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from flows.compare.plan import ComparisonPlan, Variant
from flows.train.examples import TrainingExamples
from flows.train.learner import find_learner
from flows.train.plan import plan_training
from trainers.steps.arguments import training_order
from trainers.steps.budgets import Lengths, Reached, steps_for, steps_order, tokens_seen
from trainers.steps.settings import Optimisation
from transforms.errors import ConfigError, CurationError
from transforms.records.comparison import Budget, VariantRecord


class Planned(NamedTuple):
    """One training."""

    variant: Variant
    seed: int
    steps: int
    tokens: int  # that its steps see
    passes: float
    budgets: tuple[Budget, ...]

    @property
    def key(self) -> str:
        """Its folder's name."""
        return f"{self.variant.slug}-{self.steps}-steps-seed-{self.seed}"


class Schedule(NamedTuple):
    """All trainings, seed by seed, so that a comparison which is stopped has whole rounds of all variants."""

    trainings: list[Planned]
    variants: list[VariantRecord]


def schedule(plan: ComparisonPlan) -> Schedule:
    """Read every variant's pairs and count what its steps will see. A variant that cannot be read is left out, named.

    Raises:
        CurationError: the first variant cannot be read, so there is nothing to hold the others against.
    """
    lengths: dict[Variant, Lengths] = {}
    records = []
    for variant in plan.variants:
        try:
            lengths[variant] = _lengths(plan, variant)
        except CurationError as error:
            if not lengths:
                raise
            records.append(_record(variant, None, str(error)))
        else:
            records.append(_record(variant, lengths[variant], None))
    settings, first = plan.base.stepwise, lengths[plan.variants[0]]
    steps = training_order(settings, len(first)).steps
    seeds = range(settings.seed, settings.seed + plan.config.seeds)
    trainings = [one for seed in seeds for one in _of_seed(lengths, settings, steps, seed, plan.config.budgets)]
    return Schedule(trainings, records)


def _of_seed(
    lengths: dict[Variant, Lengths], settings: Optimisation, steps: int, seed: int, budgets: Sequence[Budget]
) -> list[Planned]:
    settings = settings.model_copy(update={"seed": seed})
    target: int | None = None
    found = []
    for variant, tokens in lengths.items():
        at_steps = Reached(steps, tokens_seen(tokens, steps_order(settings, steps, len(tokens))))
        target = at_steps.tokens if target is None else target  # the first variant's
        asked: dict[Reached, list[Budget]] = {}
        for budget in budgets:
            reached = at_steps if budget == "steps" else steps_for(target, tokens, settings)
            asked.setdefault(reached, []).append(budget)
        for reached, stands_for in asked.items():
            passes = reached.steps * settings.pairs_per_step / len(tokens)
            found.append(Planned(variant, seed, *reached, passes, tuple(stands_for)))
    return found


def _lengths(plan: ComparisonPlan, variant: Variant) -> Lengths:
    """Tokens of each training example: its prompt once, and what is kept of its responses."""
    training = plan_training(plan.recipe(variant, seed=0, steps=1, name=variant.slug))
    data = TrainingExamples(training, find_learner(training))
    data.read()
    if "train" not in data.by_split:
        message = f"{plan.base.dataset.path} has no pairs to train on for {variant.name}, held-out prompts left out"
        raise ConfigError(message)
    return np.array([len(example.prompt) + example.kept_tokens for example in data.by_split["train"]], np.int64)


def _record(variant: Variant, lengths: Lengths | None, error: str | None) -> VariantRecord:
    counts = (None, None) if lengths is None else (len(lengths), int(lengths.sum()))
    return VariantRecord(
        name=variant.name, pairs=variant.pairs, kept=variant.kept, examples=counts[0], tokens=counts[1], error=error
    )
