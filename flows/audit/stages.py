"""Measure what cutting a dataset would do to its preferences, on a random sample of its pairs."""

import logging
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from flows.curate.live_pairs import live_parts
from flows.curate.run import Run
from flows.curate.sampling import Sampler
from flows.models.engine_calls import Pay, pay_for
from flows.models.recipe_models import model_record
from flows.models.scoring import Scorer
from transforms.asking.readings import completion_readings, full_readings, prefix_readings, why_unusable
from transforms.asking.requests import Prefix
from transforms.audit import advice
from transforms.audit.curves import (
    Cut,
    PrefixKey,
    cut_by,
    cut_prefixes,
    cutting_tokens,
    position_curves,
    prompts_of,
    quality_curve,
    ratio_cuts,
    rewards_by_prefix,
    token_cuts,
    values_agree,
)
from transforms.consistency.deciding import random_ranks
from transforms.consistency.win_shares import win_share
from transforms.engines.protocol import PositionRequest
from transforms.engines.select import on_gpu, open_positions
from transforms.errors import SourceError
from transforms.preparation.truncation import Truncation
from transforms.records.audit import Audit, AuditSettings, MethodAudit, PositionCurves
from transforms.records.manifest import ShareRecord
from transforms.statistics.clustered import clustered_rate
from transforms.tables.ragged import Ragged
from transforms.tables.schema import PROMPT_DIGITS, SIDES, Side

RATIOS: Final = (0.5, 0.4, 0.33, 0.25)
VALUED_AT_ONCE: Final = 128  # pairs whose prefixes are in memory together
PAIRS: Final = 64  # where neither the command nor a budget says how many
logger = logging.getLogger(__name__)


class Method(NamedTuple):
    """One truncation under audit and what it keeps of the audited pairs."""

    name: str
    truncation: Truncation
    cut: Cut


class Measured(NamedTuple):
    """Rewards of the audited pairs."""

    pairs: pa.Table  # schema.TRUNCATED, whole responses, in random order
    full: dict[str, dict[Side, float]]  # pair id → side → reward; pairs without both are left out
    drawn: dict[PrefixKey, list[float]]


