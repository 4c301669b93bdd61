"""Completions of truncated prefixes: the missing ones of each fixed batch through the engine into the ledger."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from flows import models
from flows.progress import Advance
from flows.run import Run
from transforms.engines.protocol import Completion, CompletionEngine, CompletionRequest, Sampling
from transforms.ledger import Ledger
from transforms.manifest import SpendRecord
from transforms.requests import PrefixSample, cut_sides, fixed_batches, prefix_samples
from transforms.schema import COMPLETIONS


class CompletionBatch(NamedTuple):
    """A fixed batch of the run's request list and what of it is not in the ledger yet."""

    ids: list[str]
    missing: list[CompletionRequest]


class Sampler:
    """The sampling stage of one run. The engine is loaded at the first batch that needs it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._policy = run.require_policy()
        self._engine: CompletionEngine | None = None
        self._paid: set[str] = set()
        config = run.recipe.sampling
        self.sampling = Sampling(config.temperature, config.top_p, (run.chat.eot_id,))
        self.ledger = Ledger(run.ledger_root, "completions", self._policy.identity)
        self.spend = run.spend.setdefault(
            "completions", SpendRecord(requests=0, generated=0, reused=0, tokens_generated=0, tokens_reused=0)
        )

    def total(self) -> int:
        """Requests of the whole run, known before any is made."""
        return sum(len(cut_sides(part)) for part in self._run.prepared) * self._run.recipe.sampling.n

    def requests(self, part: pa.Table) -> list[PrefixSample]:
        """Every completion that a part asks for."""
        config = self._run.recipe.sampling
        return list(
            prefix_samples(
                part,
                self._policy.identity,
                self.sampling,
                n=config.n,
                run_seed=config.seed,
                max_new_tokens=config.max_new_tokens,
                context=self._run.models.context,
            )
        )

    def batches(self) -> Iterator[CompletionBatch]:
        """Fixed batches in the order of the run's request list, also those that have nothing missing."""
        for part in self._run.prepared:
            requests = {sample.request.request_id: sample.request for sample in self.requests(part)}
            for ids in fixed_batches(list(requests), self._run.recipe.sampling.batch):
                missing = [requests[key] for key in self.ledger.missing(ids)]
                yield CompletionBatch(ids, missing)

    def run_batch(self, batch: CompletionBatch, advance: Advance) -> None:
        """Sample what is missing and keep it: all of the batch, or nothing if the engine fails."""
        self.spend.requests += len(batch.ids)
        self.spend.reused += len(batch.ids) - len(batch.missing)
        advance(len(batch.ids) - len(batch.missing))
        if not batch.missing:
            return
        ids = [request.request_id for request in batch.missing]
        engine = self._open()
        self.ledger.start(ids)
        start = time.monotonic()
        completions = engine.complete(batch.missing, self.sampling, advance)
        self.spend.seconds += time.monotonic() - start
        self.ledger.append(ids, _rows(batch.missing, completions))
        self._paid.update(ids)
        self.spend.generated += len(completions)
        self.spend.tokens_generated += sum(len(c.token_ids) for c in completions)
        self.spend.cached_prompt_tokens += sum(c.cached_tokens or 0 for c in completions)
        self.spend.batches += 1
        self.spend.batches_paid_again = self.ledger.interrupted

    def completions(self, samples: list[PrefixSample]) -> dict[str, list[int]]:
        """New token ids by request id, from the ledger."""
        rows = self.ledger.fetch([sample.request.request_id for sample in samples])
        found: dict[str, list[int]] = dict(zip(rows["request_id"], rows["completion_ids"].to_list(), strict=True))
        self.spend.tokens_reused += sum(len(ids) for key, ids in found.items() if key not in self._paid)
        return found

    def close(self) -> None:
        """Unload the engine, if one was loaded."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _open(self) -> CompletionEngine:
        if self._engine is None:
            self._engine = models.open_policy(self._policy, self._run.recipe, self._run.models.context)
        return self._engine


def _rows(requests: list[CompletionRequest], completions: list[Completion]) -> pa.Table:
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
