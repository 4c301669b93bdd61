"""Completions by a policy: the missing ones of each fixed batch into the ledger."""

from collections.abc import Callable, Sequence
from functools import partial

import pyarrow as pa

from flows.models.crew import Crew, Paid
from flows.models.engine_calls import Calls
from transforms.asking.ledger import Ledger
from transforms.engines.protocol import (
    Completion,
    CompletionEngine,
    CompletionRequest,
    ModelIdentity,
    Progress,
    Sampling,
)
from transforms.records.manifest import SpendRecord
from transforms.tables.schema import COMPLETIONS

SamplingCalls = Calls[CompletionRequest, CompletionEngine]


def sampling_calls(
    identity: ModelIdentity,
    sampling: Sampling,
    *,
    ledger_root: str,
    spend: SpendRecord,
    open_engine: Callable[[], CompletionEngine],
    crew: Crew[CompletionRequest] | None = None,
) -> SamplingCalls:
    """The calls of one policy. It is loaded at the first batch that needs it.

    Args:
        identity: of the policy as it will answer.
        sampling: the distribution of all its completions.
        ledger_root: folder or fsspec URL.
        spend: the account.
        open_engine: loads the policy here.
        crew: who answers in its place.
    """
    ledger = Ledger(ledger_root, "completions", identity)
    return Calls(ledger, spend, open_engine=open_engine, ask=partial(ask_policy, sampling), crew=crew)


def ask_policy(
    sampling: Sampling, engine: CompletionEngine, requests: Sequence[CompletionRequest], progress: Progress
) -> Paid:
    """Completions of a batch as rows of schema.COMPLETIONS."""
    completions = engine.complete(requests, sampling, progress)
    tokens = sum(len(c.token_ids) for c in completions)
    return Paid(_rows(requests, completions), tokens, sum(c.cached_tokens or 0 for c in completions))


def _rows(requests: Sequence[CompletionRequest], completions: list[Completion]) -> pa.Table:
    return pa.table(
        {
            "request_id": [c.request_id for c in completions],
            "completion_ids": [c.token_ids for c in completions],
            "finish_reason": [c.finish_reason for c in completions],
            "seed": [r.seed for r in requests],
            "sample_index": [r.sample_index for r in requests],
            "max_tokens": [r.max_tokens for r in requests],
            "cached_tokens": [c.cached_tokens for c in completions],
        },
        schema=COMPLETIONS,
    )
