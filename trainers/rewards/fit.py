"""Fit the head of a Bradley–Terry reward model on token ids, the policy below it frozen (methods.md §5, last line).

features of all distinct sequences (bf16) → a bias-free linear head (fp32) → accuracies
→ a folder for AutoModelForSequenceClassification

Reward models whose other weights learn too go through trainers.rewards.comparisons and the step trainer.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, Field

from trainers.reading.pair_tokens import Ids, PairTokens, check_fits, read_pairs
from trainers.rewards.accuracy import Accuracy, Margins, accuracy, margins
from trainers.rewards.checkpoint import (
    PolicyCheckpoint,
    open_policy,
    padding_token,
    save_checkpoint,
    weights_sha256,
)
from trainers.rewards.features import Progress, no_progress, sequence_features
from trainers.rewards.head import HeadFit, check_finite, fit_head, folds_by_prompt
from trainers.steps.settings import HeadOnly
from transforms.errors import OutputError
from transforms.precision import Dtype

log = logging.getLogger(__name__)


class RewardTrainConfig(BaseModel):
    """How a reward head is trained.

    Attributes:
        head: penalties and folds.
        centring: λ of (r_w + r_l)². For policies whose rewards sit far from zero, where bf16 is coarse;
            `Accuracy.bf16_head` shows it. SmolLM2's do not: mean -0.2, standard deviation 3.6.
        batch_tokens: padded tokens per forward pass.
        dtype: of the policy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: HeadOnly = HeadOnly()
    centring: Annotated[float, Field(ge=0)] = 0.0
    batch_tokens: Annotated[int, Field(ge=1)] = 2048
    dtype: Dtype = "bfloat16"


@dataclass(frozen=True, slots=True)
class RewardTrainResult:
    """What was trained; the same facts lie in the folder's training.json.

    Attributes:
        folder: what AutoModelForSequenceClassification loads.
        weight_decay: the penalty that did best on held-out training prompts.
        validation_losses: their mean loss by weight decay.
        validation: training pairs by heads that were fitted without their prompts.
        validation_by_group: the same by the column `group`, where there is one.
        evaluation: the sets that were handed in, by name.
        train_tokens: of the distinct training sequences.
        seconds: of everything but the writing.
        data_sha256: of the training pairs, independent of their order.
    """

    folder: Path
    weight_decay: float
    validation_losses: dict[float, float]
    validation: Accuracy
    validation_by_group: dict[str, Accuracy]
    evaluation: dict[str, Accuracy]
    train_tokens: int
    seconds: float
    data_sha256: str


class _Learner(NamedTuple):
    """What every step needs."""

    checkpoint: PolicyCheckpoint
    config: RewardTrainConfig
    device: torch.device
    progress: Progress

    def features(self, sequences: Sequence[Ids], stage: str) -> torch.Tensor:
        """Last hidden states, (sequences, hidden), fp32, on the CPU."""
        return sequence_features(
            self.checkpoint.backbone,
            sequences,
            device=self.device,
            batch_tokens=self.config.batch_tokens,
            progress=self.progress,
            stage=stage,
        )


def train_reward_model(
    pairs: pa.Table,
    *,
    policy: Path,
    out: Path,
    config: RewardTrainConfig,
    evaluation: Mapping[str, pa.Table] | None = None,
    progress: Progress | None = None,
) -> RewardTrainResult:
    """Train on `pairs`, measure on `evaluation` and write the reward model to `out`.

    Args:
        pairs: see `trainers.reading.pair_tokens.read_pairs`. Their order does not matter.
        policy: folder of a causal language model with a chat template; the pairs' ids are its tokens.
        out: must not exist; appears complete or not at all.
        config: how to train.
        evaluation: tables like `pairs`, by name, of prompts that are not among them.
        progress: told (stage, tokens done, of how many).

    Raises:
        SchemaError: a table that is empty, incomplete or not in the policy's tokens; names the pairs.
        ModelError: the policy cannot carry a reward head, or its numbers are not finite.
        OutputError: `out` exists or cannot be written.
    """
    train = read_pairs(pairs, where="training pairs")
    held_out = {name: read_pairs(table, where=f"evaluation set {name}") for name, table in (evaluation or {}).items()}
    return fit_reward_model(train, policy=policy, out=out, config=config, evaluation=held_out, progress=progress)


