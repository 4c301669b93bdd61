"""What completion, reward and position engines are. Everything else about them is private to their file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

LOCAL: Final = "local"
EngineName = Literal["vllm", "server", "transformers", "judge", "rule", "fake"]
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What fixes a model's answers, as it enters request ids and the manifest.

    Attributes:
        name: the hub id, or the folder's name for a local model. Never a path.
        revision: commit sha of a hub model; LOCAL for a folder.
        fingerprint: sha256 over config, tokenizer and weights of a local folder, else the commit sha.
        dtype: of the weights, `bfloat16` or `float32`; `unknown` of a judge, `float64` of a rule's numbers.
        engine: which backend answers; numbers of two backends are never mixed under one id.
        quantization: what the engine made of the weights on loading; None where it took them as they are.
        adapter: sha256 over a LoRA adapter's files, or its commit on the Hub; None without one.
    """

    name: str
    revision: str
    fingerprint: str
    dtype: str
    engine: EngineName
    quantization: str | None = None
    adapter: str | None = None

    def facts(self) -> dict[str, str]:
        """What its answers depend on. A local folder's name is not part of it: a renamed folder pays for nothing."""
        # What is not set is not there, so that ids of before these two were known stay as they are.
        facts: dict[str, str] = {name: value for name, value in _by_name(self).items() if value is not None}
        return facts | {"name": ""} if self.revision == LOCAL else facts


@dataclass(frozen=True, slots=True)
class Sampling:
    """The sampling distribution. One for a whole run; the seed is each request's own."""

    temperature: float
    top_p: float
    stop_token_ids: tuple[int, ...]  # end-of-turn; returned as the last id of a finished completion
    top_k: int = 0  # tokens to choose from; 0: all
    min_p: float = 0.0  # least probability of a token, as a share of the likeliest one's

    def facts(self) -> dict[str, Any]:
        """All that are set, by name."""
        facts = _by_name(self)
        # As for a model: ids of before these two were known stay as they are.
        return {name: value for name, value in facts.items() if value or name not in ("top_k", "min_p")}


def _by_name(record: ModelIdentity | Sampling) -> dict[str, Any]:
    # For each request's id; asdict copies deeply, which was 9 of the 48 s of 10,000 pairs with models of no weight.
    return {field.name: getattr(record, field.name) for field in fields(record)}


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """Continue `token_ids` (prompt and kept prefix) by at most `max_tokens` tokens."""

    request_id: str
    token_ids: Sequence[int]
    seed: int
    sample_index: int
    max_tokens: int


class Completion(NamedTuple):
    """The new tokens only; they end in a stop token where `finish_reason` is `stop`."""

    request_id: str
    token_ids: list[int]
    finish_reason: FinishReason
    cached_tokens: int | None  # prompt tokens served from the prefix cache, where the engine says so


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A whole conversation in the reward model's own tokens."""

    request_id: str
    token_ids: Sequence[int]


class Objectives(NamedTuple):
    """What a reward model says of one conversation, objective by objective."""

    reward: float  # what `score` gives
    values: list[float]  # one an objective, in the order of the engine's `objectives`


@dataclass(frozen=True, slots=True)
class PairRequest:
    """A prompt and two responses to it, laid out in a pairwise model's own tokens."""

    request_id: str
    token_ids: Sequence[int]  # source, first candidate, second candidate


@dataclass(frozen=True, slots=True)
class PositionRequest:
    """Read a given response as the policy sees it: `prompt_ids`, then `response_ids`, the policy's own tokens."""

    request_id: str
    prompt_ids: Sequence[int]
    response_ids: Sequence[int]


class Positions(NamedTuple):
    """Of each response token t, float32 of shape (response tokens,), in nats."""

    request_id: str
    log_prob: npt.NDArray[np.float32]  # log π(y_t | x, y_<t), at most 0
    entropy: npt.NDArray[np.float32]  # of π(· | x, y_<t) at temperature 1, 0 to log of the vocabulary


# (finished requests, finished tokens) since the last call
Progress = Callable[[int, int], None]


def no_progress(requests: int, tokens: int) -> None:
    """Ignore progress."""


class CompletionEngine(Protocol):
    """Samples continuations of token ids."""

    @property
    def identity(self) -> ModelIdentity: ...

    def complete(
        self, requests: Sequence[CompletionRequest], sampling: Sampling, progress: Progress = no_progress
    ) -> list[Completion]:
        """Completions in the order of `requests`. Same batch, same engine: same tokens.

        Raises:
            EngineError: the batch failed as a whole; nothing of it may be used.
        """
        ...

    def close(self) -> None:
        """Free the model. No process and no memory stays behind."""
        ...


class RewardEngine(Protocol):
    """Scores whole conversations with a scalar reward (the raw head, no sigmoid)."""

    @property
    def identity(self) -> ModelIdentity: ...

    def score(self, requests: Sequence[ScoreRequest], progress: Progress = no_progress) -> list[float]:
        """Rewards in the order of `requests`. Not-a-number is returned as it is; the caller quarantines.

        Raises:
            EngineError: the batch failed as a whole, or the model's output is not one number a row.
        """
        ...

    def close(self) -> None: ...


@runtime_checkable
class ObjectiveRewardEngine(RewardEngine, Protocol):
    """A reward engine whose reward is made of several, which it can show."""

    @property
    def objectives(self) -> tuple[str, ...]: ...

    def score_objectives(self, requests: Sequence[ScoreRequest], progress: Progress = no_progress) -> list[Objectives]:
        """As `score`, with each objective's own reward.

        Raises:
            EngineError: as `score`.
        """
        ...


class PairEngine(Protocol):
    """Says how much better the first of two responses is than the second."""

    @property
    def identity(self) -> ModelIdentity: ...

    def compare(self, requests: Sequence[PairRequest], progress: Progress = no_progress) -> list[float]:
        """Margins in the order of `requests`, each of the candidate at the first place; not averaged over orders.

        Raises:
            EngineError: the batch failed as a whole.
        """
        ...

    def close(self) -> None: ...


class PositionEngine(Protocol):
    """Says how likely each token of a given response is, and how sure the policy is of what comes there."""

    @property
    def identity(self) -> ModelIdentity: ...

    def positions(self, requests: Sequence[PositionRequest], progress: Progress = no_progress) -> list[Positions]:
        """Log-probabilities and entropies in the order of `requests`, all finite.

        Raises:
            EngineError: the batch failed as a whole, or a request's numbers are not finite.
        """
        ...

    def close(self) -> None: ...
