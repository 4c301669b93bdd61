"""What is known of every pair's consistency while completions come in, as arrays with one place a live pair."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from transforms.consistency.beliefs import Beliefs
from transforms.consistency.gap_fits import GapFits
from transforms.consistency.proxy import Proxy, Sampled
from transforms.consistency.reward_gaps import GapBeliefs, Gaps
from transforms.consistency.win_shares import DROP, KEEP, OPEN, Decisions, decide, decide_by_mean, win_shares
from transforms.records.manifest import DecidedBy
from transforms.statistics.intervals import Bools, Floats, Ints
from transforms.tables.schema import SIDES, Side

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
        values: side → (pairs,), reward of the kept prefix as it is, of sides that are cut; NaN where the reward model
            cannot read it. None where none were asked for.
        completions: side → (pairs, n_max), rewards of the completions in sample order; NaN where none.
        tokens: side → (pairs, n_max), length of the completions; 0 where none.
        n: (pairs,), completions a cut side so far.
        beliefs: of every pair before its completions.
        expected: (pairs,), P(a completion is consistent) before the first one, by the proxy or, where they are
            trusted, by reward gaps, held out of the fit; NaN without either.
        audit: (pairs,), drawn at random, to be sampled whatever the proxy says.
        skippable: (pairs,), where the proxy decides alone unless the pair is in the audit: it was sure enough each
            time that it learned.
        proxy: what the completions taught so far.
        gap_fits: what the sizes of the gaps taught; None where wins are counted.
        chance: (pairs,), of being among the pairs that were observed for the rate's sake; None where the strata say it
            (rates.observe).
        by_worth: whether pairs got their first completion where that was worth most, and not at random.
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
    values: dict[Side, Rewards] | None = field(init=False, default=None)
    completions: dict[Side, Rewards] = field(init=False)
    tokens: dict[Side, Ints] = field(init=False)
    n: Ints = field(init=False)
    beliefs: Beliefs = field(init=False)
    expected: Floats = field(init=False)
    audit: Bools = field(init=False)
    skippable: Bools = field(init=False)
    proxy: Proxy | None = field(init=False, default=None)
    gap_fits: GapFits | None = field(init=False, default=None)
    chance: Floats | None = field(init=False, default=None)
    by_worth: bool = field(init=False, default=False)
    verdict: Decisions = field(init=False)
    decided_by: npt.NDArray[Any] = field(init=False)
    bad: dict[int, str] = field(default_factory=dict)
    _judged_before: bool = field(init=False, default=False)
    _last_posterior: "_Known | None" = field(init=False, default=None)

    def __post_init__(self) -> None:
        count = len(self.pair_ids)
        self.full = {side: np.full(count, np.nan, np.float32) for side in SIDES}
        self.completions = {side: np.full((count, self.n_max), np.nan, np.float32) for side in SIDES}
        self.tokens = {side: np.zeros((count, self.n_max), np.int32) for side in SIDES}
        self.n = np.zeros(count, np.int64)
        self.beliefs = Beliefs.alike(count, *self.prior_parameters)
        self.expected = np.full(count, np.nan)
        self.audit = np.zeros(count, bool)
        self.skippable = np.zeros(count, bool)
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

    def value_gap(self, reference: Reference | None = None) -> Floats | None:
        """What the values at both cuts differ by, (pairs,); None where none were read, or none could be.

        A side that is whole counts with its reward. A pair with a prefix that cannot be read is foretold as if its
        values were those of the mean pair that is cut.

        Args:
            reference: towards whose order; the recipe's by default.
        """
        if self.values is None:
            return None
        chosen, rejected = (
            np.where(self.sampled[side], self.values[side], self.full[side]).astype(np.float64) for side in SIDES
        )
        gap = chosen - rejected
        if (reference or self.reference) == "reward":
            gap = gap * np.sign(self.full["chosen"].astype(np.float64) - self.full["rejected"])
        known = np.isfinite(gap)
        of_cut = gap[known & self.cut & self.usable]
        return np.where(known, gap, of_cut.mean()) if len(of_cut) else None

    def read_values(self) -> dict[Side, Rewards]:
        """Where the values at the cuts go; until then there are none."""
        if self.values is None:
            self.values = {side: np.full(len(self), np.nan, np.float32) for side in SIDES}
        return self.values

    def costs(self, rows: Ints) -> Floats:
        """What one more sample of each pair costs, (rows,), in completions of the run's mean length.

        A pair's own completions foretell the length of its next one, as if it had one more of the mean length.
        """
        sides = self.sides_cut[rows].astype(np.float64)
        total = sum(int(lengths.sum()) for lengths in self.tokens.values())
        if not total:
            return sides
        mean = total / int((self.n * self.sides_cut).sum())
        own = sum(lengths[rows].sum(axis=1) for lengths in self.tokens.values()) / mean
        found: Floats = (own + sides) / (self.n[rows] + 1)
        return found

    def prompts(self, mine: Bools) -> list[str]:
        """The prompt of each of some pairs, whose hash begins the id."""
        return [self.pair_ids[row][:16] for row in np.flatnonzero(mine).tolist()]

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

    def gaps(self, rows: Ints, *, by_margin: bool = True, reference: Reference | None = None) -> Gaps:
        """How far the completions of some pairs won, towards the reference.

        With both sides cut, the completions are matched by their number.

        Args:
            rows: the pairs.
            by_margin: False hides margins and values, for runs without a proxy.
            reference: the recipe's by default. A tie of the full responses leaves the reward model's order no gap.
        """
        both = {
            side: np.where(self.sampled[side][rows, None], self.completions[side][rows], self.full[side][rows, None])
            for side in SIDES
        }
        values = both["chosen"].astype(np.float64) - both["rejected"]
        values[np.arange(self.n_max) >= self.n[rows, None]] = np.nan
        skew = self.sampled["chosen"][rows].astype(np.int64) - self.sampled["rejected"][rows]
        if (reference or self.reference) == "reward":
            towards = np.sign(self.full["chosen"][rows] - self.full["rejected"][rows]).astype(np.int64)
            values, skew = values * towards[:, None], skew * towards
        if not by_margin:
            return Gaps(np.zeros(len(rows)), self.share_cut[rows], values, skew)
        value_gap = self.value_gap(reference)
        value_gap = None if value_gap is None else value_gap[rows]
        return Gaps(self.margin[rows], self.share_cut[rows], values, skew, value_gap)

    def posterior(self, rows: Ints) -> Beliefs | GapBeliefs:
        """What is believed of the consistency with the recipe's reference after the completions, (rows,).

        With both sides cut, the n² combinations of their completions are not independent. They count as the n
        matched pairs that they hold: by Hoeffding's decomposition the Mann–Whitney statistic varies no more
        than their mean, so the posterior is never too sure.
        """
        if self.gap_fits is not None and self.gap_fits.trusted:
            return self._by_gaps(self.gap_fits, rows)
        n, wins = self.n[rows], np.zeros(len(rows))
        drawn = n > 0
        wins[drawn] = self.shares(rows[drawn], self.reference) * n[drawn]
        return self.beliefs.of(rows).after(wins, n)

    def _by_gaps(self, fits: GapFits, rows: Ints) -> GapBeliefs:
        """What gaps say of some pairs; of the last pairs asked about, as long as nothing was learned since, at once."""
        known = self._last_posterior
        answers = int(self.n.sum())
        if known is not None and known.fits is fits and known.answers == answers and len(known.rows):
            place = np.minimum(np.searchsorted(known.rows, rows), len(known.rows) - 1)
            if (known.rows[place] == rows).all():
                return known.beliefs.of(place)
        found = fits.believe(rows, self.gaps(rows, by_margin=fits.by_margin))
        if (np.diff(rows) > 0).all():
            self._last_posterior = _Known(fits, answers, rows, found)
        return found

    def outcomes(self, rows: Ints) -> Sampled:
        """What a proxy learns from: those of `rows` that have completions, in the places of `rows`."""
        places = np.flatnonzero((self.n[rows] > 0) & self.usable[rows])
        mine = rows[places]
        return Sampled(places, self.shares(mine, self.reference) * self.n[mine], self.n[mine], self.audit[mine])

    def believe(self, rows: Ints, proxy: Proxy, fits: GapFits | None = None) -> None:
        """Take what the proxy says of `rows`, in its order, as the prior; where `fits` are trusted they are (prior)."""
        self.beliefs = self.beliefs.replaced(rows, proxy.beliefs)
        self.expected[rows] = proxy.expected
        self.proxy, self.gap_fits = proxy, fits

    def may_skip(self, rows: Ints, sure: Bools) -> None:
        """Whether each of `rows` may be decided before its first completion: where it was sure enough every time."""
        self.skippable[rows] = sure & self.skippable[rows] if self._judged_before else sure
        self._judged_before = True

    def decide(self, *, threshold: float, delta: float) -> None:
        """Decide every usable pair that can be decided on what is known now; the others are open."""
        self.verdict[:], self.decided_by[:] = OPEN, _NOBODY
        usable, cut = self.usable, self.cut
        self._close(np.flatnonzero(usable & ~cut), KEEP, "uncut")
        skipped = np.flatnonzero(usable & cut & self.skippable & ~self.audit & (self.n == 0))
        self._close(skipped, np.where(self.foretold(skipped, threshold), KEEP, DROP), "proxy")
        rows = np.flatnonzero(usable & cut & (self.n > 0))
        posterior = self.posterior(rows)
        verdicts, exhausted = decide(posterior.above(threshold), delta=delta), self.n[rows] >= self.n_max
        self._close(rows[exhausted], decide_by_mean(posterior.mean(), threshold=threshold)[exhausted], "n_max")
        self._close(rows[verdicts != OPEN], verdicts[verdicts != OPEN], "sampling")

    def foretold(self, rows: Ints, threshold: float) -> Bools:
        """Whether a pair would be kept if no completion of it were known, (rows,)."""
        keeps: Bools = self.prior(rows).above(threshold) >= 0.5
        return keeps

    def prior(self, rows: Ints) -> Beliefs | GapBeliefs:
        """What is believed before any completion, (rows,)."""
        if self.gap_fits is not None and self.gap_fits.trusted:
            return self.gap_fits.believe(rows, self.gaps(rows, by_margin=self.gap_fits.by_margin).before())
        return self.beliefs.of(rows)

    def stop(self, rows: Ints, *, threshold: float) -> None:
        """Give pairs that are sampled no further the likelier verdict."""
        self._close(rows, np.where(self.posterior(rows).above(threshold) >= 0.5, KEEP, DROP), "stopped")

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


class _Known(NamedTuple):
    """A posterior and what it was of."""

    fits: GapFits
    answers: int  # completions of all pairs
    rows: Ints  # rising
    beliefs: GapBeliefs


def _alike(counts: Ints, chosen: Bools, rejected: Bools) -> Iterator[Ints]:
    """Places of equal count and equally cut sides, at most _CHUNK comparisons together."""
    kind = 4 * counts + 2 * chosen + rejected
    order = np.argsort(kind, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(kind[order])) + 1):
        if len(group):
            rows = max(1, _CHUNK // max(1, int(counts[group[0]])) ** 2)
            yield from (group[start : start + rows] for start in range(0, len(group), rows))
