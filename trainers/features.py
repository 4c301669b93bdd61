"""What a reward head reads: the last token's hidden state of each sequence, after the final norm."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch

from trainers.pair_tokens import Ids

log = logging.getLogger(__name__)

# (what is being done, done so far, of how many)
Progress = Callable[[str, int, int], None]


def no_progress(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


class Backbone(Protocol):
    """A transformers model without its head, as far as this package uses it."""

    def __call__(self, *, input_ids: torch.Tensor, use_cache: bool) -> "BackboneOutput": ...


class BackboneOutput(Protocol):
    """What a backbone returns."""

    @property
    def last_hidden_state(self) -> torch.Tensor:
        """(sequences, tokens, hidden), after the final norm."""
        ...


class Batch(NamedTuple):
    """Sequences padded on the right, all tensors on the model's device."""

    input_ids: torch.Tensor  # (sequences, longest)
    last: torch.Tensor  # (sequences,), position of each sequence's last real token


def pad_right(sequences: Sequence[Ids], device: torch.device) -> Batch:
    """Sequences of unequal lengths as one batch.

    The padding is id 0 whatever the model's padding token is, and there is no mask: it lies behind the last
    real token, where a causal model cannot see it. A mask would only cost time (9 % with SmolLM2 on a CPU).
    """
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    input_ids = np.zeros((len(sequences), int(lengths.max())), dtype=np.int64)
    for row, sequence in enumerate(sequences):
        input_ids[row, : len(sequence)] = sequence
    return Batch(torch.from_numpy(input_ids).to(device), (lengths - 1).to(device))


def last_states(backbone: Backbone, batch: Batch) -> torch.Tensor:
    """Hidden state of each sequence's last real token, (sequences, hidden), in the backbone's dtype."""
    hidden = backbone(input_ids=batch.input_ids, use_cache=False).last_hidden_state
    return hidden[torch.arange(len(batch.last), device=hidden.device), batch.last]


def length_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices by length, cut into batches of at most `batch_tokens` padded tokens (at least one sequence)."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        # Sorted, so the newest is the longest and sets the width of the whole batch.
        if batches and (len(batches[-1]) + 1) * lengths[index] <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def sequence_features(
    backbone: Backbone,
    sequences: Sequence[Ids],
    *,
    device: torch.device,
    batch_tokens: int,
    progress: Progress = no_progress,
    stage: str = "features",
) -> torch.Tensor:
    """Last hidden states of all sequences in their order, (sequences, hidden), fp32 on the CPU."""
    started = time.perf_counter()
    lengths = [len(sequence) for sequence in sequences]
    total = sum(lengths)
    order: list[int] = []
    states: list[torch.Tensor] = []
    done = 0
    # The longest first: if memory is too small it shows at once.
    for indices in reversed(length_batches(lengths, batch_tokens)):
        with torch.inference_mode():
            states.append(last_states(backbone, pad_right([sequences[i] for i in indices], device)).float().cpu())
        order += indices
        done += sum(lengths[i] for i in indices)
        progress(stage, done, total)
    # Concatenated outside inference mode: an inference tensor could not enter the head's graph.
    shuffled = torch.cat(states)
    features = torch.empty_like(shuffled)
    features[order] = shuffled
    seconds = time.perf_counter() - started
    log.info(
        "%s: %d sequences, %d tokens, %.1f s, %.0f tokens/s",
        stage,
        len(lengths),
        total,
        seconds,
        total / seconds,
    )
    return features