def audit_run(run: Run, pay: Pay, settings: AuditSettings) -> Audit:
    """Audit the pairs that a run prepared without truncation.

    Args:
        run: with its pairs loaded and tokenised.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        settings: how much to look at.
    """
    start = time.monotonic()
    live = sum(len(part.places) for part in live_parts(run))
    if not live:
        message = "no pair is left to audit: every row was dropped or quarantined; see quarantine.jsonl"
        raise SourceError(message)
    n = settings.n
    audited_pairs = settings.pairs or _affordable(run, settings)
    of_curve = min(settings.curve_pairs, audited_pairs)
    value_pairs = of_curve if settings.value_pairs is None else settings.value_pairs
    in_order = _sample(run, live, max(audited_pairs, value_pairs))
    pairs, valued = (in_order.slice(0, count).combine_chunks() for count in (audited_pairs, value_pairs))
    truncations = [(advice.POET, Truncation(method="poet"))]
    truncations += [(f"ratio {ratio:g}", Truncation(method="ratio", ratio=ratio)) for ratio in RATIOS]
    methods = [Method(name, how, cut_by(pairs, how, at=0)) for name, how in truncations]
    some = pairs.slice(0, settings.curve_pairs)
    curve = token_cuts(some, cutting_tokens(some, settings.curve_at))
    wanted_prefixes = _once(cut_prefixes(pairs, [m.cut for m in methods], n), cut_prefixes(some, curve, n))
    sampler, scorer = Sampler(run), run.scorer()
    try:
        values, full_of_valued = _read_values(run, pay, scorer, valued, settings.curve_at)
        measured = _measure(run, pay, sampler, scorer, pairs, wanted_prefixes)
    finally:
        sampler.calls.close()
        scorer.calls.close()
    value_cuts = token_cuts(valued, cutting_tokens(valued, settings.curve_at))
    saved = _tokens_saved(run, [how for _, how in truncations])
    full = [key for key in pairs["pair_id"].to_pylist() if key in measured.full]
    agrees = _share([_order(measured.full[key]) for key in full], full)
    audited = [_audited(method, measured, agrees, share, n) for method, share in zip(methods, saved, strict=True)]
    read = pairs.slice(0, settings.position_pairs)
    positions = _positions(run, read)
    spend, seconds = sampler.calls.spend, time.monotonic() - start
    best = advice.recommended(audited)
    policy, reward = run.require_policy(), run.require_reward()[0]
    tokens = spend.tokens_generated + spend.tokens_reused
    return Audit(
        name=run.recipe.name,
        sources=run.sources,
        policy=model_record(policy.identity),
        reward=model_record(reward.identity),
        settings=settings,
        pairs=live,
        audited=len(full),
        prompts=len({_prompt(key) for key in full}),
        curve_pairs=sum(key in measured.full for key in some["pair_id"].to_pylist()),
        position_pairs=len(read) if positions else 0,
        reward_agrees=agrees,
        methods=audited,
        recommended=best.name if best else None,
        advice=advice.sentences(
            audited, agrees, audited=len(measured.full), pairs=live, tokens=tokens, seconds=seconds
        ),
        quality_by_tokens=quality_curve(some, curve, measured.full, measured.drawn),
        quality_by_ratio=quality_curve(pairs, ratio_cuts(pairs, [*RATIOS[::-1], 1.0]), measured.full, measured.drawn),
        values_by_tokens=quality_curve(valued, value_cuts, full_of_valued, values),
        value_pairs=len(full_of_valued),
        values_agree=values_agree(some, curve, measured.full, measured.drawn, values),
        positions=positions,
        published=advice.PUBLISHED,
        seconds=round(seconds, 3),
        completions=spend.requests,
        tokens_generated=tokens,
    )


def _sample(run: Run, live: int, wanted: int) -> pa.Table:
    """A simple random sample of the live pairs in random order, the same for the same data in any order of its rows.

    In random order, because ids begin with their prompt's hash: the first of a sample by id share their prompts.
    """
    ids = [key for part in live_parts(run) for key in part.pairs["pair_id"].take(_rows(part.places)).to_pylist()]
    ranks = random_ranks(ids, run.recipe.sampling.seed)
    chosen = set(np.flatnonzero(ranks < min(wanted, live)).tolist())
    drawn = [[(row, place) for row, place in part.places.items() if place in chosen] for part in live_parts(run)]
    table = pa.concat_tables(
        part.pairs.take(_rows(row for row, _ in rows)) for part, rows in zip(live_parts(run), drawn, strict=True)
    )
    places = [place for rows in drawn for _, place in rows]
    return table.take(_rows(np.argsort(ranks[places]).tolist())).combine_chunks()


