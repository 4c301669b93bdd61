"""Log-probs of whole responses by frozen policies, paid for once: trainings and evaluations share the ledger's."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from flows.models.crew import Crew, Paid
from flows.models.engine_calls import Calls, Pay, pay_for, rebatched
from flows.runtime.progress import Progress
from trainers.policies.token_readings import FrozenModel, TokenReader, Tokens
from trainers.reading.examples import Example
from trainers.reading.pair_tokens import Ids
from transforms.asking.ledger import Ledger
from transforms.asking.requests import LogProbRequest, log_prob_request
from transforms.engines.causal_model import load_causal
from transforms.engines.models import Dtype, ResolvedModel, resolve_model
from transforms.engines.protocol import ModelIdentity
from transforms.engines.protocol import Progress as RequestProgress
from transforms.engines.tokenizer import context_length, vocabulary_size
from transforms.records.manifest import SpendRecord
from transforms.tables.schema import LOG_PROBS

BATCH: Final = 256  # responses an engine call, and the most that a crash can lose
_SHARING: Final = 4  # responses in a packed row at most: its mask grows with the square of its length


class Causal(NamedTuple):
    """A causal language model as it will answer; its weights stay where they are."""

    model: ResolvedModel
    context: int  # tokens that it reads
    vocabulary: int
    trust_remote_code: bool
    cast_to: Dtype | None = None  # what its layers compute in; None: in the dtype of the weights

    @property
    def identity(self) -> ModelIdentity:
        """Under which the ledger keeps its answers."""
        own = self.model.identity
        return own if self.cast_to is None else replace(own, dtype=f"{own.dtype} cast to {self.cast_to}")

    @property
    def autocast(self) -> torch.dtype | None:
        """`cast_to` as torch knows it."""
        return None if self.cast_to is None else getattr(torch, self.cast_to)

    def load(self) -> Any:
        """The model, on the CPU."""
        return load_causal(self.model, trust_remote_code=self.trust_remote_code)


def find_causal(
    model: str | Path,
    revision: str | None = None,
    *,
    dtype: Dtype,
    cast_to: Dtype | None = None,
    trust_remote_code: bool = False,
) -> Causal:
    """Find a causal language model and pin it by content.

    Args:
        model: folder or Hub id.
        revision: of a Hub id.
        dtype: of the weights.
        cast_to: another dtype that layers compute in, as a trainer with automatic casting does.
        trust_remote_code: of the model's repository.

    Raises:
        ModelError: no such model, or one without a context length or vocabulary.
    """
    found = resolve_model(model, revision, dtype=dtype, engine="transformers", trust_remote_code=trust_remote_code)
    where, commit = found.location, found.revision
    return Causal(
        found,
        context_length(where, commit, trust_remote_code=trust_remote_code),
        vocabulary_size(where, commit, trust_remote_code=trust_remote_code),
        trust_remote_code,
        None if cast_to == dtype else cast_to,
    )


def open_frozen(causal: Causal, batch_tokens: int) -> FrozenModel:
    """Load the model.

    Args:
        causal: as found.
        batch_tokens: of a forward pass, padding included.
    """
    return FrozenModel(causal.load(), batch_tokens=batch_tokens, cast_to=causal.autocast)


class LogProbReader:
    """A frozen model with its ledger of log-probs. The model is loaded at the first batch that needs it.

    Ids hold the model's fingerprint, revision and dtypes, the prompt and the whole response.

    Args:
        causal: the model.
        role: its part in this, `policy` or `reference`; for progress.
        ledger_root: folder or fsspec URL.
        spend: the account.
        batch_tokens: of a forward pass, padding included.
        crew: who answers in place of the model in this process.
    """

    def __init__(
        self,
        causal: Causal,
        role: str,
        *,
        ledger_root: str,
        spend: SpendRecord,
        batch_tokens: int = 8192,
        crew: Crew[LogProbRequest] | None = None,
    ) -> None:
        self._causal, self._role = causal, role
        self.calls: Calls[LogProbRequest, FrozenModel] = Calls(
            Ledger(ledger_root, "log_probs", causal.identity),
            spend,
            open_engine=lambda: open_frozen(causal, batch_tokens),
            ask=ask_frozen,
            crew=crew,
        )

    def read(self, requests: Iterable[LogProbRequest], *, pay: Pay, progress: Progress) -> dict[str, Tokens]:
        """Log-probs of every response token by request id, nats; without those that are not finite.

        Raises:
            EngineError: the model failed, whatever was tried.
        """
        wanted = {request.request_id: request for request in requests}
        name = f"{self._role} log-probs"
        with progress.bar(name, unit="responses", total=len(wanted)) as advance:
            pay_for(pay, name, self.calls, rebatched(wanted.values(), BATCH, self.calls.ledger), advance)
        return self._answers(list(wanted))

    def read_whole(self, examples: Sequence[Example], *, pay: Pay, progress: Progress) -> list[list[Tokens]]:
        """Log-probs of every response token, example by example, nats; NaN for responses with one that is not finite.

        Args:
            examples: with whole responses, within the model's context and vocabulary.
            pay: calls a batch of expensive work by a name, and again if its engine fails.
            progress: shows responses, tokens a second and the time that is left.
        """
        asked = [[self.request(example.prompt, response) for response in example.responses] for example in examples]
        found = self.read((request for responses in asked for request in responses), pay=pay, progress=progress)
        return [
            [found.get(one.request_id, np.full(len(one.response), np.nan, np.float32)) for one in responses]
            for responses in asked
        ]

    def request(self, prompt: Ids, response: Ids) -> LogProbRequest:
        """What is asked of this model about a response after its prompt."""
        return log_prob_request(self._causal.identity, prompt, response)

    def _answers(self, ids: Sequence[str]) -> dict[str, Tokens]:
        rows = self.calls.ledger.fetch(ids)
        lengths = rows["log_probs"].list.len().to_numpy()
        values = np.split(rows["log_probs"].explode().to_numpy(), np.cumsum(lengths)[:-1])
        found = dict(zip(rows["request_id"], values, strict=True))
        self.calls.count_reused({key: len(tokens) for key, tokens in found.items()})
        return found


def ask_frozen(engine: TokenReader, requests: Sequence[LogProbRequest], progress: RequestProgress) -> Paid:
    """Log-probs of a batch as rows of schema.LOG_PROBS."""
    found = engine.token_log_probs(_share_prompts(requests), partial(progress, 0))
    progress(len(requests), 0)
    by_response = [tokens for example in found for tokens in example]
    return Paid(_rows(requests, by_response), sum(map(len, by_response)))


def _rows(requests: Sequence[LogProbRequest], found: Sequence[Tokens]) -> pa.Table:
    """Responses with a log-prob that is not finite are not kept: it may be a hiccup, and is asked again next time."""
    finite = [(r.request_id, tokens) for r, tokens in zip(requests, found, strict=True) if np.isfinite(tokens).all()]
    lengths = [len(tokens) for _, tokens in finite]
    values = pa.array(np.concatenate([np.empty(0, np.float32), *(tokens for _, tokens in finite)]), pa.float32())
    rows = {
        "request_id": [key for key, _ in finite],
        "log_probs": pa.ListArray.from_arrays(np.cumsum([0, *lengths]).astype(np.int32), values),
    }
    return pa.table(rows, schema=LOG_PROBS)


def _share_prompts(requests: Sequence[LogProbRequest]) -> list[Example]:
    """Neighbours with one prompt as one example, so that it may be read once; the order stays."""
    examples = []
    for _, same in groupby(requests, key=lambda request: request.prompt.tobytes()):
        neighbours = list(same)
        for start in range(0, len(neighbours), _SHARING):
            some = neighbours[start : start + _SHARING]
            examples.append(Example(some[0].request_id, some[0].prompt, tuple(one.response for one in some)))
    return examples
