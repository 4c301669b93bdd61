"""Train a Bradley–Terry reward model on token ids (methods.md §5, last line).

features of all distinct sequences (frozen backbone, bf16)
→ a bias-free linear head (fp32) → [lora: a few steps on the backbone, features and head again]
→ accuracies → a folder for AutoModelForSequenceClassification
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, Field

from trainers.accuracy import Accuracy, Margins, accuracy, margins
from trainers.features import Progress, no_progress, sequence_features
from trainers.head import HeadFit, check_finite, fit_head, folds_by_prompt
from trainers.lora import LoraSettings, tune_backbone
from trainers.pair_tokens import Ids, PairTokens, Rows, check_fits, read_pairs
from trainers.reward_checkpoint import (
    PolicyCheckpoint,
    open_policy,
    padding_token,
    save_checkpoint,
    weights_sha256,
)
from transforms.errors import OutputError

log = logging.getLogger(__name__)

Positive = Annotated[float, Field(gt=0)]


class RewardTrainConfig(BaseModel):
    """How a reward model is trained.

    Attributes:
        mode: `head` fits a linear head on the frozen backbone; `lora` also moves the backbone.
        weight_decays: candidates for the head's L2 penalty, on features of unit variance.
        folds: parts of the training prompts, each held out once to choose the penalty and to measure it.
            Mode `lora` holds only the first one out: the backbone has learned from the others.
        centring: λ of (r_w + r_l)². For policies whose rewards sit far from zero, where bf16 is coarse;
            `Accuracy.bf16_head` shows it. SmolLM2's do not: mean -0.2, standard deviation 3.6.
        batch_tokens: padded tokens per forward pass.
        seed: of the folds, and of LoRA.
        lora: only used in mode `lora`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["head", "lora"] = "head"
    weight_decays: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1e-2, 3e-2, 1e-1, 3e-1, 1.0)
    folds: Annotated[int, Field(ge=2)] = 5
    centring: Annotated[float, Field(ge=0)] = 0.0
    batch_tokens: Annotated[int, Field(ge=1)] = 2048
    seed: int = 0
    lora: LoraSettings = LoraSettings()


@dataclass(frozen=True, slots=True)
class RewardTrainResult:
    """What was trained; the same facts lie in the folder's training.json.

    Attributes:
        folder: what AutoModelForSequenceClassification loads.
        mode: as configured.
        weight_decay: the penalty that did best on held-out training prompts.
        validation: training pairs by heads that were fitted without their prompts.
        validation_by_group: the same by the column `group`, where there is one.
        evaluation: the sets that were handed in, by name.
        train_tokens: of the distinct training sequences.
        seconds: of everything but the writing.
        data_sha256: of the training pairs, independent of their order.
    """

    folder: Path
    mode: Literal["head", "lora"]
    weight_decay: float
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
        pairs: see `trainers.pair_tokens.read_pairs`. Their order does not matter.
        policy: folder of a causal language model with a chat template; the pairs' ids are its tokens.
        out: must not exist; appears complete or not at all.
        config: how to train.
        evaluation: tables like `pairs`, by name, of prompts that are not among them.
        progress: told (stage, tokens or steps done, of how many).

    Raises:
        SchemaError: a table that is empty, incomplete or not in the policy's tokens; names the pairs.
        ModelError: the policy cannot carry a reward head, or its numbers are not finite.
        OutputError: `out` exists or cannot be written.
    """
    started = time.perf_counter()
    if out.exists():
        message = f"{out} exists; delete it or choose another folder, a reward model is never overwritten"
        raise OutputError(message)
    train = read_pairs(pairs, where="training pairs")
    held_out = {name: read_pairs(table, where=f"evaluation set {name}") for name, table in (evaluation or {}).items()}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    checkpoint = open_policy(policy, dtype=torch.bfloat16, device=device)
    for name, part in {"": train, **held_out}.items():
        where = f"evaluation set {name}" if name else "training pairs"
        check_fits(part, vocabulary=checkpoint.vocabulary, context=checkpoint.context, where=where)
    learner = _Learner(checkpoint, config, device, progress or no_progress)
    features, fit = _learn(learner, train)
    validation, by_group = _validate(features, fit, train)
    result = RewardTrainResult(
        folder=out,
        mode=config.mode,
        weight_decay=fit.weight_decay,
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
        record=_record(result, fit, config, policy, train, held_out),
        out=out,
    )
    log.info("%s: %.1f s, validation accuracy %.3f", out.name, result.seconds, result.validation.accuracy)
    return result


def _learn(learner: _Learner, train: PairTokens) -> tuple[torch.Tensor, HeadFit]:
    """Features of the training sequences on the backbone as it will be saved, and the head fitted on them."""
    config = learner.config
    folds = folds_by_prompt(train.prompts, config.folds, config.seed)
    features = learner.features(train.sequences, "training features")
    fit = _fit(features, train, folds, config)
    if config.mode == "lora":
        tune_backbone(
            learner.checkpoint.backbone,
            train,
            np.concatenate(folds[1:]),
            fit.held_out[0].weight,
            settings=config.lora,
            seed=config.seed,
            centring=config.centring,
            batch_tokens=config.batch_tokens,
            device=learner.device,
            progress=learner.progress,
        )
        features = learner.features(train.sequences, "features after LoRA")
        fit = _fit(features, train, folds[:1], config)
    return features, fit


def _fit(features: torch.Tensor, train: PairTokens, folds: Sequence[Rows], config: RewardTrainConfig) -> HeadFit:
    return fit_head(
        features,
        train,
        folds=folds,
        weight_decays=config.weight_decays,
        centring=config.centring,
    )


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
    fit: HeadFit,
    config: RewardTrainConfig,
    policy: Path,
    train: PairTokens,
    held_out: Mapping[str, PairTokens],
) -> dict[str, Any]:
    """training.json."""
    return {
        "objective": "bradley-terry",
        "config": config.model_dump(mode="json"),
        "policy": {"name": policy.name, "weights_sha256": weights_sha256(policy)},
        "data": {
            "pairs": len(train.names),
            "prompts": len(set(train.prompts)),
            "sequences": len(train.sequences),
            "tokens": train.tokens,
            "sha256": train.sha256,
            "evaluation_sha256": {name: part.sha256 for name, part in held_out.items()},
        },
        "weight_decay": fit.weight_decay,
        "validation_losses": {str(decay): loss for decay, loss in fit.validation_losses.items()},
        "validation": asdict(result.validation),
        "validation_by_group": {name: asdict(found) for name, found in result.validation_by_group.items()},
        "evaluation": {name: asdict(found) for name, found in result.evaluation.items()},
        "seconds": round(result.seconds, 1),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "numpy", "pyarrow")},
    }
