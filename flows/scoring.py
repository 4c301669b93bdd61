"""Rewards of full responses and completions: the missing ones of each fixed batch into the ledger."""

import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from flows import models
from flows.progress import Advance
from flows.run import Run
from flows.sampling import Sampler
from transforms.engines.protocol import RewardEngine, ScoreRequest
from transforms.ledger import Ledger
from transforms.manifest import SpendRecord
from transforms.requests import fixed_batches, score_requests
from transforms.schema import SCORES
from transforms.scoring import Reading, Scored, assemble, readings


class ScoreBatch(NamedTuple):
    """A fixed batch of the run's request list and what of it is not in the ledger yet."""

    ids: list[str]
    missing: list[ScoreRequest]


class PartToScore(NamedTuple):
    """One part of the data with everything that the reward model reads for it."""

    number: int
    pairs: pa.Table
    read: list[Reading]
    requests: list[ScoreRequest | str]  # of each reading; a string says why there can be none


class Scorer:
    """The scoring stage of one run. The reward model is loaded at the first batch that needs it."""

    def __init__(self, run: Run, sampler: Sampler) -> None:
        self._run = run
        self._sampler = sampler
        self._reward, self._config = run.require_reward()
        self._engine: RewardEngine | None = None
        self._paid: set[str] = set()
        self._inputs = models.load_reward_inputs(self._reward, self._config)
        self.ledger = Ledger(run.ledger_root, "scores", self._reward.identity)
        self.spend = run.spend.setdefault(
            "scores", SpendRecord(requests=0, generated=0, reused=0, tokens_generated=0, tokens_reused=0)
        )

    def total(self) -> int:
        """Conversations of the whole run."""
        live = sum(int(part["reason"].null_count) for part in self._run.prepared)
        return 2 * live + self._sampler.total()

    def parts(self) -> Iterator[PartToScore]:
        """Each part with its readings; the completions come from the ledger."""
        for number, pairs in enumerate(self._run.prepared):
            samples = self._sampler.requests(pairs)
            read = readings(pairs, samples, self._sampler.completions(samples), self._run.chat)
            conversations = self._inputs.token_ids([r.prompt for r in read], [r.response for r in read])
            requests = score_requests(self._reward.identity, conversations, self._inputs.context)
            yield PartToScore(number, pairs, read, requests)

    def batches(self, part: PartToScore) -> Iterator[ScoreBatch]:
        """Fixed batches of conversations of like length, so that little is padding."""
        readable = {r.request_id: r for r in part.requests if isinstance(r, ScoreRequest)}
        ordered = sorted(readable.values(), key=lambda r: (len(r.token_ids), r.request_id))
        for ids in fixed_batches([r.request_id for r in ordered], self._config.batch):
            yield ScoreBatch(ids, [readable[key] for key in self.ledger.missing(ids)])

    def run_batch(self, batch: ScoreBatch, advance: Advance) -> None:
        """Score what is missing and keep it. Rewards that are no number are not kept: they may be a hiccup."""
        self.spend.requests += len(batch.ids)
        self.spend.reused += len(batch.ids) - len(batch.missing)
        advance(len(batch.ids) - len(batch.missing))
        if not batch.missing:
            return
        ids = [request.request_id for request in batch.missing]
        engine = self._open()
        self.ledger.start(ids)
        start = time.monotonic()
        rewards = engine.score(batch.missing, advance)
        self.spend.seconds += time.monotonic() - start
        self.ledger.append(ids, _rows(batch.missing, rewards))
        self._paid.update(ids)
        self.spend.generated += len(ids)
        self.spend.tokens_generated += sum(len(r.token_ids) for r in batch.missing)
        self.spend.batches += 1
        self.spend.batches_paid_again = self.ledger.interrupted

    def rewards(self, part: PartToScore) -> Scored:
        """The rewards of a part's pairs, once all of its batches are through."""
        lengths = {r.request_id: len(r.token_ids) for r in part.requests if isinstance(r, ScoreRequest)}
        rows = self.ledger.fetch(list(lengths))
        known: dict[str, float] = dict(zip(rows["request_id"], rows["reward"], strict=True))
        self.spend.tokens_reused += sum(lengths[key] for key in known if key not in self._paid)
        found = [r if isinstance(r, str) else known.get(r.request_id, math.nan) for r in part.requests]
        return assemble(part.pairs, part.read, found, completions_per_side=self._run.recipe.sampling.n)

    def close(self) -> None:
        """Unload the reward model, if it was loaded."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _open(self) -> RewardEngine:
        if self._engine is None:
            self._engine = models.open_reward(self._reward, self._config)
        return self._engine


def _rows(requests: list[ScoreRequest], rewards: list[float]) -> pa.Table:
    finite = [(r, reward) for r, reward in zip(requests, rewards, strict=True) if math.isfinite(reward)]
    return pa.table(
        {
            "request_id": [r.request_id for r, _ in finite],
            "reward": [reward for _, reward in finite],
            "tokens": [len(r.token_ids) for r, _ in finite],
        },
        schema=SCORES,
    )
