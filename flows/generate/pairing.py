"""One score a response, which two of a prompt make a pair, and what the annotators' scores are worth."""

from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flows.generate.run import Floats, GenerationRun, Judged
from transforms.pairing.aggregate import aggregate
from transforms.pairing.agreement import PairAgreement, agreement
from transforms.pairing.length_control import LengthFit, length_controlled
from transforms.pairing.reliability import Repeated, order_swap, repeated, ties_within, verdicts
from transforms.pairing.scored import Scored
from transforms.pairing.strategies import PairingRule, Pairs, pairs_of
from transforms.records.generation import AgreementRecord, LengthRecord, ReliabilityRecord, TauRecord
from transforms.records.manifest import ShareRecord
from transforms.statistics.intervals import Rate


class Paired(NamedTuple):
    """The run's responses with their scores, and the pairs of them."""

    scored: Scored
    score: Floats  # the aggregate, NaN where a response has none; (responses,)
    length: LengthFit | None  # None where no response has a score
    pairs: Pairs
    beyond: int  # pairs over `accept`
    prompt_ids: list[str]  # by prompt
    texts: list[str]  # by response, a hash of what it says: a run's texts would fill the memory


def pair_up(run: GenerationRun) -> Paired:
    """Aggregate, control for length where the recipe says so, and choose pairs; those over `accept` are left out."""
    config, rule = run.config, run.config.pairing
    scored, prompt_ids, texts = _scored(run)
    labels = config.annotator_labels()
    score = scored.scores[:, 0].copy() if len(labels) == 1 else aggregate(scored, config.aggregate)
    length = length_controlled(scored, score) if not np.isnan(score).all() else None
    by = length.adjusted if rule.length_controlled and length else score
    pairs = pairs_of(
        scored,
        by,
        PairingRule(rule.strategy, rule.min_margin, rule.max_per_prompt, rule.unfinished, rule.ties),
        prompt_keys=prompt_ids,
        texts=texts,
        seed=config.seed,
    )
    beyond = max(0, len(pairs.chosen) - config.accept) if config.accept is not None else 0
    return Paired(scored, score, length, pairs, beyond, prompt_ids, texts)


def agreement_records(paired: Paired) -> list[AgreementRecord]:
    """How far every two annotators agree."""
    return [_agreement(one) for one in agreement(paired.scored).pairs]


def length_record(paired: Paired, *, applied: bool) -> LengthRecord | None:
    """What length explains of the aggregate; None where no prompt has responses of different lengths."""
    fit = paired.length
    if fit is None or not fit.prompts:
        return None
    return LengthRecord(slope=fit.slope, low=fit.low, high=fit.high, explained=fit.explained, applied=applied)


def reliability_record(label: str, judged: Judged, column: Floats, prompt: npt.NDArray[np.int64]) -> ReliabilityRecord:
    """What an annotator does when it is asked again, or the other way round.

    Args:
        label: what the recipe calls it.
        judged: what it said.
        column: its score of every response, NaN where there is none; (responses,).
        prompt: of every response, (responses,).
    """
    ties = ties_within(column, prompt)
    again = _again(judged, column, prompt)
    first, _, forward, backward = both_orders(judged)
    swap = order_swap(verdicts(forward), verdicts(backward), prompt[first]) if len(first) else None
    readable = swap.comparisons - swap.unread if swap else 0
    return ReliabilityRecord(
        label=label,
        ties=_share(ties.share, ties.pairs),
        repeated=again.responses if again else 0,
        repeat_equal=_share(again.equal, again.responses - again.unread) if again else None,
        repeat_turned=_share(again.turned, again.pairs) if again else None,
        repeat_largest=again.largest if again else None,
        comparisons=readable,
        order_same=_share(swap.consistent, readable) if swap else None,
        first_wins=_share(swap.first_place, readable) if swap else None,
        unreadable=judged.unreadable,
    )


def both_orders(judged: Judged) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats, Floats]:
    """Comparisons with both their margins: rows i < j, margin with i first, margin with j first; NaN for unreadable."""
    first, second = (np.asarray(rows, np.int64) for rows in (judged.first, judged.second))
    low, high = np.minimum(first, second), np.maximum(first, second)
    keys, place = np.unique(np.stack([low, high]), axis=1, return_inverse=True)
    margins = np.full((2, keys.shape[1]), np.nan)
    margins[(first > second).astype(int), place.reshape(-1)] = np.asarray(judged.margin, np.float64)
    return keys[0], keys[1], margins[0], margins[1]


def _scored(run: GenerationRun) -> tuple[Scored, list[str], list[str]]:
    prompt_ids: list[str] = []
    texts: list[str] = []
    prompt: list[int] = []
    tokens: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)]
    finished: list[bool] = []
    for part in run.answers:
        for key in part["prompt_id"].to_pylist():
            if not prompt_ids or prompt_ids[-1] != key:
                prompt_ids.append(key)
            prompt.append(len(prompt_ids) - 1)
        texts += [blake2b(text.encode(), digest_size=16).hexdigest() for text in part["response"].to_pylist()]
        finished += part["finished"].to_pylist()
        tokens.append(np.diff(np.asarray(part["response_ids"].combine_chunks().offsets, np.int64)))
    columns = [np.concatenate([np.zeros(0), *judged.scores]) for judged in run.judged]
    scored = Scored(
        np.array(prompt, np.int64),
        np.stack(columns, axis=1),
        np.concatenate(tokens),
        np.array(finished, bool),
        tuple(run.config.annotator_labels()),
    )
    return scored, prompt_ids, texts


def _again(judged: Judged, column: Floats, prompt: npt.NDArray[np.int64]) -> Repeated | None:
    if not judged.again:
        return None
    rows = np.array(sorted(judged.again), np.int64)
    _, dense = np.unique(prompt[rows], return_inverse=True)
    return repeated(column[rows], np.array([judged.again[int(row)] for row in rows]), dense.astype(np.int64))


def _agreement(found: PairAgreement) -> AgreementRecord:
    tau = found.tau
    left_out = {"too_few": found.too_few, "constant": found.constant}
    return AgreementRecord(
        first=found.first,
        second=found.second,
        tau=tau and TauRecord(value=tau.value, low=tau.low, high=tau.high, prompts=found.prompts),
        same_best=_share(found.same_best, found.prompts),
        left_out={why: prompts for why, prompts in left_out.items() if prompts},
    )


def _share(rate: Rate, count: int) -> ShareRecord | None:
    return ShareRecord(value=rate.value, low=rate.low, high=rate.high, count=count) if count else None
