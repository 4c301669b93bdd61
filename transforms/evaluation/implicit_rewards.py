"""A policy as a reward model of prefixes: all kept lengths from the log-probs of whole responses.

r(x, y) = β (log π(y|x) − log π_ref(y|x)) (DPO, arXiv 2305.18290, eq. 5), and for objectives without a reference
β/|y| · log π(y|x) (SimPO, arXiv 2405.14734, eq. 3). A causal model's log-prob of a token does not depend on what
comes later, so the first k tokens' reward is a cumulative sum (Shallow Preference Signals, fig. 2 and 5).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.errors import ConfigError
from transforms.records.evaluation import Measure
from transforms.statistics.intervals import Floats, Ints
from transforms.tables.schema import SIDES, Side

Tokens = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class PairLogProbs:
    """Log-probs of every response token, nats; by side, one array of (tokens,) a pair."""

    chosen: Sequence[Tokens]
    rejected: Sequence[Tokens]

    def side(self, side: Side) -> Sequence[Tokens]:
        """Of the chosen or of the rejected responses."""
        return self.chosen if side == "chosen" else self.rejected

    def bad(self) -> list[int]:
        """Pairs with a number that is not finite."""
        return [
            row
            for row, pair in enumerate(zip(self.chosen, self.rejected, strict=True))
            if not all(np.isfinite(tokens).all() for tokens in pair)
        ]

    def of(self, rows: Sequence[int]) -> "PairLogProbs":
        """Of some of the pairs."""
        return PairLogProbs([self.chosen[row] for row in rows], [self.rejected[row] for row in rows])


class ImplicitRewards:
    """Implicit rewards of prefixes of any length, from one reading of the whole responses."""

    def __init__(
        self, policy: PairLogProbs, reference: PairLogProbs | None, *, measure: Measure, beta: float = 1.0
    ) -> None:
        """Sum up.

        Args:
            policy: of the policy under evaluation.
            reference: of its reference, on the same tokens; not read by `mean_log_prob`.
            measure: what the reward is.
            beta: its scale; no accuracy depends on it.

        Raises:
            ConfigError: the measure needs a reference, and there is none.
        """
        if measure == "mean_log_prob":
            reference = None
        elif reference is None:
            message = f"the implicit reward {measure} needs log-probs of a reference; name one, or use mean_log_prob"
            raise ConfigError(message)
        self._mean = measure != "log_ratio"
        self._beta = beta
        self._sums = {side: _sums(policy.side(side), reference.side(side) if reference else None) for side in SIDES}

    def margins(self, keep: Mapping[Side, Ints]) -> Floats:
        """Reward of the first `keep` tokens of chosen minus rejected, (pairs,).

        Args:
            keep: by side, (pairs,), at least 1 and at most the response's length.
        """
        chosen, rejected = (self._rewards(side, keep[side]) for side in SIDES)
        return chosen - rejected

    def _rewards(self, side: Side, keep: Ints) -> Floats:
        found = np.array([sums[k - 1] for sums, k in zip(self._sums[side], keep.tolist(), strict=True)], np.float64)
        return self._beta * (found / keep if self._mean else found)


def mean_log_probs(read: PairLogProbs) -> dict[Side, Floats]:
    """ℓ̄ = log π(y|x) / |y| of each side's whole responses, (pairs,)."""
    return {side: np.array([tokens.mean(dtype=np.float64) for tokens in read.side(side)]) for side in SIDES}


def _sums(policy: Sequence[Tokens], reference: Sequence[Tokens] | None) -> list[Floats]:
    if reference is None:
        return [np.cumsum(tokens, dtype=np.float64) for tokens in policy]
    return [np.cumsum(np.asarray(ours, np.float64) - theirs) for ours, theirs in zip(policy, reference, strict=True)]
