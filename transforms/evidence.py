"""What is known of every pair's consistency while completions come in, as arrays with one place a live pair."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from transforms.consistency import (
    DROP,
    KEEP,
    OPEN,
    Bools,
    Decisions,
    Floats,
    Ints,
    decide,
    decide_by_mean,
    probability_above,
    win_shares,
)
from transforms.manifest import DecidedBy
from transforms.proxy import Proxy, certainty
from transforms.requests import SIDES, Side

Rewards = npt.NDArray[np.float32]
Reference = Literal["label", "reward"]
_NOBODY: Final = ""
_CHUNK: Final = 1 << 20  # comparisons held at once


@dataclass
class Evidence:
    """Rewards and decisions of the live pairs of a run, in the order of its parts.

    Attributes:
        pair_ids: content ids.
        sampled: side → (pairs,), whether its kept prefix must be completed.
        share_cut: (pairs,), response tokens cut over all response tokens.
        n_max: completions a side at most.
        full: side → (pairs,), reward of the full response; NaN until it is scored.
        completions: side → (pairs, n_max), rewards of the completions in sample order; NaN where none.
        n: (pairs,), completions a cut side so far.
        prior: (pairs, 2), parameters of the Beta prior.
        expected: (pairs,), the proxy's P(a completion is consistent), held out of its own fit; NaN without one.
        audit: (pairs,), drawn at random, to be sampled whatever the proxy says.
        skippable: (pairs,), where the proxy decides alone unless the pair is in the audit.
        foretold: (pairs,), whether the proxy alone would keep the pair.
        proxy: what the audit taught, once it is through.
        verdict: (pairs,), KEEP, DROP or OPEN.
        decided_by: (pairs,), objects: see DecidedBy; the empty string while open.
        bad: pair → why it has no verdict (a reward that is no number, a text too long to score).
    """

    pair_ids: list[str]
    sampled: dict[Side, Bools]
    share_cut: Floats
    n_max: int
    reference: Reference = "label"
    prior_parameters: tuple[float, float] = (0.5, 0.5)
    full: dict[Side, Rewards] = field(init=False)
    completions: dict[Side, Rewards] = field(init=False)
    n: Ints = field(init=False)
    prior: Floats = field(init=False)
    expected: Floats = field(init=False)
    audit: Bools = field(init=False)
    skippable: Bools = field(init=False)
    foretold: Bools = field(init=False)
    proxy: Proxy | None = field(init=False, default=None)
    verdict: Decisions = field(init=False)
    decided_by: npt.NDArray[Any] = field(init=False)
    bad: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.pair_ids)
        self.full = {side: np.full(count, np.nan, np.float32) for side in SIDES}
        self.completions = {side: np.full((count, self.n_max), np.nan, np.float32) for side in SIDES}
        self.n = np.zeros(count, np.int64)
        self.prior = np.tile(np.asarray(self.prior_parameters, float), (count, 1))
        self.expected = np.full(count, np.nan)
        self.audit = np.zeros(count, bool)
        self.skippable = np.zeros(count, bool)
        self.foretold = np.zeros(count, bool)
        self.verdict = np.full(count, OPEN, np.int8)
        self.decided_by = np.full(count, _NOBODY, object)

    def __len__(self) -> int:
        return len(self.pair_ids)

    @property
    def cut(self) -> Bools:
        """Pairs with at least one side to complete. The others are consistent by definition."""
        return self.sampled["chosen"] | self.sampled["rejected"]

    @property
    def usable(self) -> Bools:
        """Pairs that are not bad."""
        good = np.ones(len(self), bool)
        good[list(self.bad)] = False
        return good

    @property
    def sides_cut(self) -> Ints:
        """Completions that one more sample of each pair costs."""
        return self.sampled["chosen"].astype(np.int64) + self.sampled["rejected"]

    @property
    def margin(self) -> Floats:
        """r(chosen) − r(rejected) of the full responses, towards the reference: its size where the reward
        model's own order is the reference."""
        label: Floats = self.full["chosen"].astype(np.float64) - self.full["rejected"].astype(np.float64)
        return np.abs(label) if self.reference == "reward" else label

    def shares(self, rows: Ints, reference: Reference, first: int | None = None) -> Floats:
        """Share of the comparisons that agree with a reference, (rows,); 1 where nothing was cut.

        Args:
            rows: pairs with at least `first` completions, or with any where `first` is None.
            reference: the label's order or the reward model's order of the full responses, in which a tie of
                the full responses counts one half.
            first: use the first so many completions only. Their number was fixed before they came, so their
                mean is unbiased, which the mean at a stopping time is not.
        """
        found, cut = np.ones(len(rows)), self.cut[rows]
        counts = self.n[rows] if first is None else np.full(len(rows), first)
        for like in _alike(counts, self.sampled["chosen"][rows], self.sampled["rejected"][rows]):
            some = like[cut[like]]
            if len(some):
                chosen, rejected = (self._compared(side, rows[some], int(counts[some[0]])) for side in SIDES)
                found[some] = win_shares(chosen, rejected)
        if reference == "label":
            return found
        chosen, rejected = self.full["chosen"][rows], self.full["rejected"][rows]
        ordered = np.where(chosen > rejected, found, np.where(chosen < rejected, 1 - found, 0.5))
        return np.where(cut, ordered, 1.0)

    def posterior(self, rows: Ints) -> tuple[Floats, Floats]:
        """Parameters of the Beta posterior of the consistency with the recipe's reference, each (rows,).

        With both sides cut, the n² combinations of their completions are not independent. They count as the n
        matched pairs that they hold: by Hoeffding's decomposition the Mann–Whitney statistic varies no more
        than their mean, so the posterior is never too sure.
        """
        n, share = self.n[rows], np.zeros(len(rows))
        drawn = n > 0
        share[drawn] = self.shares(rows[drawn], self.reference)
        return self.prior[rows, 0] + share * n, self.prior[rows, 1] + (1 - share) * n

    def close_uncut(self) -> None:
        """Decide the pairs that nothing was cut from."""
        self._close(np.flatnonzero(self.open_pairs() & ~self.cut), KEEP, "uncut")

    def use_proxy(self, rows: Ints, proxy: Proxy, *, threshold: float) -> int:
        """Take the proxy's priors for pairs outside the audit, and its verdicts where it is sure enough.

        Args:
            rows: the cut pairs that the proxy speaks of, in its order.
            proxy: of them.
            threshold: τ.

        Returns:
            How many pairs it decided.
        """
        self.proxy = proxy
        self.expected[rows] = proxy.expected
        self.skippable[rows] = certainty(proxy.prior, threshold) >= proxy.sure
        outside = ~self.audit[rows]
        self.prior[rows[outside]] = proxy.prior[outside]
        skipped = np.flatnonzero(self.open_pairs() & self.skippable & ~self.audit)
        self.foretold[rows] = probability_above(proxy.prior[:, 0], proxy.prior[:, 1], threshold) >= 0.5
        self._close(skipped, np.where(self.foretold[skipped], KEEP, DROP), "proxy")
        return len(skipped)

    def close_sure(self, rows: Ints, *, threshold: float, delta: float, by: DecidedBy) -> None:
        """Decide those of `rows` that are open and whose posterior is sure enough."""
        rows = rows[self.open_pairs()[rows]]
        verdicts = decide(*self.posterior(rows), threshold=threshold, delta=delta)
        sure = verdicts != OPEN
        self._close(rows[sure], verdicts[sure], by)

    def close_exhausted(self, *, threshold: float) -> None:
        """Let the posterior mean decide the open pairs that have n_max completions."""
        rows = np.flatnonzero(self.open_pairs() & (self.n >= self.n_max))
        self._close(rows, decide_by_mean(*self.posterior(rows), threshold=threshold), "n_max")

    def close_undecided(self, *, keep: bool) -> None:
        """The budget ended: mark what is still open."""
        self._close(np.flatnonzero(self.open_pairs()), KEEP if keep else DROP, "undecided")

    def open_pairs(self) -> Bools:
        """Pairs that can be and are not decided, (pairs,)."""
        found: Bools = self.usable & (self.verdict == OPEN)
        return found

    def _close(self, rows: Ints, verdict: Decisions | int, by: DecidedBy) -> None:
        self.verdict[rows] = verdict
        self.decided_by[rows] = by

    def _compared(self, side: Side, rows: Ints, count: int) -> Rewards:
        """Rewards to compare, (rows, completions); one a row where the side was not cut. All rows are alike."""
        if not self.sampled[side][rows[0]]:
            return self.full[side][rows, None]
        return self.completions[side][rows, :count]


def _alike(counts: Ints, chosen: Bools, rejected: Bools) -> Iterator[Ints]:
    """Places of equal count and equally cut sides, at most _CHUNK comparisons together."""
    kind = 4 * counts + 2 * chosen + rejected
    order = np.argsort(kind, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(kind[order])) + 1):
        if len(group):
            rows = max(1, _CHUNK // max(1, int(counts[group[0]])) ** 2)
            yield from (group[start : start + rows] for start in range(0, len(group), rows))
