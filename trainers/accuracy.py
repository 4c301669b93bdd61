"""How well a reward head orders pairs, with the uncertainty of that share."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from trainers.pair_tokens import PairTokens

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often the chosen response scores higher; exact ties count one half.

    Attributes:
        pairs: how many.
        accuracy: share of them in the right order.
        low: lower end of the 95 % Wilson interval.
        high: its upper end.
        bf16_head: the accuracy for a reader that rounds head and rewards to bf16.
        mean_margin: mean of r_w − r_l.
    """

    pairs: int
    accuracy: float
    low: float
    high: float
    bf16_head: float
    mean_margin: float


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % Wilson interval of a share of `count`; the share may hold halves, which scipy's does not allow."""
    centre = share + Z95**2 / (2 * count)
    half = Z95 * math.sqrt(share * (1 - share) / count + Z95**2 / (4 * count**2))
    scale = 1 + Z95**2 / count
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


class Margins(NamedTuple):
    """r_w − r_l of some pairs, (pairs,)."""

    exact: torch.Tensor  # head and rewards in fp32
    rounded: torch.Tensor  # head and rewards in bf16


def margins(features: torch.Tensor, weight: torch.Tensor, pairs: PairTokens) -> Margins:
    """Margins of `pairs` by the head `weight`.

    Args:
        features: of `pairs.sequences`, (sequences, hidden), fp32.
        weight: (hidden,), fp32.
        pairs: at least one.
    """
    return Margins(
        _differences(features @ weight, pairs),
        _differences((features.bfloat16() @ weight.bfloat16()).float(), pairs),
    )


def accuracy(found: Margins) -> Accuracy:
    """Share of margins above zero, with its interval; at least one margin."""
    share = _share(found.exact)
    low, high = wilson(share, len(found.exact))
    return Accuracy(len(found.exact), share, low, high, _share(found.rounded), float(found.exact.mean()))


def _differences(rewards: torch.Tensor, pairs: PairTokens) -> torch.Tensor:
    return rewards[torch.from_numpy(pairs.chosen)] - rewards[torch.from_numpy(pairs.rejected)]


def _share(margins: torch.Tensor) -> float:
    return float(((margins > 0).double() + (margins == 0).double() / 2).mean())
