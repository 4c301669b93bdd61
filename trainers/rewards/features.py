"""What a reward head reads: the last token's hidden state of each sequence, after the final norm."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch

from trainers.reading.pair_tokens import Ids

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


def pad_right(sequences: Sequence[Ids], device: torch.device) -> torch.Tensor:
    """Sequences of unequal lengths as one batch of ids, (sequences, longest).

    The padding is id 0 whatever the model's padding token is, and there is no mask: it lies behind the last
    real token, where a causal model cannot see it. A mask would only cost time (9 % with SmolLM2 on a CPU).
    """
    input_ids = np.zeros((len(sequences), max(map(len, sequences))), dtype=np.int64)
    for row, sequence in enumerate(sequences):
        input_ids[row, : len(sequence)] = sequence
    return torch.from_numpy(input_ids).to(device)


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
    whole = [[len(sequence)] for sequence in sequences]
    return prefix_features(
        backbone, sequences, whole, device=device, batch_tokens=batch_tokens, progress=progress, stage=stage
    )


def prefix_features(
    backbone: Backbone,
    sequences: Sequence[Ids],
    prefixes: Sequence[Sequence[int]],
    *,
    device: torch.device,
    batch_tokens: int,
    progress: Progress = no_progress,
    stage: str = "features",
) -> torch.Tensor:
    """What `sequence_features` gives of prefixes, all of a sequence's by one reading: a state has seen no later token.

    Args:
        backbone: causal.
        sequences: what is read.
        prefixes: of each sequence, lengths from 1 to its own.
        device: where the backbone is.
        batch_tokens: padded tokens of a forward pass; a longer sequence goes alone.
        progress: told (stage, tokens done, of how many).
        stage: what to call it.

    Returns:
        (prefixes of all sequences, hidden), sequence by sequence; fp32 on the CPU.
    """
    started = time.perf_counter()
    lengths = [len(sequence) for sequence in sequences]
    total = sum(lengths)
    starts = np.cumsum([0, *map(len, prefixes)])
    order: list[int] = []
    states: list[torch.Tensor] = []
    done = 0
    # The longest first: if memory is too small it shows at once.
    for indices in reversed(length_batches(lengths, batch_tokens)):
        rows = [row for row, i in enumerate(indices) for _ in prefixes[i]]
        last = [length - 1 for i in indices for length in prefixes[i]]
        with torch.inference_mode():
            input_ids = pad_right([sequences[i] for i in indices], device)
            hidden = backbone(input_ids=input_ids, use_cache=False).last_hidden_state
            states.append(hidden[rows, last].float().cpu())
        order += [place for i in indices for place in range(starts[i], starts[i + 1])]
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
