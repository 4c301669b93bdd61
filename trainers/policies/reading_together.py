"""A frozen model whose weights are spread over the processes that met: one of them asks, and all of them read.

Every forward pass gathers weights from all processes, so all have to make as many. The first one tells the others what
a batch has; each reads its share, and a sum puts the shares together. Nothing but numbers is sent.
"""

import gc
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import distributed

from trainers.batches.layouts import layout_for
from trainers.batches.logprobs import log_probs
from trainers.batches.tensors import Batch, Layout
from trainers.policies.token_readings import Tokens
from trainers.reading.examples import Example
from trainers.steps.order import cut_by_length
from trainers.steps.sharding import shard
from trainers.steps.shares import share
from trainers.steps.wrapping import call_through
from transforms.errors import ModelError


class _Ready(NamedTuple):
    model: Any  # sharded
    layout: Layout


class ReadingTogether:
    """Answers in the first process as a `trainers.policies.token_readings.FrozenModel` does; the others `follow`.

    Args:
        load: the model, whole and on the CPU, the same in every process; called at the first batch.
        longest: tokens of the longest prompt with a response that will be read; only the first process's counts.
        batch_tokens: of one forward pass, padding included; a longer example goes alone.
        cast_to: what layers compute in by automatic casting, None for the dtype of the weights.
    """

    def __init__(
        self, load: Callable[[], Any], *, batch_tokens: int, cast_to: torch.dtype | None, longest: int = 0
    ) -> None:
        self._load = load
        self._longest, self._batch_tokens, self._cast_to = longest, batch_tokens, cast_to
        on_gpu = torch.cuda.is_available()
        self._device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
        self._ready: _Ready | None = None

    def token_log_probs(self, examples: Sequence[Example], progress: Callable[[int], None]) -> list[list[Tokens]]:
        """Log-prob of each token of each response, example by example, nats. Called in the first process.

        Args:
            examples: with whole responses; within the model's context and vocabulary.
            progress: told the response tokens that were read.

        Raises:
            ModelError: the model failed here. It is not asked again, since the others wait in the middle of a pass.
        """
        try:
            self._tell(examples)
            found = self._read(examples, progress)
        except (RuntimeError, ValueError, IndexError) as error:
            message = (
                f"reading the reference in {distributed.get_world_size()} processes failed: {type(error).__name__}: "
                f"{error}. Start the training again: what was read is in the ledger"
            )
            raise ModelError(message) from error
        responses = iter(found.split([len(one) for example in examples for one in example.responses]))
        return [[next(responses).numpy() for _ in example.responses] for example in examples]

    def follow(self) -> None:
        """Read along until the first process stops. Called in the others."""
        while examples := self._hear():
            self._read(examples, lambda _tokens: None)
        self.close()

    def stop(self) -> None:
        """Let the others go on. Called in the first process."""
        self._tell(())

    def close(self) -> None:
        """Free the model."""
        self._ready = None
        gc.collect()  # what spreads it over processes refers to it, and it to that
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _open(self) -> _Ready:
        """Load and spread the model; all processes get here with the same batch."""
        if self._ready is None:
            model = self._load().eval()
            layout = layout_for(model, self._longest).layout
            self._ready = _Ready(shard(model, self._device), layout)
        return self._ready

    def _tell(self, examples: Sequence[Example]) -> None:
        parts = [part for example in examples for part in (example.prompt, *example.responses)]
        lengths = [len(part) for part in parts]
        counts = [len(example.responses) for example in examples]
        self._broadcast(torch.tensor([len(counts), len(lengths), sum(lengths), self._longest]))
        if examples:
            ids = np.concatenate(parts).astype(np.int64)
            self._broadcast(torch.from_numpy(np.concatenate([counts, lengths, ids])))

    def _hear(self) -> list[Example]:
        head = self._broadcast(torch.zeros(4, dtype=torch.int64))
        examples, parts, tokens, self._longest = head.tolist()
        if not examples:
            return []
        told = self._broadcast(torch.zeros(examples + parts + tokens, dtype=torch.int64)).numpy()
        counts, lengths, ids = np.split(told, [examples, examples + parts])
        split = iter(np.split(ids.astype(np.int32), np.cumsum(lengths)[:-1]))
        return [Example("", next(split), tuple(next(split) for _ in range(count))) for count in counts]

    def _broadcast(self, values: torch.Tensor) -> torch.Tensor:
        """What the first process has; on the CPU."""
        there = values.to(self._device)
        distributed.broadcast(there, src=0)
        return there.cpu()

    def _read(self, examples: Sequence[Example], progress: Callable[[int], None]) -> torch.Tensor:
        """Log-probs of all response tokens, example by example, fp32 on the CPU, in every process."""
        model, layout = self._open()
        ends = np.cumsum([example.kept_tokens for example in examples]).tolist()
        found = torch.zeros(ends[-1], device=self._device)

        def cut(rows: Sequence[int]) -> list[list[int]]:
            return cut_by_length(rows, examples.__getitem__, layout, self._batch_tokens)

        said = 0
        processes = distributed.get_world_size()
        with torch.no_grad(), self._casting():
            for some in share(range(len(examples)), cut, process=distributed.get_rank(), processes=processes):
                batch = layout.batch([examples[row] for row in some.rows]).to(self._device)
                tokens = call_through(model, model, partial(_tokens, batch))
                if some.counts:
                    sizes = [examples[row].kept_tokens for row in some.rows]
                    for row, own in zip(some.rows, tokens.float().split(sizes), strict=True):
                        found[ends[row] - len(own) : ends[row]] = own
                    progress(len(tokens))
                    said += len(tokens)
        distributed.all_reduce(found)  # each token is one process's, and 0 in the others
        progress(ends[-1] - said)
        return found.cpu()

    def _casting(self) -> torch.autocast:
        # Cast weights are let go with what was gathered; a cache of them would be the whole model.
        enabled = self._cast_to is not None
        return torch.autocast(self._device.type, self._cast_to, enabled=enabled, cache_enabled=False)


def _tokens(batch: Batch, model: Any) -> torch.Tensor:
    return log_probs(model, batch).tokens
