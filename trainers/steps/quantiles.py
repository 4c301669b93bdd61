"""How figures are spread over a measurement's examples, whatever batches and processes it was cut into."""

from collections.abc import Callable, Mapping

import torch

from transforms.statistics.spread import quantiles


class Quantiles:
    """All entries by name: a quantile is not put together from those of parts.

    Args:
        process: which of them this is.
        processes: how many share a measurement.
    """

    def __init__(self, *, process: int = 0, processes: int = 1) -> None:
        self._process, self._processes = process, processes
        self._entries: dict[str, list[torch.Tensor]] = {}

    def add(self, values: Mapping[str, torch.Tensor], *, counts: bool = True) -> None:
        """Add the entries of a tensor of any shape to each name.

        With `counts` False none are added: the names must be the same in all processes.
        """
        for name, value in values.items():
            own = self._entries.setdefault(name, [])
            if counts:
                own.append(value.detach().double().flatten().cpu())

    def found(self, total: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        """Quantiles of each name that has entries, called `name_p05` and so on.

        Args:
            total: of a tensor of this process to the sum over all of them.
        """
        names = sorted(self._entries)
        if not names:
            return {}
        own = [torch.cat([*self._entries[name], torch.zeros(0, dtype=torch.float64)]) for name in names]
        sizes = torch.zeros(len(names), self._processes, dtype=torch.float64)
        sizes[:, self._process] = torch.tensor([len(entries) for entries in own])
        sizes = total(sizes).cpu().long()
        # Every process has a place of its own for its entries, so that a sum puts all of them side by side.
        ends = sizes.flatten().cumsum(0).reshape(sizes.shape)
        placed = torch.zeros(int(sizes.sum()), dtype=torch.float64)
        for end, entries in zip(ends[:, self._process].tolist(), own, strict=True):
            placed[end - len(entries) : end] = entries
        every = total(placed).cpu().split(sizes.sum(1).tolist())
        return {
            f"{name}_{level}": value
            for name, entries in zip(names, every, strict=True)
            if len(entries)
            for level, value in quantiles(entries.numpy()).items()
        }
