"""Examples as tensors: every kept response token is read once, by the state of the token before it.

Two layouts hold the same numbers. `packed` puts a prompt and its responses in one row, the prompt computed once:

    prompt   the  cat  sat | on   a | there
    segment   0    0    0  |  1   1 |  2        a token sees its own segment and the prompt
    position  0    1    2  |  3   4 |  3        every response goes on where the prompt ends

`padded` gives each response a row of its own and needs no mask. In both, a response's last token is only ever
predicted, so it is left out of the input.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from trainers.examples import Example
from trainers.pair_tokens import Ids


class Batch(NamedTuple):
    """Tensors of some examples; places are flat, row · width + column of `input_ids`."""

    input_ids: torch.Tensor  # (rows, width), int64; padding is 0, on the right
    position_ids: torch.Tensor | None  # (rows, width), int64; None: 0, 1, 2 …
    segments: torch.Tensor | None  # (rows, width), int64; 0 prompt, 1 … responses, −1 padding; None: causal
    places: torch.Tensor  # (kept tokens,), of the state that decides each response token, response by response
    targets: torch.Tensor  # (kept tokens,), those tokens
    lengths: tuple[int, ...]  # kept tokens of each response, example by example
    counts: tuple[int, ...]  # responses of each example
    prompt_places: torch.Tensor  # (prompt tokens − examples,), of the states that decide the prompt but for t0
    prompt_targets: torch.Tensor  # (prompt tokens − examples,), those tokens
    prompt_lengths: tuple[int, ...]  # of each example, t0 not counted
    prompt_ends: torch.Tensor  # (examples,), of the state that has read the whole prompt
    read_tokens: int  # tokens in `input_ids` that are not padding

    @property
    def kept_tokens(self) -> int:
        """Response tokens that a loss reads."""
        return sum(self.lengths)

    @property
    def padding(self) -> float:
        """Share of `input_ids` that is padding."""
        rows, width = self.input_ids.shape
        return 1 - self.read_tokens / int(rows * width)

    def to(self, device: torch.device) -> "Batch":
        """All tensors on `device`."""
        tensors = {name: value for name, value in self._asdict().items() if isinstance(value, torch.Tensor)}
        return self._replace(**{name: value.to(device) for name, value in tensors.items()})


class _Row(NamedTuple):
    """One row before padding; places count from its beginning."""

    ids: Ids
    positions: Ids
    segments: Ids


class Layout(NamedTuple):
    """A way to lay examples out, and what an example takes in it."""

    batch: Callable[[Sequence[Example]], Batch]
    rows: Callable[[Example], int]
    width: Callable[[Example], int]  # of its longest row


def packed(examples: Sequence[Example]) -> Batch:
    """One row an example: the prompt, then its responses, none of which sees another."""
    rows, starts = [], []
    for example in examples:
        inputs = [response[:-1] for response in example.responses]
        lengths = [len(example.prompt), *map(len, inputs)]
        positions = [np.arange(lengths[0]), *(lengths[0] + np.arange(length) for length in lengths[1:])]
        rows.append(
            _Row(
                np.concatenate([example.prompt, *inputs]),
                np.concatenate(positions),
                np.repeat(np.arange(len(lengths)), lengths),
            )
        )
        # Where each response begins in the row; its first token is decided by the prompt's last state.
        starts.append(np.cumsum(lengths[:-1]).tolist())
    width = max(len(row.ids) for row in rows)
    places = [
        index * width + np.array([len(example.prompt) - 1, *range(start, start + len(response) - 1)])
        for index, example in enumerate(examples)
        for start, response in zip(starts[index], example.responses, strict=True)
    ]
    return _batch(
        examples,
        input_ids=_padded([row.ids for row in rows], width, 0),
        position_ids=_padded([row.positions for row in rows], width, 0),
        segments=_padded([row.segments for row in rows], width, -1),
        places=places,
        firsts=[index * width for index in range(len(rows))],
        read_tokens=sum(len(row.ids) for row in rows),
    )


def padded(examples: Sequence[Example]) -> Batch:
    """One row a response, the prompt in each: for models and attention kernels that cannot take a mask."""
    rows = [np.concatenate([example.prompt, response[:-1]]) for example in examples for response in example.responses]
    width = max(map(len, rows))
    prompts = [len(example.prompt) for example in examples for _ in example.responses]
    counts = [len(example.responses) for example in examples]
    return _batch(
        examples,
        input_ids=_padded(rows, width, 0),
        position_ids=None,
        segments=None,
        places=[
            index * width + np.arange(prompt - 1, len(row))
            for index, (prompt, row) in enumerate(zip(prompts, rows, strict=True))
        ],
        firsts=[width * sum(counts[:index]) for index in range(len(counts))],
        read_tokens=sum(map(len, rows)),
    )


PACKED = Layout(
    packed,
    rows=lambda example: 1,
    width=lambda example: len(example.prompt) + example.kept_tokens - len(example.responses),
)
PADDED = Layout(
    padded,
    rows=lambda example: len(example.responses),
    width=lambda example: len(example.prompt) + max(map(len, example.responses)) - 1,
)


def visible(segments: torch.Tensor) -> torch.Tensor:
    """Which tokens see which in a packed batch, (rows, 1, width, width), bool.

    Padding sees itself, so that no row of the softmax is empty.
    """
    width = segments.shape[1]
    causal = torch.ones((width, width), dtype=torch.bool, device=segments.device).tril()
    reader, read = segments.unsqueeze(2), segments.unsqueeze(1)
    return (causal & ((read == 0) | (read == reader))).unsqueeze(1)


def _batch(
    examples: Sequence[Example],
    *,
    input_ids: torch.Tensor,
    position_ids: torch.Tensor | None,
    segments: torch.Tensor | None,
    places: list[Ids],
    firsts: list[int],
    read_tokens: int,
) -> Batch:
    """What both layouts share; `firsts` are the places where each example's (first) prompt begins."""
    prompts = [example.prompt for example in examples]
    responses = [response for example in examples for response in example.responses]
    read_prompt = [first + np.arange(len(prompt) - 1) for first, prompt in zip(firsts, prompts, strict=True)]
    return Batch(
        input_ids,
        position_ids,
        segments,
        places=_row(places),
        targets=_row(responses),
        lengths=tuple(map(len, responses)),
        counts=tuple(len(example.responses) for example in examples),
        prompt_places=_row(read_prompt),
        prompt_targets=_row([prompt[1:] for prompt in prompts]),
        prompt_lengths=tuple(len(prompt) - 1 for prompt in prompts),
        prompt_ends=torch.tensor([first + len(prompt) - 1 for first, prompt in zip(firsts, prompts, strict=True)]),
        read_tokens=read_tokens,
    )


def _row(parts: Sequence[Ids]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))


def _padded(rows: Sequence[Ids], width: int, value: int) -> torch.Tensor:
    filled = np.full((len(rows), width), value, dtype=np.int64)
    for index, row in enumerate(rows):
        filled[index, : len(row)] = row
    return torch.from_numpy(filled)
