"""What the reference says of training examples: sums over kept tokens of what the ledger holds of whole responses."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np

from flows.models.crew import Crew, OneHere
from flows.models.engine_calls import Pay
from flows.models.log_probs import Causal, LogProbReader, ask_frozen
from flows.recipe.cluster import ClusterConfig
from flows.replicas.crews import reference_crew
from flows.runtime.progress import Progress
from trainers.policies.reading_together import ReadingTogether
from trainers.policies.token_readings import TokenReader, Tokens
from trainers.reading.examples import Example, check_readable
from trainers.reading.pair_tokens import some
from trainers.reading.references import References, WholeResponses
from transforms.asking.requests import LogProbRequest
from transforms.errors import EngineError
from transforms.records.manifest import SpendRecord


class Referenced(NamedTuple):
    """Log-probs and what they cost."""

    log_probs: References
    spend: SpendRecord


class _Wanted(NamedTuple):
    """The requests behind one example."""

    responses: list[list[LogProbRequest]]  # a response's whole ones: its keep is a prefix of each
    prompt: LogProbRequest | None  # None: not asked for, or a prompt of one token, of which nothing is left to read


def reference_log_probs(
    examples: Sequence[Example],
    whole: Sequence[Example],
    reference: Causal,
    *,
    ledger: str,
    pay: Pay,
    progress: Progress,
    prompts: bool = False,
    longest: int | None = None,
    batch_tokens: int = 8192,
    cluster: ClusterConfig | None = None,
    together: bool = False,
) -> Referenced:
    """What the reference says of `examples`; the model is loaded only if the ledger lacks some of it.

    The ledger keeps whole responses, so that another truncation of the same data costs nothing.

    Args:
        examples: with the kept tokens of their responses, grouped by prompt or not.
        whole: the responses that they were cut from, as `trainers.reading.references.read_whole` reads them, in any
            order; an example that is not among them is read as it is.
        reference: as `flows.models.log_probs.find_causal` found it.
        ledger: folder or fsspec URL.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows responses, tokens a second and the time that is left.
        prompts: read the prompts too, as RAO needs it.
        longest: tokens of prompt and response together that are read of a whole response at most; the model's
            context by default. Runs that share log-probs must agree on it where responses are longer.
        batch_tokens: of a forward pass, padding included.
        cluster: where its replicas are; None: it is read here.
        together: whether its weights are spread over the processes that met; the others `follow` meanwhile.

    Raises:
        SchemaError: an example has ids that the reference does not know, or more tokens than it reads.
        EngineError: the model failed whatever was tried, or gave log-probs that are not finite; names the examples.
    """
    limit = min(reference.context, longest or reference.context)
    check_readable(examples, vocabulary=reference.vocabulary, context=limit, where="reference log-probs")
    spend = SpendRecord.nothing()
    known = WholeResponses(whole)
    spread = reading_together(reference, batch_tokens, longest=_longest(examples, whole, limit)) if together else None
    crew: Crew[LogProbRequest] | None
    if spread is None:
        crew = reference_crew(reference, batch_tokens, cluster)
    else:
        engine: TokenReader = spread
        crew = OneHere(lambda: engine, ask_frozen)
    reader = LogProbReader(
        reference, "reference", ledger_root=ledger, spend=spend, batch_tokens=batch_tokens, crew=crew
    )
    wanted = [_wanted(example, known, reader, limit, prompts) for example in examples]
    with closing(reader.calls):
        found = reader.read((r for one in wanted for r in _requests(one)), pay=pay, progress=progress)
        if spread:
            spread.stop()
    _check_complete(examples, wanted, found, reader.calls.refused)
    responses = [
        tuple(_sum(found, options, len(kept)) for options, kept in zip(one.responses, example.responses, strict=True))
        for one, example in zip(wanted, examples, strict=True)
    ]
    of_prompts = [_sum(found, [one.prompt]) if one.prompt else 0.0 for one in wanted] if prompts else None
    return Referenced(References(responses, of_prompts), spend)


def reading_together(reference: Causal, batch_tokens: int, *, longest: int = 0) -> ReadingTogether:
    """The reference with its weights spread over the processes that met.

    Args:
        reference: as found.
        batch_tokens: of a forward pass of each process.
        longest: tokens of prompt and response together that are read at most; asked of the first process alone.
    """
    return ReadingTogether(reference.load, batch_tokens=batch_tokens, cast_to=reference.autocast, longest=longest)


def _longest(examples: Sequence[Example], whole: Sequence[Example], limit: int) -> int:
    sizes = (len(one.prompt) + len(response) for one in (*examples, *whole) for response in one.responses)
    return min(limit, max(sizes, default=0))


def _wanted(example: Example, known: WholeResponses, reader: LogProbReader, limit: int, prompts: bool) -> _Wanted:
    prompt = example.prompt
    room = limit - len(prompt)
    return _Wanted(
        [[reader.request(prompt, whole[:room]) for whole in known.behind(prompt, kept)] for kept in example.responses],
        reader.request(prompt[:1], prompt[1:]) if prompts and len(prompt) > 1 else None,
    )


def _requests(wanted: _Wanted) -> list[LogProbRequest]:
    responses = [request for options in wanted.responses for request in options]
    return [*responses, wanted.prompt] if wanted.prompt else responses


def _check_complete(
    examples: Sequence[Example], wanted: Sequence[_Wanted], found: Mapping[str, Tokens], refused: Mapping[str, str]
) -> None:
    bad = [
        example.name
        for example, one in zip(examples, wanted, strict=True)
        if any(request.request_id not in found for request in _requests(one))
    ]
    if bad and refused:
        message = f"the reference has no log-probs for {len(bad)} examples: {some(bad)}: {next(iter(refused.values()))}"
        raise EngineError(message)
    if bad:
        message = (
            f"the reference gave log-probs that are not finite for {len(bad)} examples: {some(bad)}. Try dtype float32"
        )
        raise EngineError(message)


def _sum(found: Mapping[str, Tokens], requests: Sequence[LogProbRequest], keep: int | None = None) -> float:
    """Log-prob of the first `keep` tokens, all by default, that the given requests have in common."""
    # Several whole responses may begin alike. One of them answers, whatever their order in the data.
    return float(found[min(request.request_id for request in requests)][:keep].sum(dtype=np.float64))
