"""A reward model on RewardBench 2: a reward for each response, and scores by subset."""

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np

from flows.evaluate.config import RewardUnderTest
from flows.evaluate.data import Evaluated
from flows.models.engine_calls import Pay
from flows.models.recipe_models import model_record
from flows.models.scoring import Scorer
from flows.replicas.crews import reward_crew
from flows.runtime.progress import Progress
from flows.versions.source_account import SourceAccount
from transforms.chat.conversation import Asked, answer
from transforms.chat.tokens import ChatTokens
from transforms.engines.models import ResolvedModel
from transforms.errors import SourceError
from transforms.evaluation.rewardbench2 import (
    Rewarded,
    missing,
    subset_records,
    ties_record,
    total,
)
from transforms.records.manifest import SourceRecord, SpendRecord
from transforms.records.rewardbench2 import BestOfCounts, RewardBench2Evaluation
from transforms.sources.best_of import BestOfRows, load_best_of
from transforms.sources.canonical import prompt_id
from transforms.sources.kinds.rewardbench2 import RewardBench2Options, is_ties
from transforms.sources.load import Quarantined

STAGE = "score"


class Benchmark(NamedTuple):
    """A source of kind rewardbench2, read."""

    label: str
    loaded: BestOfRows


def load_benchmark(source: RewardBench2Options, record: SourceRecord, progress: Progress) -> Benchmark:
    """Read a source whole; its record gets its counts.

    Raises:
        SourceError: it cannot be read, or no row of it can be used.
    """
    account = SourceAccount(record)
    with progress.bar(f"load {record.label}", unit="rows") as advance:
        loaded = load_best_of(account.pinned(source))
        account.count(loaded.raw_rows, loaded.raw_rows, loaded.columns)
        advance(loaded.raw_rows)
    account.close()
    if not loaded.rows:
        why = "; ".join(row.error for row in loaded.quarantined[:3])
        message = f"{record.label}: none of {loaded.raw_rows:,} rows can be used: {why}"
        raise SourceError(message)
    return Benchmark(record.label, loaded)


def evaluate_benchmark(
    benchmark: Benchmark,
    model: ResolvedModel,
    config: RewardUnderTest,
    chat: ChatTokens,
    *,
    ledger_root: str,
    pay: Pay,
    progress: Progress,
) -> Evaluated[RewardBench2Evaluation]:
    """Score every response whole, as the reward model's chat template ends it, and put the scores together.

    A row with a response that the model has no reward for, such as one that does not fit into its context, is
    quarantined whole: without it the others would be scored as an easier row.

    Args:
        benchmark: the rows.
        model: what `config` names.
        config: how it is read; its kept ratios and tokens are for pairs.
        chat: the reward model's tokenizer and chat template.
        ledger_root: where rewards are kept, so that no conversation is scored twice.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows what is done.

    Raises:
        SourceError: no row that the reward model can judge.
    """
    rows = benchmark.loaded.rows
    spend = SpendRecord.nothing()
    crew = reward_crew(model, config, None)
    scorer = Scorer(model, config, ledger_root=ledger_root, spend=spend, today=chat.template.today, crew=crew)
    asked = [Asked([{"role": turn.role, "content": turn.content} for turn in row.prompt]) for row in rows]
    responses = [[*row.chosen, *row.rejected] for row in rows]
    with closing(scorer.calls):
        requests = scorer.of_answers(
            [one for one, texts in zip(asked, responses, strict=True) for _ in texts],
            [answer(text) for texts in responses for text in texts],
        )
        scorer.pay(requests, f"score {benchmark.label}", pay=pay, progress=progress)
        rewards = iter(scorer.rewards(requests))
    judged: list[Rewarded] = []
    bad: list[Quarantined] = []
    for at, row in enumerate(rows):
        mine = [next(rewards) for _ in responses[at]]
        problem = _problem(mine, len(row.chosen))
        if problem is not None:
            raw = benchmark.loaded.raw[at]
            bad.append(Quarantined(STAGE, benchmark.label, row.source_id, problem, raw))
            continue
        found = np.array(mine, np.float64)
        chosen, rejected = found[: len(row.chosen)], found[len(row.chosen) :]
        judged.append(Rewarded(row.source_id, row.subset, prompt_id(row.prompt), chosen, rejected))
    if not judged:
        message = f"{benchmark.label}: the reward model can judge none of {len(rows):,} rows, for one: {bad[0].error}"
        raise SourceError(message)
    records = subset_records(judged)
    whole = total(records)
    result = RewardBench2Evaluation(
        source=benchmark.label,
        model=model_record(model.identity),
        counts=BestOfCounts(
            raw_rows=benchmark.loaded.raw_rows,
            judged=len(judged),
            quarantined=len(benchmark.loaded.quarantined) + len(bad),
        ),
        subsets=records,
        ties=ties_record([row for row in judged if is_ties(row.subset)]),
        total=whole.value if whole else None,
        low=whole.low if whole else None,
        high=whole.high if whole else None,
        missing=missing(records),
        spend=spend,
    )
    return Evaluated(result, [*benchmark.loaded.quarantined, *bad])


def _problem(rewards: Sequence[float | str], right: int) -> str | None:
    """Why a row cannot be judged: the first response without a reward."""
    for at, reward in enumerate(rewards):
        name = f"chosen[{at}]" if at < right else f"rejected[{at - right}]"
        if isinstance(reward, str):
            return f"{name}: {reward}"
        if not np.isfinite(reward):
            return f"{name}: the reward model returned {reward}"
    return None
