"""Reference log-probs of training examples, paid for once: every run and objective reads them from the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from flows.calls import Calls, Paid, Pay, pay_for, rebatched
from flows.progress import Progress
from trainers.examples import Example, check_readable
from trainers.references import ReferenceModel, References, WholeResponses
from transforms.engines.causal_model import load_causal
from transforms.engines.models import Dtype, ResolvedModel, resolve_model
from transforms.engines.protocol import Progress as RequestProgress
from transforms.engines.tokenizer import context_length, vocabulary_size
from transforms.ledger import Ledger
from transforms.manifest import SpendRecord
from transforms.requests import LogProbRequest, log_prob_request
from transforms.schema import LOG_PROBS

BATCH: Final = 256  # responses an engine call, and the most that a crash can lose
_SHARING: Final = 4  # responses in a packed row at most: its mask grows with the square of its length


class Reference(NamedTuple):
    """A reference policy as it will answer."""

    model: ResolvedModel
    context: int  # tokens that it reads
    vocabulary: int
    trust_remote_code: bool


class Referenced(NamedTuple):
    """Log-probs and what they cost."""

    log_probs: References
    spend: SpendRecord


class _Wanted(NamedTuple):
    """The requests behind one example."""

    responses: list[list[LogProbRequest]]  # a response's whole ones: its keep is a prefix of each
    prompt: LogProbRequest | None  # None: not asked for, or a prompt of one token, of which nothing is left to read


def find_reference(
    model: str | Path, revision: str | None = None, *, dtype: Dtype, trust_remote_code: bool = False
) -> Reference:
    """Find a reference policy and pin it by content; its weights stay where they are.

    Raises:
        ModelError: no such model, or one without a context length or vocabulary.
    """
    found = resolve_model(model, revision, dtype=dtype, engine="transformers", trust_remote_code=trust_remote_code)
    where, commit = found.location, found.revision
    return Reference(
        found,
        context_length(where, commit, trust_remote_code=trust_remote_code),
        vocabulary_size(where, commit, trust_remote_code=trust_remote_code),
        trust_remote_code,
    )


def reference_log_probs(
    examples: Sequence[Example],
    whole: Sequence[Example],
    reference: Reference,
    *,
    ledger: str,
    pay: Pay,
    progress: Progress,
    prompts: bool = False,
    longest: int | None = None,
    batch_tokens: int = 8192,
) -> Referenced:
    """What the reference says of `examples`; the model is loaded only if the ledger lacks some of it.

    The ledger keeps whole responses, so that another truncation of the same data costs nothing. Its ids hold the
    model's fingerprint, revision and dtype, the prompt and the whole response.

    Args:
        examples: with the kept tokens of their responses, grouped by prompt or not.
        whole: the responses that they were cut from, as `trainers.references.read_whole` reads them, in any order;
            an example that is not among them is read as it is.
        reference: as `find_reference` found it.
        ledger: folder or fsspec URL.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows responses, tokens a second and the time that is left.
        prompts: read the prompts too, as RAO needs it.
        longest: tokens of prompt and response together that are read of a whole response at most; the model's
            context by default. Runs that share log-probs must agree on it where responses are longer.
        batch_tokens: of a forward pass, padding included.

    Raises:
        SchemaError: an example has ids that the reference does not know, or more tokens than it reads.
        EngineError: the model failed, or gave a log-prob that is not finite, whatever was tried.
    """
    limit = min(reference.context, longest or reference.context)
    check_readable(examples, vocabulary=reference.vocabulary, context=limit, where="reference log-probs")
    known = WholeResponses(whole)
    wanted = [_wanted(example, known, reference, limit, prompts) for example in examples]
    names = {
        request.request_id: example.name
        for example, one in zip(examples, wanted, strict=True)
        for request in _requests(one)
    }
    spend = SpendRecord.nothing()
    calls: Calls[LogProbRequest, ReferenceModel] = Calls(
        Ledger(ledger, "log_probs", reference.model.identity),
        spend,
        open_engine=lambda: _open(reference, batch_tokens),
        ask=partial(_ask, names),
    )
    with progress.bar("reference log-probs", unit="responses", total=len(names)) as advance:
        try:
            requests = (request for one in wanted for request in _requests(one))
            pay_for(pay, "reference log-probs", calls, rebatched(requests, BATCH, calls.ledger), advance)
        finally:
            calls.close()
    return Referenced(_Answers(calls, names).of(examples, wanted, prompts=prompts), spend)


def _wanted(example: Example, known: WholeResponses, reference: Reference, limit: int, prompts: bool) -> _Wanted:
    identity, prompt = reference.model.identity, example.prompt
    room = limit - len(prompt)
    return _Wanted(
        [
            [log_prob_request(identity, prompt, whole[:room]) for whole in known.behind(prompt, kept)]
            for kept in example.responses
        ],
        log_prob_request(identity, prompt[:1], prompt[1:]) if prompts and len(prompt) > 1 else None,
    )


def _requests(wanted: _Wanted) -> list[LogProbRequest]:
    responses = [request for options in wanted.responses for request in options]
    return [*responses, wanted.prompt] if wanted.prompt else responses


def _open(reference: Reference, batch_tokens: int) -> ReferenceModel:
    loaded = load_causal(reference.model, trust_remote_code=reference.trust_remote_code)
    return ReferenceModel(loaded, batch_tokens=batch_tokens)


def _ask(
    names: Mapping[str, str], engine: ReferenceModel, requests: Sequence[LogProbRequest], progress: RequestProgress
) -> Paid:
    examples = _share_prompts(names, requests)
    found = engine.token_log_probs(examples, progress)
    by_response = [tokens for example in found for tokens in example]
    lengths = np.array([len(tokens) for tokens in by_response])
    values = pa.array(np.concatenate(by_response), pa.float32())
    rows = {
        "request_id": [request.request_id for request in requests],
        "log_probs": pa.ListArray.from_arrays(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), values),
    }
    return Paid(pa.table(rows, schema=LOG_PROBS), int(lengths.sum()))


def _share_prompts(names: Mapping[str, str], requests: Sequence[LogProbRequest]) -> list[Example]:
    """Neighbours with one prompt as one example, so that it may be read once; the order stays."""
    examples = []
    for _, same in groupby(requests, key=lambda request: request.prompt.tobytes()):
        neighbours = list(same)
        for start in range(0, len(neighbours), _SHARING):
            some = neighbours[start : start + _SHARING]
            name = names[some[0].request_id]
            examples.append(Example(name, some[0].prompt, tuple(request.response for request in some)))
    return examples


class _Answers:
    """What the ledger holds, as sums over kept tokens."""

    def __init__(self, calls: Calls[LogProbRequest, ReferenceModel], ids: Iterable[str]) -> None:
        rows = calls.ledger.fetch(list(ids))
        self._row = {key: row for row, key in enumerate(rows["request_id"])}
        lengths = rows["log_probs"].list.len().to_numpy()
        self._starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self._values = rows["log_probs"].explode().to_numpy()
        reused = np.array([calls.reused(key) for key in self._row], dtype=bool)
        calls.spend.tokens_reused += int(lengths[reused].sum())

    def of(self, examples: Sequence[Example], wanted: Sequence[_Wanted], *, prompts: bool) -> References:
        responses = [
            tuple(self._sum(options, len(kept)) for options, kept in zip(one.responses, example.responses, strict=True))
            for one, example in zip(wanted, examples, strict=True)
        ]
        of_prompts = [self._sum([one.prompt]) if one.prompt else 0.0 for one in wanted]
        return References(responses, of_prompts if prompts else None)

    def _sum(self, requests: Sequence[LogProbRequest], keep: int | None = None) -> float:
        """Log-prob of the first `keep` tokens, all by default, that the given requests have in common."""
        # Several whole responses may begin alike. One of them answers, whatever their order in the data.
        row = self._row[min(request.request_id for request in requests)]
        start, end = self._starts[row], self._starts[row + 1]
        return float(self._values[start : end if keep is None else start + keep].sum(dtype=np.float64))
