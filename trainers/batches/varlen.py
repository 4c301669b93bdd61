"""Attention over a row of many examples in one kernel: torch's varlen attention (FlashAttention), on CUDA in 16 bits.

A response reads its prompt's keys and its own. In a row only the first response of an example lies behind its prompt,
so keys and values of the others are gathered behind a copy of it; queries stay where they are:

    row       the  cat  sat   on   a   there | good  morning   hi          spans (3, 2, 1), (1, 1, 1)
    queries  [the  cat  sat   on   a] [there]|[good  morning] [hi]
    keys     [the  cat  sat   on   a] [the cat sat there]|[good morning] [good hi]

FlashAttention aligns a causal mask at the last query and the last key (from 2.1 on), which is what a response needs
that begins behind its prompt. Whether a device's kernel does is tried once, forward and back, against attention
response by response: GPUs without such a kernel, and one that aligns otherwise, are then read as a CPU is.
"""

import logging
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple

import torch
from torch.autograd.graph import saved_tensors_hooks

logger = logging.getLogger(__name__)

# Of each example: tokens of its prompt, then those of each response.
Spans = tuple[tuple[int, ...], ...]
# Query, key, value, (rows, heads, tokens, size), spans and scale to (rows, tokens, heads, size).
Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Spans, float | None], torch.Tensor]

CAUSAL: Final = (-1, 0)  # window_size of varlen_attn
# Of the largest entry: ten times what bf16 rounds by; a mask that is wrong changes entries by about their size.
TOLERANCE: Final = 0.05


class Plan(NamedTuple):
    """What the kernel has to know of a row's spans."""

    sizes: tuple[int, ...]  # tokens of the row's parts: a prompt, its responses, the next prompt
    parts: tuple[int, ...]  # whose keys are read, reader after reader; a prompt once for each response that reads it
    queries: torch.Tensor  # (readers + 1,), int32: where each reader's queries begin, and the end
    keys: torch.Tensor  # (readers + 1,), int32: likewise its keys
    most_queries: int  # of a reader
    most_keys: int


@lru_cache(maxsize=2)  # each layer asks, and on the way back once more where it is computed again
def plan(spans: Spans, device: torch.device) -> Plan:
    """Readers of a row: each prompt with its first response, and each further response that has tokens."""
    parts: list[int] = []
    queries, keys = [], []
    at = 0
    for prompt, first, *others in spans:
        parts += [at, at + 1]
        queries.append(prompt + first)
        keys.append(prompt + first)
        for number, tokens in enumerate(others, start=2):
            if tokens:
                parts += [at, at + number]
                queries.append(tokens)
                keys.append(prompt + tokens)
        at += 2 + len(others)
    starts = [torch.tensor([0, *accumulate(sizes)], dtype=torch.int32, device=device) for sizes in (queries, keys)]
    sizes = tuple(size for example in spans for size in example)
    return Plan(sizes, tuple(parts), starts[0], starts[1], max(queries), max(keys))


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, spans: Spans, scale: float | None
) -> torch.Tensor:
    """Attention of one row; (1, heads, tokens, size) to (1, tokens, heads, size).

    Args:
        query: in bfloat16 or float16, on a CUDA device.
        key: of as many heads, or fewer that are shared; likewise value.
        value: see `key`.
        spans: of the examples in the row.
        scale: of the scores, None for 1 / √size.
    """
    from torch.nn.attention import varlen  # it registers operators, which takes a while

    known = plan(spans, query.device)
    queries, *rows = (one.squeeze(0).transpose(0, 1) for one in (query, key, value))
    # Split once and put together: an index would go back by sums whose order, on a GPU, changes from run to run.
    keys, values = (
        torch.cat([pieces[part] for part in known.parts]) for pieces in (row.split(known.sizes) for row in rows)
    )
    found: torch.Tensor = varlen.varlen_attn(
        queries,
        keys,
        values,
        known.queries,
        known.keys,
        known.most_queries,
        known.most_keys,
        scale=scale,
        window_size=CAUSAL,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return found.unsqueeze(0)


def usable(query: torch.Tensor, key: torch.Tensor, by_response: Attention) -> bool:
    """Whether `attend` may read tensors such as these: their device, dtype, heads and size decide.

    Args:
        query: (rows, heads, tokens, size), on a CUDA device.
        key: likewise, of as many heads or fewer.
        by_response: what it must give the same as.
    """
    if query.dtype not in (torch.bfloat16, torch.float16):
        return False
    return agrees(query.device, query.dtype, (query.shape[1], key.shape[1]), query.shape[3], by_response)


@lru_cache
def agrees(device: torch.device, dtype: torch.dtype, heads: tuple[int, int], size: int, by_response: Attention) -> bool:
    """Whether the kernel of `device` gives, forward and back, what attention response by response does."""
    spans = ((3, 2, 4, 1), (1, 1, 0, 2))
    draw = torch.Generator().manual_seed(0)
    shapes = [(1, count, sum(map(sum, spans)), size) for count in (heads[0], heads[1], heads[1])]
    # A trial of its own: the layer that asks may be computed without gradients, in another dtype, or again, and what is
    # computed again has to save what it saved the first time.
    alone = saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)
    with torch.autocast(device.type, enabled=False), torch.enable_grad(), alone:
        query, key, value = ours = [
            torch.randn(shape, generator=draw).to(device, dtype).requires_grad_() for shape in shapes
        ]
        weights = torch.randn((1, shapes[0][2], heads[0], size), generator=draw).to(device, dtype)
        try:
            results = [
                (found.detach(), *torch.autograd.grad((found * weights).sum(), ours))
                for found in (kernel(query, key, value, spans, None) for kernel in (attend, by_response))
            ]
        except (RuntimeError, ValueError, NotImplementedError, ImportError) as error:
            logger.info("varlen attention is not used, since it failed: %s: %s", type(error).__name__, error)
            return False
    # By torch's maximum, for which nothing is larger than no number; Python's would pass over it.
    shares = [((one - other).abs().max() / other.abs().max()).float() for one, other in zip(*results, strict=True)]
    apart = torch.stack(shares).max().item()
    if not apart <= TOLERANCE:
        logger.warning(
            "varlen attention is not used on %s: it is %.0f %% off attention by response", device, 100 * apart
        )
        return False
    return True
