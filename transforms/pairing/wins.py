"""Comparisons of two responses, each asked in both orders, to a score of each response."""

from dataclasses import dataclass

import numpy as np

from transforms.errors import SchemaError
from transforms.pairing.scored import checked
from transforms.statistics.intervals import Floats, Ints


@dataclass(frozen=True, slots=True)
class Wins:
    """What comparisons say of each response; (R,) each."""

    score: Floats  # NaN where no opponent counts
    opponents: Ints  # how many count: those of whom both orders could be read


def win_scores(first: Ints, second: Ints, forward: Floats, backward: Floats, responses: int) -> Wins:
    """score_i = mean over opponents j, of whom both orders could be read, of (m_ij − m_ji) / 2.

    m_ij is how much better the first place was said to be when i stood there and j came second, so what an annotator
    gives to whoever is first cancels out: it is in m_ij and in m_ji alike.

    Args:
        first: row of i, (C,), each in [0, responses).
        second: row of j, (C,).
        forward: m_ij, i first; NaN where the answer could not be read; (C,).
        backward: m_ji, j first, likewise; (C,).
        responses: R.

    Raises:
        SchemaError: another shape, a row out of range, a response against itself, two comparisons of the same two, or
            an infinite margin.
    """
    shape = (len(first),)
    for name, rows in {"first": first, "second": second}.items():
        checked(rows, name, np.int64, shape)
        if len(rows) and (rows.min() < 0 or rows.max() >= responses):
            message = f"{name} has row {rows.min()} to {rows.max()}, expected rows from 0 to {responses - 1}"
            raise SchemaError(message)
    for name, margins in {"forward": forward, "backward": backward}.items():
        checked(margins, name, np.float64, shape)
    if (first == second).any():
        message = f"row {first[first == second][0]} is compared with itself, expected two different responses"
        raise SchemaError(message)
    low, high = np.minimum(first, second), np.maximum(first, second)
    _, at, times = np.unique(low * responses + high, return_index=True, return_counts=True)
    if (times > 1).any():
        twice = at[times > 1][0]
        message = (
            f"rows {low[twice]} and {high[twice]} are compared more than once, expected one comparison with both "
            "orders in it"
        )
        raise SchemaError(message)
    gain = (forward - backward) / 2
    read = ~np.isnan(gain)
    i, j, gain = first[read], second[read], gain[read]
    opponents = np.bincount(i, minlength=responses) + np.bincount(j, minlength=responses)
    total = np.bincount(i, gain, responses) - np.bincount(j, gain, responses)
    score = np.where(opponents > 0, total / np.maximum(opponents, 1), np.nan)
    return Wins(score, opponents.astype(np.int64))
