"""A reward model whose head alone is trained: one reading of every response, then a convex fit."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import torch

from flows.runtime.progress import Progress
from flows.train.output import METRICS, MODEL
from flows.train.plan import TrainingPlan
from flows.train.record import Outcome, StepsRecord
from trainers.reading.examples import Example, pair_tokens
from trainers.rewards.comparisons import margins_of
from trainers.rewards.fit import RewardTrainConfig, fit_reward_model
from trainers.steps.settings import BradleyTerry, HeadOnly

# A head of zeros, which is where the fit begins.
_BEFORE: Final = {"accuracy": 0.5, "margin": 0.0}


def fit_head_alone(
    plan: TrainingPlan, head: HeadOnly, examples: Mapping[str, Sequence[Example]], work: Path, progress: Progress
) -> Outcome:
    """Fit, measure and write the reward model to `work`.

    Args:
        plan: the recipe with everything found.
        head: penalties and folds.
        examples: by split.
        work: where model and metrics go.
        progress: shows what is read.
    """
    terms = plan.recipe.reward or BradleyTerry()
    pairs = {split: pair_tokens(some, margins_of(some, terms)) for split, some in examples.items()}
    train = pairs.pop("train")
    total = sum(part.tokens for part in (train, *pairs.values()))
    with progress.bar("read", unit="tokens", total=total) as advance:
        read = _Read()
        fitted = fit_reward_model(
            train,
            policy=plan.model.location,
            revision=plan.model.revision,
            out=work / MODEL,
            config=RewardTrainConfig(
                head=head,
                centring=terms.centring,
                batch_tokens=plan.recipe.memory.batch_tokens,
                dtype=plan.recipe.memory.dtype,
            ),
            evaluation=pairs,
            progress=lambda stage, done, _: advance(read.more(stage, done)),
        )
    after = {"validation_accuracy": fitted.validation.accuracy, "validation_margin": fitted.validation.mean_margin}
    before = {f"validation_{name}": value for name, value in _BEFORE.items()}
    for found in fitted.evaluation.values():
        after |= {"eval_accuracy": found.accuracy, "eval_margin": found.mean_margin}
        before |= {f"eval_{name}": value for name, value in _BEFORE.items()}
    lines = [{"weight_decay": decay, "validation_loss": loss} for decay, loss in fitted.validation_losses.items()]
    with (work / METRICS).open("w", encoding="utf-8") as sink:
        sink.writelines(json.dumps(line) + "\n" for line in [*lines, {"weight_decay": fitted.weight_decay} | after])
    trained = StepsRecord(
        steps=0,
        examples=len(train.names),
        kept_tokens=sum(example.kept_tokens for example in examples["train"]),
        read_tokens=train.tokens,
        layout="padded",
    )
    return Outcome(trained, before, after, "cuda" if torch.cuda.is_available() else "cpu")


class _Read:
    """Tokens that were read since it was last asked, over all stages."""

    def __init__(self) -> None:
        self._stage, self._done = "", 0

    def more(self, stage: str, done: int) -> int:
        """How many more than before; `done` begins anew with every stage."""
        if stage != self._stage:
            self._stage, self._done = stage, 0
        new, self._done = done - self._done, done
        return new