def fit_reward_model(
    train: PairTokens,
    *,
    policy: str | Path,
    out: Path,
    config: RewardTrainConfig,
    revision: str | None = None,
    evaluation: Mapping[str, PairTokens] | None = None,
    progress: Progress | None = None,
) -> RewardTrainResult:
    """`train_reward_model` on pairs that have been read.

    Args:
        train: the training pairs.
        policy: folder, or a Hub id.
        out: must not exist; appears complete or not at all.
        config: how to train.
        revision: commit of a Hub id.
        evaluation: pairs of prompts that are not among the training ones, by name.
        progress: told (stage, tokens done, of how many).
    """
    started = time.perf_counter()
    if out.exists():
        message = f"{out} exists; delete it or choose another folder, a reward model is never overwritten"
        raise OutputError(message)
    held_out = evaluation or {}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    checkpoint = open_policy(policy, revision, dtype=getattr(torch, config.dtype), device=device)
    for name, part in {"": train, **held_out}.items():
        where = f"evaluation set {name}" if name else "training pairs"
        check_fits(part, vocabulary=checkpoint.vocabulary, context=checkpoint.context, where=where)
    learner = _Learner(checkpoint, config, device, progress or no_progress)
    folds = folds_by_prompt(train.prompts, config.head.folds, config.head.seed)
    features = learner.features(train.sequences, "training features")
    fit = fit_head(features, train, folds=folds, weight_decays=config.head.weight_decays, centring=config.centring)
    validation, by_group = _validate(features, fit, train)
    result = RewardTrainResult(
        folder=out,
        weight_decay=fit.weight_decay,
        validation_losses=fit.validation_losses,
        validation=validation,
        validation_by_group=by_group,
        evaluation=_evaluate(learner, train, features, held_out, fit.weight),
        train_tokens=train.tokens,
        seconds=time.perf_counter() - started,
        data_sha256=train.sha256,
    )
    last_ids = {int(ids[-1]) for part in (train, *held_out.values()) for ids in part.sequences}
    save_checkpoint(
        checkpoint,
        fit.weight,
        padding=padding_token(checkpoint, last_ids),
        record=_record(result, config, _policy_record(policy, revision), train, held_out),
        out=out,
    )
    log.info("%s: %.1f s, validation accuracy %.3f", out.name, result.seconds, result.validation.accuracy)
    return result


def _validate(features: torch.Tensor, fit: HeadFit, train: PairTokens) -> tuple[Accuracy, dict[str, Accuracy]]:
    """Accuracy on held-out training prompts: on all pairs, and by group."""
    rows = np.concatenate([part.rows for part in fit.held_out])
    parts = [margins(features, part.weight, train.subset(part.rows)) for part in fit.held_out]
    found = Margins(torch.cat([part.exact for part in parts]), torch.cat([part.rounded for part in parts]))
    groups = np.array(train.groups)[rows] if train.groups is not None else np.array([])
    by_group = {
        str(group): accuracy(Margins(*(part[torch.from_numpy(groups == group)] for part in found)))
        for group in sorted(set(groups.tolist()))
    }
    return accuracy(found), by_group


def _evaluate(
    learner: _Learner,
    train: PairTokens,
    features: torch.Tensor,
    sets: Mapping[str, PairTokens],
    weight: torch.Tensor,
) -> dict[str, Accuracy]:
    """Accuracy on each set; a sequence that several sets share is computed once."""
    if not sets:
        return {}
    # After the training features and in batches of their own: what is evaluated must not change what is
    # trained, and bf16 features depend a little on the batch they were computed in.
    known = {ids.tobytes(): row for row, ids in enumerate(train.sequences)}
    new: dict[bytes, Ids] = {}
    for ids in (ids for part in sets.values() for ids in part.sequences):
        if ids.tobytes() not in known:
            new.setdefault(ids.tobytes(), ids)
    if new:
        features = torch.cat([features, learner.features(list(new.values()), "evaluation features")])
    index = known | {key: len(known) + row for row, key in enumerate(new)}
    accuracies = {}
    for name, part in sets.items():
        own = features[[index[ids.tobytes()] for ids in part.sequences]]
        check_finite(own, part)
        accuracies[name] = accuracy(margins(own, weight, part))
    return accuracies


def _record(
    result: RewardTrainResult,
    config: RewardTrainConfig,
    policy: dict[str, str],
    train: PairTokens,
    held_out: Mapping[str, PairTokens],
) -> dict[str, Any]:
    """training.json."""
    return {
        "objective": "bradley-terry",
        "config": config.model_dump(mode="json"),
        "policy": policy,
        "data": {
            "pairs": len(train.names),
            "prompts": len(set(train.prompts)),
            "sequences": len(train.sequences),
            "tokens": train.tokens,
            "sha256": train.sha256,
            "evaluation_sha256": {name: part.sha256 for name, part in held_out.items()},
        },
        "weight_decay": result.weight_decay,
        "validation_losses": {str(decay): loss for decay, loss in result.validation_losses.items()},
        "validation": asdict(result.validation),
        "validation_by_group": {name: asdict(found) for name, found in result.validation_by_group.items()},
        "evaluation": {name: asdict(found) for name, found in result.evaluation.items()},
        "seconds": round(result.seconds, 1),
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy", "pyarrow")},
    }


def _policy_record(policy: str | Path, revision: str | None) -> dict[str, str]:
    if revision is not None:
        return {"name": str(policy), "revision": revision}
    return {"name": Path(policy).name, "weights_sha256": weights_sha256(Path(policy))}
