"""A policy on labelled pairs: implicit rewards at every kept length, displacement, distance to its reference."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from flows.evaluate.config import PolicyUnderTest
from flows.evaluate.data import Evaluated, LabelledPairs, tokenise
from flows.evaluate.positions import compare_pairs
from flows.models.engine_calls import Pay
from flows.models.log_probs import Causal, LogProbReader
from flows.models.recipe_models import model_record
from flows.runtime.progress import Progress
from trainers.policies.token_readings import TokenComparison, Tokens
from trainers.reading.examples import check_readable, read_examples
from transforms.audit.curves import Cut, binned, cutting_tokens, ratio_cuts, token_cuts
from transforms.chat.tokens import ChatTokens
from transforms.consistency.deciding import random_ranks
from transforms.errors import SourceError
from transforms.evaluation.accuracies import accuracies, kept_curve, sections
from transforms.evaluation.displacement import displacement
from transforms.evaluation.implicit_rewards import ImplicitRewards, PairLogProbs
from transforms.preparation.prepare import quarantine
from transforms.records.audit import CurvePoint
from transforms.records.evaluation import Curve, Distance, Judged, Kept, PolicyEvaluation
from transforms.records.manifest import SpendRecord
from transforms.statistics.clustered import clustered_mean
from transforms.statistics.intervals import Floats
from transforms.tables.schema import SIDES

logger = logging.getLogger(__name__)


class PolicyModels(NamedTuple):
    """A policy as it was found, and what it is held against."""

    policy: Causal
    reference: Causal | None
    chat: ChatTokens  # of the policy

    @property
    def context(self) -> int:
        """Tokens that both read."""
        return min(model.context for model in (self.policy, self.reference) if model)


class PolicyReadings(NamedTuple):
    """What policy and reference say of pairs."""

    policy: PairLogProbs
    reference: PairLogProbs | None
    compared: dict[int, list[TokenComparison]]  # of some rows, chosen and rejected
    spend: SpendRecord  # of the log-probs; a comparison is paid every time


def evaluate_policy(
    labelled: LabelledPairs,
    models: PolicyModels,
    config: PolicyUnderTest,
    *,
    seed: int,
    ledger_root: str,
    pay: Pay,
    progress: Progress,
) -> Evaluated[PolicyEvaluation]:
    """Implicit-reward accuracy at every kept length, and with a reference how far the policy has moved.

    Args:
        labelled: the pairs.
        models: what `config` names.
        config: the implicit reward and the kept lengths.
        seed: of the pairs that are compared by position.
        ledger_root: where log-probs are kept, so that no response is read twice.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows what is done.

    Raises:
        SourceError: no pair that the policy can read.
    """
    tokenised = tokenise(labelled, models.chat, models.context)
    pairs, bad = tokenised.pairs, list(tokenised.quarantined)
    if not len(pairs):
        message = f"the policy can read none of the {len(labelled.pairs):,} pairs, for one: {bad[0].error}"
        raise SourceError(message)
    read = read_pairs(pairs, models, config, seed=seed, ledger_root=ledger_root, pay=pay, progress=progress)
    broken = sorted({*read.policy.bad(), *(read.reference.bad() if read.reference else [])})
    why = "policy or reference gave a log-prob that is not finite: try policy.dtype float32"
    bad += [quarantine(pairs, row, why, stage="read") for row in broken]
    good: list[int] = np.setdiff1d(np.arange(len(pairs)), broken).tolist()
    if not good:
        message = f"none of the {len(pairs):,} pairs: {why}"
        raise SourceError(message)
    ours, theirs = read.policy.of(good), read.reference.of(good) if read.reference else None
    every = labelled.groups().of(tokenised.rows.tolist())
    groups = every.of(good)
    pairs = pairs.take(pa.array(good, pa.int64())).combine_chunks()
    rewards = ImplicitRewards(ours, theirs, measure=config.implicit, beta=config.beta)
    by_ratio = _margins(rewards, ratio_cuts(pairs, [*sorted(config.ratios), 1.0]))
    by_tokens = _margins(rewards, token_cuts(pairs, cutting_tokens(pairs, config.tokens)))
    records = accuracies(by_ratio[1.0], groups)
    result = PolicyEvaluation(
        model=model_record(models.policy.model.identity),
        reference=model_record(models.reference.model.identity) if models.reference else None,
        measure=config.implicit,
        beta=config.beta,
        counts=Judged(loaded=len(labelled.pairs), judged=len(good), quarantined=len(bad)),
        accuracy=records,
        sections=sections(records),
        kept=Kept(by_ratio=kept_curve(by_ratio, groups.prompts), by_tokens=kept_curve(by_tokens, groups.prompts)),
        displacement=displacement(ours, theirs, groups.prompts),
        distance=_distance({row: read.compared[row] for row in good if row in read.compared}, every.prompts),
        spend=read.spend,
    )
    return Evaluated(result, bad)


def read_pairs(
    pairs: pa.Table,
    models: PolicyModels,
    config: PolicyUnderTest,
    *,
    seed: int,
    ledger_root: str,
    pay: Pay,
    progress: Progress,
) -> PolicyReadings:
    """Log-probs of all response tokens, and both distributions on `config.position_pairs` random pairs.

    Without such pairs, policy and reference are never in memory together, and not loaded for what the ledger holds.

    Args:
        pairs: schema.TRUNCATED in the policy's tokens, whole responses.
        models: what reads them.
        config: how they are read.
        seed: of the random pairs.
        ledger_root: where log-probs are kept.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows what is done.
    """
    examples = read_examples(pairs, where="evaluation")
    check_readable(examples, vocabulary=models.policy.vocabulary, context=models.context, where="evaluation")
    spend, batch_tokens = SpendRecord.nothing(), config.max_tokens_per_batch
    readers = [
        LogProbReader(model, role, ledger_root=ledger_root, spend=spend, batch_tokens=batch_tokens)
        for model, role in ((models.policy, "policy"), (models.reference, "reference"))
        if model
    ]
    ranks = random_ranks(pairs["pair_id"].to_pylist(), seed)
    rows = np.flatnonzero(ranks < config.position_pairs).tolist() if models.reference else []
    found, compared = [], []
    with ExitStack() as open_models:
        for reader in readers:
            open_models.callback(reader.calls.close)
            found.append(_sides(reader.read_whole(examples, pay=pay, progress=progress)))
            if not rows:
                reader.calls.close()
        if rows:
            policy, reference = (reader.calls.open() for reader in readers)
            some = [examples[row] for row in rows]
            compared = compare_pairs(policy, reference, some, batch_tokens=batch_tokens, pay=pay, progress=progress)
    ours, theirs = found[0], found[1] if models.reference else None
    return PolicyReadings(ours, theirs, dict(zip(rows, compared, strict=True)), spend)


def _sides(found: Sequence[Sequence[Tokens]]) -> PairLogProbs:
    return PairLogProbs([chosen for chosen, _ in found], [rejected for _, rejected in found])


def _margins(rewards: ImplicitRewards, cuts: Sequence[Cut]) -> dict[float, Floats]:
    return {cut.at: rewards.margins(cut.keep) for cut in cuts}


def _distance(compared: Mapping[int, list[TokenComparison]], prompts: Sequence[str]) -> Distance | None:
    """KL and both models' measures by position; None where nothing was compared.

    Args:
        compared: row → chosen and rejected.
        prompts: of all rows.
    """
    rows = [row for row, sides in compared.items() if all(np.isfinite(measure).all() for s in sides for measure in s)]
    if len(rows) < len(compared):
        left_out = len(compared) - len(rows)
        logger.warning("%d of %d pairs are left out of the KL: it is not finite there", left_out, len(compared))
    if not rows:
        return None
    kl = np.array([np.concatenate([side.kl for side in compared[row]]).mean(dtype=np.float64) for row in rows])
    curves = [
        Curve(measure=measure, model=model, side=side, points=_by_position(compared, rows, field, at, prompts))
        for field, measure, model in _CURVES
        for at, side in enumerate(SIDES)
    ]
    return Distance(pairs=len(rows), kl=clustered_mean(kl, [prompts[row] for row in rows]), curves=curves)


def _by_position(
    compared: Mapping[int, list[TokenComparison]], rows: Sequence[int], field: str, side: int, prompts: Sequence[str]
) -> list[CurvePoint]:
    return binned([getattr(compared[row][side], field) for row in rows], [prompts[row] for row in rows])


# Field of a comparison → what its curve is called.
_CURVES: Final[tuple[tuple[str, Literal["kl", "entropy", "log_prob"], Literal["policy", "reference", "both"]], ...]] = (
    ("kl", "kl", "both"),
    ("entropy", "entropy", "policy"),
    ("reference_entropy", "entropy", "reference"),
    ("log_prob", "log_prob", "policy"),
    ("reference_log_prob", "log_prob", "reference"),
)
