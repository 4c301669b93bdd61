"""What must be sampled and scored for a truncation, each unit of work with a content id.

An id covers everything that changes the answer: the model's fingerprint, revision and dtype, the engine,
the token ids and every sampling parameter with its seed and sample index. Equal id, equal question.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.engines.protocol import CompletionRequest, ModelIdentity, Sampling, ScoreRequest
from transforms.tables.ragged import Ids, Ragged
from transforms.tables.schema import SIDES, Side

# Cuts that leave the policy something to complete. `eot` alone takes only the end-of-turn, and a response
# that its source left unfinished is scored as it is.
SAMPLED_CUTS = ("poet", "ratio", "tokens", "context")


class Prefix(NamedTuple):
    """A response's first `keep` tokens, and which of its completions are wanted."""

    pair_row: int
    side: Side
    keep: int  # tokens, at least 1
    samples: Sequence[int]  # sample indices: 0, 1, … for the first, second, … completion


class PrefixSample(NamedTuple):
    """One completion to sample: of which pair, side and prefix, and the request itself."""

    pair_row: int
    side: Side
    request: CompletionRequest
    keep: int  # tokens of the response in the request


class LogProbRequest(NamedTuple):
    """How likely the policy finds each token of a response."""

    request_id: str
    prompt: Ids  # at least one token
    response: Ids  # at least one token


def request_seed(run_seed: int, pair_id: str, side: str, keep: int, sample_index: int) -> int:
    """31 bits of a hash, so that no two samples share a seed by being neighbours.

    vLLM's own `n` uses s, s+1, …, which overlap between rows with neighbouring seeds.
    """
    key = f"{run_seed}\0{pair_id}\0{side}\0{keep}\0{sample_index}"
    return int.from_bytes(blake2b(key.encode(), digest_size=4).digest(), "big") & 0x7FFFFFFF


def completion_id(identity: ModelIdentity, sampling: Sampling, token_ids: Ids, request: dict[str, int]) -> str:
    """32 hex digits over everything that decides the sampled tokens."""
    return _content_id(["completion", identity.facts(), sampling.facts(), request], token_ids)


def score_id(identity: ModelIdentity, token_ids: Ids) -> str:
    """32 hex digits over everything that decides a reward."""
    return _content_id(["score", identity.facts()], token_ids)


def repeated_id(request_id: str, repeat: int) -> str:
    """The id of a question that is asked once more; 0 is the question itself."""
    return blake2b(f"{request_id}\0{repeat}".encode(), digest_size=16).hexdigest() if repeat else request_id


def log_prob_request(identity: ModelIdentity, prompt: Ids, response: Ids) -> LogProbRequest:
    """The request of a response after its prompt; where the one ends and the other begins is part of its id."""
    parts = ["log_probs", identity.facts(), len(prompt)]
    return LogProbRequest(_content_id(parts, np.concatenate([prompt, response])), prompt, response)


def _content_id(parts: list[Any], token_ids: Ids) -> str:
    digest = blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16)
    digest.update(b"\0" + np.ascontiguousarray(token_ids, dtype="<i4").tobytes())
    return digest.hexdigest()


def cut_sides(pairs: pa.Table) -> list[tuple[int, Side, int]]:
    """(row, side, keep) of every prefix that must be completed, in row order; dropped pairs have none."""
    reasons = pairs["reason"].to_pylist()
    by = {side: pairs[f"{side}_cut_by"].to_pylist() for side in SIDES}
    keep = {side: pairs[f"{side}_keep"].to_pylist() for side in SIDES}
    return [
        (row, side, keep[side][row])
        for row, reason in enumerate(reasons)
        if reason is None
        for side in SIDES
        if by[side][row] in SAMPLED_CUTS
    ]


def sample_prefixes(
    pairs: pa.Table,
    prefixes: Iterable[Prefix],
    identity: ModelIdentity,
    sampling: Sampling,
    *,
    run_seed: int,
    max_new_tokens: int,
    context: int | None,
) -> Iterator[PrefixSample]:
    """The named completions of the named prefixes, in the order given.

    What asks for a prefix is no part of its ids: two truncations that keep as many tokens of a response
    share its completions, and the ledger pays for them once.

    Args:
        pairs: schema.TRUNCATED; its keeps are not read.
        prefixes: which prefixes, and which samples of each.
        identity: the policy as it will answer.
        sampling: temperature, top-p and stop tokens.
        run_seed: `sampling.seed` of the recipe.
        max_new_tokens: per completion; less where the context leaves less room, and that number is part of
            the id.
        context: the policy's context length, None for no limit. A prefix that fills it has no completions.
    """
    prompts = Ragged.from_arrow(pairs["prompt_ids"])
    responses = {side: Ragged.from_arrow(pairs[f"{side}_ids"]) for side in SIDES}
    pair_ids = pairs["pair_id"].to_pylist()
    for row, side, keep, samples in prefixes:
        token_ids = np.concatenate([prompts.row(row), responses[side].row(row)[:keep]])
        room = max_new_tokens if context is None else min(max_new_tokens, context - len(token_ids))
        if room < 1:
            continue  # cut by the context itself: nothing can follow, the prefix is scored as it is
        for sample in samples:
            seed = request_seed(run_seed, pair_ids[row], side, keep, sample)
            facts = {"seed": seed, "sample_index": sample, "max_tokens": room}
            request = CompletionRequest(
                completion_id(identity, sampling, token_ids, facts), token_ids.tolist(), **facts
            )
            yield PrefixSample(row, side, request, keep)


def score_requests(
    identity: ModelIdentity, conversations: Sequence[Sequence[int] | str], context: int | None
) -> list[ScoreRequest | str]:
    """One request a conversation, given in the reward model's tokens; why not, where it cannot read one.

    Args:
        identity: the reward model as it will answer.
        conversations: token ids, or a string that says why there are none.
        context: tokens that the reward model reads, None for no limit.
    """
    return [_score_request(identity, ids, context) for ids in conversations]


def _score_request(identity: ModelIdentity, ids: Sequence[int] | str, context: int | None) -> ScoreRequest | str:
    if isinstance(ids, str):
        return ids
    if context is not None and len(ids) > context:
        return (
            f"the conversation has {len(ids)} tokens and the reward model reads {context}; use a reward model with "
            "a longer context, or drop long pairs with filters.max_prompt_tokens"
        )
    return ScoreRequest(score_id(identity, np.asarray(ids, dtype=np.int32)), ids)
