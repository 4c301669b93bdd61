"""Shares and their intervals."""

import numpy as np
import torch

from trainers.reading.pair_tokens import PairTokens
from trainers.rewards.accuracy import accuracy, margins


def pairs(chosen: list[int], rejected: list[int]) -> PairTokens:
    names = tuple(str(i) for i in range(len(chosen)))
    return PairTokens(names, names, (), np.array(chosen), np.array(rejected), None, None, "")


def test_a_tie_counts_one_half() -> None:
    features = torch.tensor([[1.0], [2.0], [1.0]])
    found = accuracy(margins(features, torch.tensor([1.0]), pairs([1, 0], [0, 2])))
    assert (found.pairs, found.accuracy, found.mean_margin) == (2, 0.75, 0.5)


def test_a_reader_in_bf16_loses_differences_far_from_zero() -> None:
    # 300 and 300.5 are the same number in bf16, whose steps are 2 there: exactly a tie.
    found = accuracy(margins(torch.tensor([[300.5], [300.0]]), torch.tensor([1.0]), pairs([0], [1])))
    assert (found.accuracy, found.bf16_head) == (1.0, 0.5)
