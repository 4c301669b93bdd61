"""What a policy and its reference say of the same positions: chunk by chunk, asked again where an engine fails."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from flows.models.engine_calls import Pay, Shown
from flows.runtime.progress import Advance, Progress
from trainers.policies.token_readings import FrozenModel, TokenComparison, compare_tokens
from trainers.reading.examples import Example
from transforms.errors import EngineError

CHUNK: Final = 64  # pairs that are read again where an engine fails
_NAME: Final = "compare by position"


def compare_pairs(
    policy: FrozenModel,
    reference: FrozenModel,
    pairs: Sequence[Example],
    *,
    batch_tokens: int,
    pay: Pay,
    progress: Progress,
) -> list[list[TokenComparison]]:
    """Distributions of two models at every response token, chosen and rejected of each pair.

    Args:
        policy: in memory.
        reference: likewise.
        pairs: the chosen response first.
        batch_tokens: padded tokens of a forward pass of either.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows what is done.

    Raises:
        EngineError: a model failed, whatever was tried.
    """
    found: dict[int, list[list[TokenComparison]]] = {}
    work = partial(compare_tokens, policy.model, reference.model, batch_tokens=batch_tokens)
    with progress.bar(_NAME, unit="pairs", total=len(pairs)) as advance:
        for number, start in enumerate(range(0, len(pairs), CHUNK)):
            chunk = pairs[start : start + CHUNK]
            pay(f"{_NAME} batch {number}", partial(_compare_chunk, work, chunk, found, number, advance))
    return [one for number in sorted(found) for one in found[number]]


def _compare_chunk(
    work: "partial[list[list[TokenComparison]]]",
    chunk: Sequence[Example],
    found: dict[int, list[list[TokenComparison]]],
    number: int,
    advance: Advance,
) -> None:
    shown = Shown(advance)
    try:
        found[number] = work(chunk, advance=shown)
    except RuntimeError as error:  # torch's own, out of memory among them
        shown.take_back()
        message = f"{_NAME}: {type(error).__name__}: {error}. If it is memory, lower policy.max_tokens_per_batch"
        raise EngineError(message) from error
