"""What every engine refuses before it starts, so that one bad request never fails a paid batch."""

from collections.abc import Sequence

from transforms.engines.protocol import CompletionRequest, PairRequest, PositionRequest, Sampling, ScoreRequest
from transforms.errors import EngineError

MAX_SEED = 2**63 - 1


def check_completions(
    requests: Sequence[CompletionRequest], sampling: Sampling, *, vocab: int | None, context: int | None
) -> None:
    """Raise EngineError naming the first request or setting that cannot be sampled.

    vLLM would fail the whole call on a bad id, and answer a request that overruns the context with fewer
    tokens than asked and no word about it.
    """
    if sampling.temperature < 0 or not 0 < sampling.top_p <= 1:
        message = (
            f"sampling with temperature {sampling.temperature} and top_p {sampling.top_p}:"
            " expected temperature >= 0 and 0 < top_p <= 1"
        )
        raise EngineError(message)
    if sampling.top_k < 0 or not 0 <= sampling.min_p <= 1:
        message = (
            f"sampling with top_k {sampling.top_k} and min_p {sampling.min_p}: expected top_k >= 0 and 0 <= min_p <= 1"
        )
        raise EngineError(message)
    for request in requests:
        _check_ids(request.request_id, request.token_ids, vocab)
        if request.max_tokens < 1:
            message = f"request {request.request_id} asks for {request.max_tokens} tokens, expected at least 1"
            raise EngineError(message)
        if not 0 <= request.seed <= MAX_SEED:
            message = f"request {request.request_id} has the seed {request.seed}, expected 0 to {MAX_SEED}"
            raise EngineError(message)
        if context is not None and len(request.token_ids) >= context:
            message = (
                f"request {request.request_id} has {len(request.token_ids)} tokens, which leave no room in the model's"
                f" context of {context}: nothing can follow. Leave long prompts out (filters.max_prompt_tokens), lower"
                " truncate.max_length, or use a model with a longer context"
            )
            raise EngineError(message)
        if context is not None and len(request.token_ids) + request.max_tokens > context:
            message = (
                f"request {request.request_id} has {len(request.token_ids)} tokens and asks for"
                f" {request.max_tokens} more, but the model's context is {context}: lower max_new_tokens or"
                " truncate.max_length"
            )
            raise EngineError(message)


def check_scores(requests: Sequence[ScoreRequest], *, vocab: int, context: int) -> None:
    """Raise EngineError naming the first conversation that cannot be scored."""
    for request in requests:
        _check_ids(request.request_id, request.token_ids, vocab)
        if len(request.token_ids) > context:
            message = (
                f"request {request.request_id} has {len(request.token_ids)} tokens, but the reward model's"
                f" context is {context}"
            )
            raise EngineError(message)


def check_pairs(requests: Sequence[PairRequest], *, vocab: int, context: int, marks: Sequence[int]) -> None:
    """Raise EngineError naming the first comparison that cannot be made.

    Args:
        requests: the comparisons.
        vocab: token ids that the model has.
        context: tokens that it reads.
        marks: ids of the marks of source, first and second candidate, each of which stands once and in this order.
    """
    for request in requests:
        _check_ids(request.request_id, request.token_ids, vocab)
        found = [token for token in request.token_ids if token in marks]
        if found != list(marks):
            message = (
                f"request {request.request_id} has the marks {found}, expected {list(marks)}: source, first and second "
                "candidate, each once"
            )
            raise EngineError(message)
        if len(request.token_ids) > context:
            tokens = len(request.token_ids)
            message = f"request {request.request_id} has {tokens} tokens, but the pairwise model reads {context}"
            raise EngineError(message)


def check_positions(requests: Sequence[PositionRequest], *, vocab: int, context: int | None) -> None:
    """Raise EngineError naming the first response that the model cannot read after its prompt."""
    for request in requests:
        for part, token_ids in (("prompt", request.prompt_ids), ("response", request.response_ids)):
            if not len(token_ids):
                message = f"request {request.request_id} has no {part} tokens, expected at least 1"
                raise EngineError(message)
            _check_ids(request.request_id, token_ids, vocab)
        prompt, response = len(request.prompt_ids), len(request.response_ids)
        if context is not None and prompt + response > context:
            message = (
                f"request {request.request_id} has {prompt} prompt and {response} response tokens, but the model's"
                f" context is {context}: cut the response or leave the pair out"
            )
            raise EngineError(message)


def _check_ids(request_id: str, token_ids: Sequence[int], vocab: int | None) -> None:
    if not len(token_ids):
        message = f"request {request_id} has no tokens, expected at least 1"
        raise EngineError(message)
    low, high = min(token_ids), max(token_ids)
    if low < 0 or (vocab is not None and high >= vocab):
        message = (
            f"request {request_id} has the token id {low if low < 0 else high}, expected 0 to"
            f" {'the vocabulary size' if vocab is None else vocab - 1}: is it another model's?"
        )
        raise EngineError(message)
