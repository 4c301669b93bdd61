"""Examples as tensors: every kept response token is read once, by the state of the token before it.

Two layouts hold the same numbers. `packed` puts all examples into one row, each prompt computed once:

    row       the  cat  sat  on   a   there | good  morning  hi
    spans    (3,             2,       1)      (1,   1,       1)
    position   0    1    2   3    4   3        0    1        1     every response goes on where its prompt ends

A response sees its prompt and itself (trainers.batches.shared_prompts). `padded` gives each response a row of its own,
for models that cannot read that. In both, a response's last token is only ever predicted, so it is left out of the
input.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from trainers.batches.varlen import Spans
from trainers.reading.examples import Example
from trainers.reading.pair_tokens import Ids


class Batch(NamedTuple):
    """Tensors of some examples; places are flat, row · width + column of `input_ids`."""

    input_ids: torch.Tensor  # (rows, width), int64; padding is 0, on the right
    position_ids: torch.Tensor | None  # (1, width), int64; None: 0, 1, 2 …
    spans: Spans | None  # of the examples in the one row; None: causal
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


class Layout(NamedTuple):
    """A way to lay examples out, and what an example takes in it."""

    batch: Callable[[Sequence[Example]], Batch]
    rows: Callable[[Example], int]
    width: Callable[[Example], int]  # of its longest row
    pads: bool  # whether all rows of a batch are as wide as the longest

    def tokens(self, example: Example) -> int:
        """Of a batch of `example` alone, padding included."""
        return self.rows(example) * self.width(example)


def packed(examples: Sequence[Example]) -> Batch:
    """One row: each prompt, then its responses, none of which sees another."""
    ids, positions, places, spans, firsts = [], [], [], [], []
    end = 0
    for example in examples:
        inputs = [response[:-1] for response in example.responses]
        prompt, *lengths = (len(part) for part in (example.prompt, *inputs))
        ids += [example.prompt, *inputs]
        positions += [np.arange(prompt), *(np.arange(prompt, prompt + length) for length in lengths)]
        spans.append((prompt, *lengths))
        firsts.append(end)
        last = end + prompt - 1  # of the prompt, which decides the first token of every response
        end += prompt
        for length in lengths:
            places.append(np.array([last, *range(end, end + length)]))
            end += length
    return _batch(
        examples,
        input_ids=_row(ids).unsqueeze(0),
        position_ids=_row(positions).unsqueeze(0),
        spans=tuple(spans),
        places=places,
        firsts=firsts,
        read_tokens=end,
    )


def padded(examples: Sequence[Example]) -> Batch:
    """One row a response, the prompt in each: for models that cannot read a packed one."""
    rows = [np.concatenate([example.prompt, response[:-1]]) for example in examples for response in example.responses]
    width = max(map(len, rows))
    prompts = [len(example.prompt) for example in examples for _ in example.responses]
    counts = [len(example.responses) for example in examples]
    return _batch(
        examples,
        input_ids=_padded(rows, width),
        position_ids=None,
        spans=None,
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
    pads=False,
)
PADDED = Layout(
    padded,
    rows=lambda example: len(example.responses),
    width=lambda example: len(example.prompt) + max(map(len, example.responses)) - 1,
    pads=True,
)


def _batch(
    examples: Sequence[Example],
    *,
    input_ids: torch.Tensor,
    position_ids: torch.Tensor | None,
    spans: Spans | None,
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
        spans,
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


def _padded(rows: Sequence[Ids], width: int) -> torch.Tensor:
    filled = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        filled[index, : len(row)] = row
    return torch.from_numpy(filled)
