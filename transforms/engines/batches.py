"""Rows of unequal lengths as batches for a forward pass."""

from collections.abc import Iterator, Sequence

import torch


def longest_first(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Row numbers, longest rows first, as many together as stay within `budget` padded tokens.

    A row that is longer than the budget goes alone. If memory is too small, the first batch says so.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    start = 0
    while start < len(order):
        size = max(1, budget // lengths[order[start]])
        yield order[start : start + size]
        start += size


def right_padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both int64 of shape (rows, longest), `pad` behind each row's own ids."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[index, : len(row)] = 1
    return ids, mask
