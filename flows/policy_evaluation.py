"""A policy on labelled pairs: implicit rewards at every kept length, displacement, distance to its reference."""

import logging
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from flows.calls import Pay
from flows.evaluation_config import PolicyUnderTest
from flows.evaluation_data import Evaluated, LabelledPairs, tokenise
from flows.models import model_record
from flows.policy_reading import Reading, compare_pairs, open_causal, read_log_probs, reference_log_probs
from flows.progress import Progress
from trainers.examples import check_readable, read_examples
from trainers.logprobs import causal_parts
from trainers.token_readings import TokenComparison
from transforms.accuracies import accuracies, kept_curve, sections
from transforms.audit import CurvePoint
from transforms.clustered import clustered_mean
from transforms.consistency import Floats
from transforms.curves import Cut, binned, cutting_tokens, ratio_cuts, token_cuts
from transforms.deciding import random_ranks
from transforms.displacement import displacement
from transforms.engines.models import ResolvedModel
from transforms.errors import SourceError
from transforms.evaluation import Curve, Distance, Judged, Kept, PolicyEvaluation
from transforms.implicit_rewards import ImplicitRewards, PairLogProbs
from transforms.prepare import quarantine
from transforms.requests import SIDES
from transforms.tokens import ChatTokens

logger = logging.getLogger(__name__)


class PolicyModels(NamedTuple):
    """A policy as it was found, and what it is held against."""

    policy: ResolvedModel
    reference: ResolvedModel | None
    chat: ChatTokens  # of the policy
    context: int  # tokens that it reads


class PolicyReadings(NamedTuple):
    """What policy and reference say of pairs."""

    policy: PairLogProbs
    reference: PairLogProbs | None
    compared: dict[int, list[TokenComparison]]  # of some rows, chosen and rejected


def evaluate_policy(
    labelled: LabelledPairs, models: PolicyModels, config: PolicyUnderTest, *, seed: int, pay: Pay, progress: Progress
) -> Evaluated[PolicyEvaluation]:
    """Implicit-reward accuracy at every kept length, and with a reference how far the policy has moved.

    Args:
        labelled: the pairs.
        models: what `config` names.
        config: the implicit reward and the kept lengths.
        seed: of the pairs that are compared by position.
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
    read = read_pairs(pairs, models, config, seed=seed, pay=pay, progress=progress)
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
        model=model_record(models.policy.identity),
        reference=model_record(models.reference.identity) if models.reference else None,
        measure=config.implicit,
        beta=config.beta,
        counts=Judged(loaded=len(labelled.pairs), judged=len(good), quarantined=len(bad)),
        accuracy=records,
        sections=sections(records),
        kept=Kept(by_ratio=kept_curve(by_ratio, groups.prompts), by_tokens=kept_curve(by_tokens, groups.prompts)),
        displacement=displacement(ours, theirs, groups.prompts),
        distance=_distance({row: read.compared[row] for row in good if row in read.compared}, every.prompts),
        tokens=sum(map(len, [*ours.chosen, *ours.rejected])) * (2 if theirs else 1),
    )
    return Evaluated(result, bad)


def read_pairs(
    pairs: pa.Table, models: PolicyModels, config: PolicyUnderTest, *, seed: int, pay: Pay, progress: Progress
) -> PolicyReadings:
    """Log-probs of all response tokens, and both distributions on `config.position_pairs` random pairs.

    Policy and reference are in memory together only for the latter.

    Args:
        pairs: schema.TRUNCATED in the policy's tokens, whole responses.
        models: what reads them.
        config: how they are read.
        seed: of the random pairs.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows what is done.
    """
    examples = read_examples(pairs, where="evaluation")
    reading = Reading(config.batch, config.max_tokens_per_batch, pay, progress)
    trust = config.trust_remote_code
    policy = open_causal(models.policy, trust_remote_code=trust)
    vocabulary = causal_parts(policy).vocabulary
    check_readable(examples, vocabulary=vocabulary, context=models.context, where="evaluation")
    ours = read_log_probs(policy, examples, "policy", reading)
    if models.reference is None:
        return PolicyReadings(ours, None, {})
    ranks = random_ranks(pairs["pair_id"].to_pylist(), seed)
    rows = np.flatnonzero(ranks < config.position_pairs).tolist()
    if not rows:
        policy = None  # frees its memory before the reference comes
    theirs = reference_log_probs(models.reference, examples, reading, trust_remote_code=trust)
    if not rows:
        return PolicyReadings(ours, theirs, {})
    reference = open_causal(models.reference, trust_remote_code=trust)
    compared = compare_pairs(policy, reference, [examples[row] for row in rows], reading)
    return PolicyReadings(ours, theirs, dict(zip(rows, compared, strict=True)))


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
        Curve(measure=measure, model=model, side=side, points=_by_position(compared, rows, field, at))
        for field, measure, model in _CURVES
        for at, side in enumerate(SIDES)
    ]
    return Distance(pairs=len(rows), kl=clustered_mean(kl, [prompts[row] for row in rows]), curves=curves)


def _by_position(
    compared: Mapping[int, list[TokenComparison]], rows: Sequence[int], field: str, side: int
) -> list[CurvePoint]:
    return binned([getattr(compared[row][side], field) for row in rows])


# Field of a comparison → what its curve is called.
_CURVES: Final[tuple[tuple[str, Literal["kl", "entropy", "log_prob"], Literal["policy", "reference", "both"]], ...]] = (
    ("kl", "kl", "both"),
    ("entropy", "entropy", "policy"),
    ("reference_entropy", "entropy", "reference"),
    ("log_prob", "log_prob", "policy"),
    ("reference_log_prob", "log_prob", "reference"),
)