def _affordable(run: Run, settings: AuditSettings) -> int:
    """Pairs that the recipe's budget pays for in the worst case; PAIRS without a budget."""
    budget, config = run.recipe.budget, run.recipe.sampling
    a_pair, a_curve = settings.n * (1 + 2 * len(RATIOS)), settings.n * 2 * len(settings.curve_at)
    limits = [budget.completions] if budget.completions else []
    limits += [budget.tokens // config.max_new_tokens] if budget.tokens else []
    if not limits:
        return PAIRS
    few, room = min(limits) // (a_pair + a_curve), min(limits) - settings.curve_pairs * a_curve
    return max(2, few if few < settings.curve_pairs else room // a_pair)


def _measure(
    run: Run, pay: Pay, sampler: Sampler, scorer: Scorer, pairs: pa.Table, prefixes: Sequence[Prefix]
) -> Measured:
    """Full rewards, then the completions of the prefixes."""
    call = partial(pay_for, pay)
    rows = range(len(pairs))
    with run.progress.bar("score full responses", unit="responses", total=2 * len(pairs)) as advance:
        asked = scorer.to_score(full_readings(pairs, rows, run.chat)).requests
        call("score full responses", scorer.calls, scorer.batches(asked), advance)
    full = _full_rewards(pairs, scorer.rewards(asked))
    if on_gpu():
        scorer.calls.close()
    samples = sampler.samples(pairs, prefixes)
    with run.progress.bar("sample prefixes", unit="completions", total=len(samples)) as advance:
        call("sample prefixes", sampler.calls, sampler.batches(samples), advance)
    sampler.calls.close()
    samples = sampler.answered(samples)
    read = completion_readings(pairs, samples, sampler.completions(samples), run.chat)
    with run.progress.bar("score completions", unit="conversations", total=len(read)) as advance:
        asked = scorer.to_score(read).requests
        call("score completions", scorer.calls, scorer.batches(asked), advance)
    rewards = [
        float("nan") if why_unusable(reading, reward) else float(reward)
        for reading, reward in zip(read, scorer.rewards(asked), strict=True)
    ]
    return Measured(pairs, full, rewards_by_prefix(pairs, samples, rewards))


def _read_values(
    run: Run, pay: Pay, scorer: Scorer, pairs: pa.Table, at: Sequence[int]
) -> tuple[dict[PrefixKey, list[float]], dict[str, dict[Side, float]]]:
    """What the reward model says of the first tokens of every response, and of the full ones of each pair."""
    values: dict[PrefixKey, list[float]] = {}
    full: dict[str, dict[Side, float]] = {}
    with run.progress.bar("read values", unit="pairs", total=len(pairs)) as advance:
        for number, start in enumerate(range(0, len(pairs), VALUED_AT_ONCE)):
            some = pairs.slice(start, VALUED_AT_ONCE).combine_chunks()
            prefixes = cut_prefixes(some, token_cuts(some, cutting_tokens(some, at)), 1)
            whole = full_readings(some, range(len(some)), run.chat)
            begun = prefix_readings(some, [(p.pair_row, p.side, p.keep) for p in prefixes], run.chat)
            asked = scorer.to_score([*whole, *begun]).requests
            pay_for(pay, f"read values part {number}", scorer.calls, scorer.batches(asked), lambda *_, **__: None)
            rewards = scorer.rewards(asked)
            full |= _full_rewards(some, rewards[: len(whole)])
            numbers = [np.nan if isinstance(value, str) else float(value) for value in rewards[len(whole) :]]
            values |= rewards_by_prefix(some, prefixes, numbers)
            advance(len(some))
    return values, full


def _once(*lists: Sequence[Prefix]) -> list[Prefix]:
    """Each prefix that any list asks for, in the order of the pairs."""
    unique = {(p.pair_row, p.side, p.keep): p for prefixes in lists for p in prefixes}
    return [unique[key] for key in sorted(unique)]


def _full_rewards(pairs: pa.Table, rewards: Sequence[float | str]) -> dict[str, dict[Side, float]]:
    """By pair id; a pair that lacks one reward is left out and said so."""
    found: dict[str, dict[Side, float]] = {}
    for key, chosen, rejected in zip(pairs["pair_id"].to_pylist(), rewards[::2], rewards[1::2], strict=True):
        numbers = [reward for reward in (chosen, rejected) if not isinstance(reward, str) and np.isfinite(reward)]
        if len(numbers) == len(SIDES):
            found[key] = dict(zip(SIDES, numbers, strict=True))
        else:
            logger.warning("pair %s is left out: the reward model gave %s and %s", key, chosen, rejected)
    return found


def _audited(method: Method, measured: Measured, agrees: ShareRecord, saved: float, n: int) -> MethodAudit:
    shares: list[float] = []
    by_reward: list[float] = []
    judged: list[str] = []
    completions = 0
    for row, key in enumerate(measured.pairs["pair_id"].to_pylist()):
        if key not in measured.full:
            continue
        full, compared = measured.full[key], {}
        whole = True
        for side in SIDES:
            rewards = measured.drawn.get(PrefixKey(key, side, int(method.cut.keep[side][row])))
            compared[side] = rewards or [full[side]]
            whole &= not rewards
            completions += n if rewards else 0
        if any(np.isnan(rewards).any() for rewards in compared.values()):
            continue
        share = 1.0 if whole else win_share(compared["chosen"], compared["rejected"])
        order = _order(full)
        judged.append(key)
        shares.append(share)
        by_reward.append(1.0 if whole else (share if order == 1 else 1 - share if order == 0 else 0.5))
    rates = _share(shares, judged), _share(by_reward, judged)
    rate = advice.judged_rate(*rates, agrees)
    return MethodAudit(
        name=method.name,
        consistency=rates[0],
        by_reward=rates[1],
        tokens_saved=saved,
        completions=completions,
        verdict=advice.verdict_of(rate),
        why=advice.why_of(method.name, rate),
    )


def _tokens_saved(run: Run, truncations: Sequence[Truncation]) -> list[float]:
    """Share of response tokens that each truncation cuts, over the whole dataset."""
    before, after = 0, [0] * len(truncations)
    for part in live_parts(run):
        pairs = part.pairs.take(_rows(part.places))
        before += sum(int(Ragged.from_arrow(pairs[f"{side}_ids"]).lengths.sum()) for side in SIDES)
        for at, how in enumerate(truncations):
            kept = cut_by(pairs, how, at=0).keep
            after[at] += sum(int(kept[side].sum()) for side in SIDES)
    return [1 - kept / before for kept in after]


def _positions(run: Run, pairs: pa.Table) -> list[PositionCurves]:
    """Entropy and log-prob of the policy on these pairs by position; none for a policy on a server."""
    policy = run.require_policy()
    if policy.identity.engine == "server":
        logger.info("no position curves: the policy is on a server, which shows no whole distributions")
        return []
    if policy.identity.quantization is not None:
        logger.info("no position curves: vLLM quantizes the policy on loading, and shows no whole distributions")
        return []
    if not len(pairs):
        return []
    prompts = Ragged.from_arrow(pairs["prompt_ids"])
    ids = {side: Ragged.from_arrow(pairs[f"{side}_ids"]) for side in SIDES}
    requests = [
        PositionRequest(f"{key} {side}", prompts.row(row).tolist(), ids[side].row(row).tolist())
        for side in SIDES
        for row, key in enumerate(pairs["pair_id"].to_pylist())
    ]
    engine = open_positions(policy, trust_remote_code=run.recipe.policy.trust_remote_code)
    try:
        with run.progress.bar("read positions", unit="responses", total=len(requests)) as advance:
            found = engine.positions(requests, advance)
    finally:
        engine.close()
    return position_curves({"chosen": found[: len(pairs)], "rejected": found[len(pairs) :]}, prompts_of(pairs))


def _order(full: dict[Side, float]) -> float:
    """1 where the reward model orders the full responses as the label does, one half for a tie."""
    return float(np.heaviside(full["chosen"] - full["rejected"], 0.5))


def _share(values: Sequence[float], keys: Sequence[str]) -> ShareRecord:
    """Mean of one value a pair; its interval is over the prompts that begin the pairs' ids."""
    rate = clustered_rate(np.asarray(values, np.float64), [_prompt(key) for key in keys])
    return ShareRecord(value=rate.value, low=rate.low, high=rate.high, count=len(values))


def _prompt(pair_id: str) -> str:
    return pair_id[:PROMPT_DIGITS]


def _rows(rows: Iterable[int]) -> pa.Array:
    return pa.array(list(rows), pa.int64())
