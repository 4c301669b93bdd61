"""A policy's weights, and what they say of labelled pairs: chunk by chunk, asked again where an engine fails."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from flows.calls import Pay, Shown
from flows.progress import Advance, Progress
from trainers.examples import Example
from trainers.token_readings import TokenComparison, compare_tokens, token_log_probs
from transforms.engines.causal_model import load_causal
from transforms.engines.models import ResolvedModel
from transforms.errors import EngineError
from transforms.implicit_rewards import PairLogProbs

Read = TypeVar("Read")


class Reading(NamedTuple):
    """How pairs are read."""

    batch: int  # pairs that are read again where an engine fails
    max_tokens_per_batch: int  # padded, a forward pass
    pay: Pay
    progress: Progress


def open_causal(model: ResolvedModel, *, trust_remote_code: bool) -> Any:
    """The model in eval mode, on a GPU if there is one.

    Raises:
        ModelError: transformers cannot load it, or would fill in random weights.
    """
    import torch

    loaded = load_causal(model, trust_remote_code=trust_remote_code)
    return loaded.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def read_log_probs(model: Any, pairs: Sequence[Example], what: str, reading: Reading) -> PairLogProbs:
    """Log-probs of all response tokens of pairs by a loaded model.

    Args:
        model: a transformers causal language model in eval mode, or a peft model of one.
        pairs: the chosen response first.
        what: the model's part in this, for progress and messages.
        reading: how.
    """
    work = partial(token_log_probs, model, batch_tokens=reading.max_tokens_per_batch)
    found = _in_chunks(work, pairs, f"read the {what}", reading)
    return PairLogProbs([chosen for chosen, _ in found], [rejected for _, rejected in found])


def reference_log_probs(
    reference: ResolvedModel, pairs: Sequence[Example], reading: Reading, *, trust_remote_code: bool
) -> PairLogProbs:
    """Log-probs of all response tokens of pairs by a reference, which is gone from memory afterwards."""
    return read_log_probs(open_causal(reference, trust_remote_code=trust_remote_code), pairs, "reference", reading)


def compare_pairs(
    policy: Any, reference: Any, pairs: Sequence[Example], reading: Reading
) -> list[list[TokenComparison]]:
    """Distributions of two loaded models at every response token, chosen and rejected of each pair."""
    work = partial(compare_tokens, policy, reference, batch_tokens=reading.max_tokens_per_batch)
    return _in_chunks(work, pairs, "compare by position", reading)


def _in_chunks(work: Callable[..., list[Read]], pairs: Sequence[Example], name: str, reading: Reading) -> list[Read]:
    found: dict[int, list[Read]] = {}
    with reading.progress.bar(name, unit="pairs", total=len(pairs)) as advance:
        for number, start in enumerate(range(0, len(pairs), reading.batch)):
            chunk = pairs[start : start + reading.batch]
            reading.pay(f"{name} batch {number}", partial(_read_chunk, work, chunk, name, found, number, advance))
    return [one for number in sorted(found) for one in found[number]]


def _read_chunk(
    work: Callable[..., list[Read]],
    chunk: Sequence[Example],
    name: str,
    found: dict[int, list[Read]],
    number: int,
    advance: Advance,
) -> None:
    shown = Shown(advance)
    try:
        found[number] = work(chunk, advance=shown)
    except RuntimeError as error:  # torch's own, out of memory among them
        shown.take_back()
        message = f"{name}: {type(error).__name__}: {error}. If it is memory, lower policy.max_tokens_per_batch"
        raise EngineError(message) from error
