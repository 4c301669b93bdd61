"""A reward model on labelled pairs: margins of whole and of cut responses, through engine and ledger."""

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from flows.evaluate.config import RewardUnderTest
from flows.evaluate.data import Evaluated, LabelledPairs, tokenise
from flows.models.engine_calls import Pay
from flows.models.recipe_models import model_record
from flows.models.scoring import Scorer
from flows.replicas.crews import reward_crew
from flows.runtime.progress import Progress
from transforms.asking.readings import Reading, full_readings, why_unusable
from transforms.audit.curves import Cut, cutting_tokens, ratio_cuts, token_cuts
from transforms.chat.tokens import ChatTokens
from transforms.engines.models import ResolvedModel
from transforms.engines.protocol import ScoreRequest
from transforms.errors import SourceError
from transforms.evaluation.accuracies import accuracies, kept_curve, sections
from transforms.preparation.prepare import quarantine
from transforms.records.evaluation import Judged, Kept, RewardEvaluation
from transforms.records.manifest import SpendRecord
from transforms.statistics.intervals import Floats
from transforms.tables.ragged import Ragged
from transforms.tables.schema import SIDES


class RewardMargins(NamedTuple):
    """r(chosen) − r(rejected) of some pairs."""

    margins: Floats  # (cuts, pairs), finite but for the pairs in `problems`
    problems: dict[int, str]  # row → why the reward model has no number for it


def evaluate_reward(
    labelled: LabelledPairs,
    model: ResolvedModel,
    config: RewardUnderTest,
    chat: ChatTokens,
    *,
    ledger_root: str,
    pay: Pay,
    progress: Progress,
) -> Evaluated[RewardEvaluation]:
    """Accuracy by source, subset, section and by how much of the responses is read.

    Args:
        labelled: the pairs.
        model: what `config` names.
        config: how it is read, and the kept ratios and tokens.
        chat: the reward model's tokenizer and chat template.
        ledger_root: where rewards are kept, so that no conversation is scored twice.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows what is done.

    Raises:
        SourceError: no pair that the reward model can judge.
    """
    tokenised = tokenise(labelled, chat, None)  # the scorer knows what is too long
    pairs, bad = tokenised.pairs, list(tokenised.quarantined)
    whole = ratio_cuts(pairs, [1.0])
    by_ratio, by_tokens = ratio_cuts(pairs, config.ratios), token_cuts(pairs, cutting_tokens(pairs, config.tokens))
    spend = SpendRecord.nothing()
    crew = reward_crew(model, config, None)
    scorer = Scorer(model, config, ledger_root=ledger_root, spend=spend, today=chat.template.today, crew=crew)
    with closing(scorer.calls):
        found = reward_margins(scorer, pairs, [*whole, *by_ratio, *by_tokens], chat, pay=pay, progress=progress)
    good = [row for row in range(len(pairs)) if row not in found.problems]
    bad += [quarantine(pairs, row, why, stage="score") for row, why in sorted(found.problems.items())]
    if not good:
        message = f"the reward model can judge none of the {len(labelled.pairs):,} pairs, for one: {bad[0].error}"
        raise SourceError(message)
    margins = found.margins[:, good]
    groups = labelled.groups().of(tokenised.rows[good].tolist())
    ratios = {cut.at: margins[at] for at, cut in enumerate([*whole, *by_ratio])}
    tokens = {cut.at: margins[at] for at, cut in enumerate(by_tokens, 1 + len(by_ratio))}
    records = accuracies(margins[0], groups)
    result = RewardEvaluation(
        model=model_record(model.identity),
        counts=Judged(loaded=len(labelled.pairs), judged=len(good), quarantined=len(bad)),
        accuracy=records,
        sections=sections(records),
        kept=Kept(
            by_ratio=kept_curve(dict(sorted(ratios.items())), groups.prompts),
            by_tokens=kept_curve(dict(sorted(tokens.items())), groups.prompts),
        ),
        spend=spend,
    )
    return Evaluated(result, bad)


def reward_margins(
    scorer: Scorer, pairs: pa.Table, cuts: Sequence[Cut], chat: ChatTokens, *, pay: Pay, progress: Progress
) -> RewardMargins:
    """Score every pair under every cut; what the ledger holds costs nothing.

    A whole response is the conversation as the reward model's chat template ends it. A cut one ends where it was
    cut: prompt_ids + response_ids[:keep], with no end-of-turn.

    Args:
        scorer: a reward model and its ledger.
        pairs: schema.TRUNCATED in the reward model's own tokens; its keeps are not read.
        cuts: of these pairs.
        chat: the tokenizer that made the ids of `pairs`.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows what is done.
    """
    whole = full_readings(pairs, range(len(pairs)), chat)
    of_whole = scorer.to_score(whole).requests
    prompts = Ragged.from_arrow(pairs["prompt_ids"])
    ids = {side: Ragged.from_arrow(pairs[f"{side}_ids"]) for side in SIDES}
    ended = {side: pairs[f"{side}_finished"].to_pylist() for side in SIDES}
    read: list[Reading] = []
    asked: list[ScoreRequest | str] = []
    for cut in cuts:
        for reading, request in zip(whole, of_whole, strict=True):
            row, side = reading.pair_row, reading.side
            keep, response = int(cut.keep[side][row]), ids[side].row(row)
            if keep == len(response) and ended[side][row]:
                read.append(reading)
                asked.append(request)
            else:
                read.append(reading._replace(keep=keep))
                asked += scorer.requests([np.concatenate([prompts.row(row), response[:keep]]).tolist()])
    scorer.pay(asked, "score", pay=pay, progress=progress)
    problems: dict[int, str] = {}
    rewards = np.full(len(asked), np.nan)
    for at, (reading, reward) in enumerate(zip(read, scorer.rewards(asked), strict=True)):
        if problem := why_unusable(reading, reward):
            problems.setdefault(reading.pair_row, problem)
        else:
            rewards[at] = reward
    chosen, rejected = np.moveaxis(rewards.reshape(len(cuts), len(pairs), len(SIDES)), -1, 0)
    return RewardMargins(chosen - rejected, problems)
