"""Rewards of full responses and completions: the missing ones of each fixed batch into the ledger."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa

from flows import models
from flows.calls import Batch, Calls, Paid
from flows.run import Run
from flows.sampling import Sampler
from transforms.engines.protocol import Progress, RewardEngine, ScoreRequest
from transforms.ledger import Ledger
from transforms.manifest import SpendRecord
from transforms.requests import fixed_batches, score_requests
from transforms.schema import SCORES
from transforms.scoring import Reading, Scored, assemble, readings


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
        self._inputs = models.load_reward_inputs(self._reward, self._config)
        spend = run.spend.setdefault(
            "scores", SpendRecord(requests=0, generated=0, reused=0, tokens_generated=0, tokens_reused=0)
        )
        self.calls: Calls[ScoreRequest, RewardEngine] = Calls(
            Ledger(run.ledger_root, "scores", self._reward.identity),
            spend,
            open_engine=lambda: models.open_reward(self._reward, self._config),
            ask=_ask,
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

    def batches(self, part: PartToScore) -> Iterator[Batch[ScoreRequest]]:
        """Fixed batches of conversations of like length, so that little is padding."""
        readable = {r.request_id: r for r in part.requests if isinstance(r, ScoreRequest)}
        ordered = sorted(readable.values(), key=lambda r: (len(r.token_ids), r.request_id))
        for ids in fixed_batches([r.request_id for r in ordered], self._config.batch):
            yield Batch(ids, [readable[key] for key in self.calls.ledger.missing(ids)])

    def rewards(self, part: PartToScore) -> Scored:
        """The rewards of a part's pairs, once all of its batches are through."""
        lengths = {r.request_id: len(r.token_ids) for r in part.requests if isinstance(r, ScoreRequest)}
        rows = self.calls.ledger.fetch(list(lengths))
        known: dict[str, float] = dict(zip(rows["request_id"], rows["reward"], strict=True))
        self.calls.spend.tokens_reused += sum(lengths[key] for key in known if self.calls.reused(key))
        found = [r if isinstance(r, str) else known.get(r.request_id, math.nan) for r in part.requests]
        return assemble(part.pairs, part.read, found, completions_per_side=self._run.recipe.sampling.n)


def _ask(engine: RewardEngine, requests: Sequence[ScoreRequest], progress: Progress) -> Paid:
    rewards = engine.score(requests, progress)
    return Paid(_rows(requests, rewards), sum(len(r.token_ids) for r in requests))


def _rows(requests: Sequence[ScoreRequest], rewards: Sequence[float]) -> pa.Table:
    """Rewards that are no number are not kept: they may be a hiccup, and are asked again next time."""
    finite = [(r, reward) for r, reward in zip(requests, rewards, strict=True) if math.isfinite(reward)]
    return pa.table(
        {
            "request_id": [r.request_id for r, _ in finite],
            "reward": [reward for _, reward in finite],
            "tokens": [len(r.token_ids) for r, _ in finite],
        },
        schema=SCORES,
    )
