"""How well a reward head orders pairs, with the uncertainty of that share."""

from dataclasses import dataclass
from typing import NamedTuple

import torch

from trainers.reading.pair_tokens import PairTokens
from transforms.statistics.intervals import wilson


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
    count = len(found.exact)
    rate = wilson(share * count, count)
    return Accuracy(count, share, rate.low, rate.high, _share(found.rounded), float(found.exact.mean()))


def _differences(rewards: torch.Tensor, pairs: PairTokens) -> torch.Tensor:
    return rewards[torch.from_numpy(pairs.chosen)] - rewards[torch.from_numpy(pairs.rejected)]


def _share(margins: torch.Tensor) -> float:
    return float(((margins > 0).double() + (margins == 0).double() / 2).mean())
