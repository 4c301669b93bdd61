"""Responses of a wave of prompts: what the ledger lacks is sampled in fixed batches, policy after policy."""

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pyarrow as pa

from flows.generate.prompts import prompts_from
from flows.generate.run import GenerationRun
from flows.generate.sources import quarantine_row
from flows.generate.voices import FoundPolicy
from flows.models.engine_calls import Pay, pay_for, rebatched
from flows.models.sampling import SamplingCalls
from transforms.asking.answers import AnswerRequest, answer_requests, encode_for, read_answers
from transforms.engines.protocol import CompletionRequest
from transforms.paths import ledger_root
from transforms.sources.load import Quarantined

STAGE = "answer"


def answer(run: GenerationRun, start: int, count: int, pay: Pay) -> None:
    """Have the next prompts answered by every policy, and add what they said to the run's answers.

    Args:
        run: its prompts are drawn in the order of their ids.
        start: how many were answered already.
        count: how many are to be answered now.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
    """
    calls = {policy.label: calls_of(run, policy) for policy in run.plan.policies}
    for policy in run.plan.policies:
        total = count * policy.config.n
        with (
            closing(calls[policy.label]) as mine,
            run.progress.bar(f"answer ({policy.label})", unit="responses", total=total) as advance,
        ):
            requests = requests_of(run, policy, start, count)
            pay_for(pay, f"answer {policy.label}", mine, rebatched(requests, run.config.batch, mine.ledger), advance)
    number = len(run.answers)
    for part in prompts_from(run, start, count):
        table = _answers(run, part, calls)
        run.answers.write(number, table)
        run.quarantined_responses += run.quarantine(_unusable(table))
        number += 1


def calls_of(run: GenerationRun, policy: FoundPolicy) -> SamplingCalls:
    """A policy with its ledger, on the run's account."""
    return policy.calls(ledger_root(run.config.ledger), run.prompted.longest.get(policy.label, 0), run.config.cluster)


def requests_of(run: GenerationRun, policy: FoundPolicy, start: int, count: int) -> Iterator[CompletionRequest]:
    """Every response of a policy to some prompts, prompt by prompt."""
    for part in prompts_from(run, start, count):
        encoded = encode_for(policy.voice, part)
        for one in answer_requests(policy.voice, part, encoded, seed=run.config.seed):
            yield one.request


def _answers(run: GenerationRun, part: pa.Table, calls: dict[str, SamplingCalls]) -> pa.Table:
    """All responses to some prompts, those of a prompt side by side."""
    tables, first = [], 0
    for policy in run.plan.policies:
        voice = policy.voice
        encoded = encode_for(voice, part)
        requests = list(answer_requests(voice, part, encoded, seed=run.config.seed))
        mine = calls[policy.label]
        answers = _completions(mine, requests)
        tables.append(read_answers(voice, part, encoded, requests, answers, first_index=first, refused=mine.refused))
        first += voice.n
    table = pa.concat_tables(tables)
    counts = [policy.config.n for policy in run.plan.policies]
    # Policy after policy, prompt after prompt within each: a stable order by prompt puts a prompt's together.
    rows = np.concatenate([np.repeat(np.arange(len(part)), count) for count in counts])
    return table.take(pa.array(np.argsort(rows, kind="stable"))).combine_chunks()


def _completions(calls: SamplingCalls, requests: list[AnswerRequest]) -> dict[str, tuple[list[int], str]]:
    rows = calls.ledger.fetch([one.request.request_id for one in requests])
    answers = zip(rows["completion_ids"].to_list(), rows["finish_reason"], strict=True)
    found = dict(zip(rows["request_id"], answers, strict=True))
    calls.count_reused({key: len(ids) for key, (ids, _) in found.items()})
    return found


def _unusable(table: pa.Table) -> Iterator[Quarantined]:
    """Responses whose text and tokens do not say the same."""
    rows = zip(table["status"].to_pylist(), table["why"].to_pylist(), strict=True)
    for row, (status, why) in enumerate(rows):
        if status == "unusable":
            yield quarantine_row(STAGE, table, row, why)
