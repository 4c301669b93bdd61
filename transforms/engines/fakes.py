"""Seeded, deterministic engines without a model. For unit tests only; no recipe can ask for them."""

import hashlib
import math
from collections.abc import Collection, Sequence
from random import Random

import numpy as np

from transforms.engines.protocol import (
    Completion,
    CompletionRequest,
    ModelIdentity,
    PositionRequest,
    Positions,
    Progress,
    Sampling,
    ScoreRequest,
    no_progress,
)
from transforms.errors import EngineError


class FakeCompletions:
    """Random ids below `vocab`, fixed by token ids, seed and sampling; stops at `stop_rate` a token.

    Attributes:
        calls: how often `complete` ran, failed calls included.
        seen: request ids of every finished call, in order.
        closed: whether `close` was called.
    """

    def __init__(
        self,
        *,
        vocab: int = 1000,
        stop_rate: float = 0.1,
        fail_at: Collection[int] = (),
        name: str = "fake-policy",
    ) -> None:
        """`fail_at` holds the calls that raise EngineError, counted from 1."""
        self.identity = ModelIdentity(name, "local", hashlib.sha256(name.encode()).hexdigest(), "float32", "fake")
        self.calls = 0
        self.seen: list[str] = []
        self.closed = False
        self._vocab = vocab
        self._stop_rate = stop_rate
        self._fail_at = frozenset(fail_at)

    def complete(
        self, requests: Sequence[CompletionRequest], sampling: Sampling, progress: Progress = no_progress
    ) -> list[Completion]:
        self.calls += 1
        if self.calls in self._fail_at:
            message = f"fake completion engine: call {self.calls} was told to fail"
            raise EngineError(message)
        completions = []
        for request in requests:
            completions.append(self._one(request, sampling))
            progress(1, len(completions[-1].token_ids))
        self.seen += [request.request_id for request in requests]
        return completions

    def close(self) -> None:
        self.closed = True

    def _one(self, request: CompletionRequest, sampling: Sampling) -> Completion:
        # Greedy decoding does not know the seed.
        seed = request.seed if sampling.temperature > 0 else None
        random = Random(_digest(list(request.token_ids), seed, sampling.temperature, sampling.top_p))
        ids: list[int] = []
        while len(ids) < request.max_tokens:
            if sampling.stop_token_ids and random.random() < self._stop_rate:
                return Completion(request.request_id, [*ids, sampling.stop_token_ids[0]], "stop", 0)
            token = random.randrange(self._vocab)
            if token not in sampling.stop_token_ids:
                ids.append(token)
        return Completion(request.request_id, ids, "length", 0)


class FakeRewards:
    """A reward in [-10, 10) fixed by the token ids.

    Attributes:
        calls: how often `score` ran, failed calls included.
        seen: request ids of every finished call, in order.
        closed: whether `close` was called.
    """

    def __init__(
        self,
        *,
        nan_for: Collection[str] = (),
        fail_at: Collection[int] = (),
        wrong_shape: bool = False,
        name: str = "fake-reward",
    ) -> None:
        """
        Args:
            nan_for: request ids whose reward is not a number.
            fail_at: the calls that raise EngineError, counted from 1.
            wrong_shape: raise the EngineError of a model with two outputs a row.
        """
        self.identity = ModelIdentity(name, "local", hashlib.sha256(name.encode()).hexdigest(), "float32", "fake")
        self.calls = 0
        self.seen: list[str] = []
        self.closed = False
        self._nan_for = frozenset(nan_for)
        self._fail_at = frozenset(fail_at)
        self._wrong_shape = wrong_shape

    def score(self, requests: Sequence[ScoreRequest], progress: Progress = no_progress) -> list[float]:
        self.calls += 1
        if self.calls in self._fail_at:
            message = f"fake reward engine: call {self.calls} was told to fail"
            raise EngineError(message)
        if self._wrong_shape:
            message = f"fake reward engine: output of shape ({len(requests)}, 2), expected one number a row"
            raise EngineError(message)
        rewards = [
            math.nan
            if request.request_id in self._nan_for
            else Random(_digest(list(request.token_ids))).uniform(-10.0, 10.0)
            for request in requests
        ]
        for request in requests:
            progress(1, len(request.token_ids))
        self.seen += [request.request_id for request in requests]
        return rewards

    def close(self) -> None:
        self.closed = True


class FakePositions:
    """Log-probabilities in (-10, 0] and entropies in [0, log vocab), each fixed by the tokens up to its own.

    Attributes:
        calls: how often `positions` ran, failed calls included.
        seen: request ids of every finished call, in order.
        closed: whether `close` was called.
    """

    def __init__(self, *, vocab: int = 1000, fail_at: Collection[int] = (), name: str = "fake-policy") -> None:
        """`fail_at` holds the calls that raise EngineError, counted from 1."""
        self.identity = ModelIdentity(name, "local", hashlib.sha256(name.encode()).hexdigest(), "float32", "fake")
        self.calls = 0
        self.seen: list[str] = []
        self.closed = False
        self._vocab = vocab
        self._fail_at = frozenset(fail_at)

    def positions(self, requests: Sequence[PositionRequest], progress: Progress = no_progress) -> list[Positions]:
        self.calls += 1
        if self.calls in self._fail_at:
            message = f"fake position engine: call {self.calls} was told to fail"
            raise EngineError(message)
        found = []
        for request in requests:
            found.append(self._one(request))
            progress(1, len(request.prompt_ids) + len(request.response_ids))
        self.seen += [request.request_id for request in requests]
        return found

    def close(self) -> None:
        self.closed = True

    def _one(self, request: PositionRequest) -> Positions:
        state = _digest([int(token) for token in request.prompt_ids])
        log_prob, entropy = [], []
        for token in request.response_ids:
            # What may come is known before the token itself.
            entropy.append(Random(state).uniform(0.0, math.log(self._vocab)))
            state = _digest(state, int(token))
            log_prob.append(-Random(state).uniform(0.0, 10.0))
        return Positions(request.request_id, np.array(log_prob, np.float32), np.array(entropy, np.float32))


def _digest(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8])
