"""Means and sums over a step, whatever micro-batches and processes it was cut into."""

from collections.abc import Callable, Mapping

import torch


class Tally:
    """Sums and counts by name."""

    def __init__(self) -> None:
        self._totals: dict[str, torch.Tensor] = {}
        self._summed: set[str] = set()

    def add(self, values: Mapping[str, torch.Tensor], *, counts: bool = True, summed: bool = False) -> None:
        """Add to each mean, or with `summed` to each sum, the entries of a tensor of any shape.

        With `counts` False they enter with a weight of nothing: the names must be the same in all processes.
        """
        if summed:
            self._summed.update(values)
        for name, value in values.items():
            entries = value.detach().double()
            pair = torch.stack([entries.sum(), entries.new_tensor(entries.numel())])
            pair = pair if counts else torch.zeros_like(pair)
            self._totals[name] = self._totals[name] + pair if name in self._totals else pair

    def means(self, total: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        """The mean or sum of each name that has entries, by name; what was added is forgotten.

        Args:
            total: (names, 2) of this process to that of all processes together.
        """
        names = sorted(self._totals)
        if not names:
            return {}
        totals = total(torch.stack([self._totals[name] for name in names])).tolist()
        self._totals = {}
        return {
            name: added if name in self._summed else added / entries
            for name, (added, entries) in zip(names, totals, strict=True)
            if entries
        }
