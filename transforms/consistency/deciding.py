"""How a run decides every pair: an audit, then rounds of completions until sure, n_max or the budget, and after each
the proxy learns.

Knows no engine: `ask` has a round's completions sampled, scored and put into the evidence. So the same lines decide
a real run, a simulation with known truth and a replay of completions that are there already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Final, Literal

import numpy as np

from transforms.consistency.beliefs import Beliefs
from transforms.consistency.evidence import Evidence
from transforms.consistency.gap_fits import GapFits, fit_gaps
from transforms.consistency.proxy import FOLDS, fit_proxy, surety
from transforms.consistency.reward_gaps import GapBeliefs
from transforms.consistency.sequential import Purpose, Round, drawn_for_rates, next_round, worth
from transforms.records.manifest import RoundRecord
from transforms.statistics.intervals import Ints

Stage = Literal["audit", "rest"]
Estimator = Literal["counts", "rewards"]
TO_TELL_KINDS: Final = 2  # completions of an audit pair: one each do not show how pairs of equal margin differ
_NEWS: Final = 1.1  # times as many comparisons as were learned from; refitting to fewer changes hardly a verdict
_ENOUGH: Final = 4000  # pairs to learn what all share from


@dataclass(frozen=True)
class ProxyRule:
    """How the proxy learns and how much it may err (flows.recipe.curation.ProxyConfig)."""

    audit: float
    audit_least: int
    error: float


@dataclass(frozen=True)
class Rules:
    """When a pair is decided, and when to stop.

    Attributes:
        first: completions a cut side in a pair's first round.
        step: in each later one.
        threshold: τ.
        delta: δ.
        proxy: None samples every cut pair.
        completions: of the whole run at most; None is no limit.
        tokens: sampled tokens of the whole run at most; a completion counts with all it may have.
        max_new_tokens: what a completion may have.
        stop_below: wrong verdicts that a completion more of a pair, of the run's mean length, must be expected to
            prevent; where it is fewer, the likelier verdict stands. None samples on until δ or the most completions.
        estimator: how consistencies are estimated: by counting wins, or by how far completions win.
        purpose: where a budget that is too small for all goes (sequential.next_round).
        keep_undecided: what becomes of pairs that are open when the budget ends.
    """

    first: int
    step: int
    threshold: float
    delta: float
    proxy: ProxyRule | None = None
    completions: int | None = None
    tokens: int | None = None
    max_new_tokens: int = 1
    keep_undecided: bool = False
    estimator: Estimator = "counts"
    stop_below: float | None = None
    purpose: Purpose = "both"


# Has the round sampled, scored and added to the evidence; returns the tokens that were sampled.
Ask = Callable[[Stage, int, Round], int]


class Decider:
    """Decides the pairs of one run.

    Args:
        evidence: with the rewards of all full responses; filled and decided in place.
        rules: when to stop.
        order: (pairs,), random ranks: the audit is the first of them.
        ask: samples.
    """

    def __init__(self, evidence: Evidence, rules: Rules, order: Ints, ask: Ask) -> None:
        self.evidence = evidence
        self.records: list[RoundRecord] = []
        self._rules, self._order, self._ask = rules, order, ask
        self._asked = self._tokens = self._learned = 0

    def decide(self) -> list[RoundRecord]:
        """Decide every usable pair, or mark it undecided where the budget ended; the rounds that it took."""
        evidence, rules = self.evidence, self._rules
        everyone = np.flatnonzero(evidence.cut & evidence.usable)
        self._judge()
        evidence.by_worth = rules.purpose == "verdicts"
        if rules.proxy is not None:
            audit = _audit_sample(everyone, self._order, rules.proxy)
            evidence.audit[audit] = True
            # A second completion tells kinds of pairs apart, but the rate little that another pair's first would not.
            first = rules.first if rules.purpose == "rates" else max(rules.first, TO_TELL_KINDS)
            self._round("audit", 1, audit, everyone, first=first)
        number = 1
        # What else were sampled then had another chance than the estimate takes it to have.
        drawn = rules.purpose == "rates" and self._draw(everyone)
        while not drawn and self._round("rest", number, everyone, everyone, first=rules.first):
            number += 1
        evidence.close_undecided(keep=rules.keep_undecided)
        return self.records

    def _draw(self, everyone: Ints) -> bool:
        """A first completion of pairs that are drawn for the rate's sake; False where the budget pays for all."""
        evidence, rules = self.evidence, self._rules
        drawn = drawn_for_rates(evidence, everyone, first=rules.first, room=self._room(), order=self._order)
        return drawn is not None and self._asks("rest", 1, drawn, everyone)

    def _round(self, stage: Stage, number: int, candidates: Ints, everyone: Ints, *, first: int) -> bool:
        """One round of completions, and what follows from it; False where no candidate is open or has room."""
        evidence, rules = self.evidence, self._rules
        asked = next_round(
            evidence,
            candidates,
            first=first,
            step=rules.step,
            threshold=rules.threshold,
            room=self._room(),
            order=self._order,
            by_tokens=rules.tokens is not None,
            purpose=rules.purpose,
        )
        return self._asks(stage, number, asked, everyone)

    def _asks(self, stage: Stage, number: int, asked: Round, everyone: Ints) -> bool:
        evidence = self.evidence
        if not len(asked.rows):
            return False
        completions = asked.completions(evidence)
        tokens = self._ask(stage, number, asked)
        evidence.n[asked.rows] += asked.more
        self._asked += completions
        self._tokens += tokens
        self._learn(everyone)
        self._judge()
        self._record(stage, number, asked, completions, tokens)
        return True

    def _judge(self) -> None:
        evidence, rules = self.evidence, self._rules
        evidence.decide(threshold=rules.threshold, delta=rules.delta)
        if rules.stop_below is not None:
            rows = np.flatnonzero(evidence.open_pairs() & (evidence.n >= self._to_stop()))
            gain = worth(evidence, rows, step=rules.step, threshold=rules.threshold) / evidence.costs(rows)
            evidence.stop(rows[gain < rules.stop_below], threshold=rules.threshold)

    def _to_stop(self) -> int:
        """Completions that a pair has before it may be sampled no further: what they are worth is known only once two
        have shown how gaps vary."""
        fits = self.evidence.gap_fits
        unknown = self._rules.estimator == "rewards" and (fits is None or not fits.shapes)
        return TO_TELL_KINDS if unknown else 1

    def _learn(self, everyone: Ints) -> None:
        """Fit to everything that was sampled, where that has grown enough to tell something new."""
        evidence, rules, rule = self.evidence, self._rules, self._rules.proxy
        if rule is None and rules.estimator == "counts":
            return
        outcomes = evidence.outcomes(everyone)
        if outcomes.n.sum() < _NEWS * self._learned:
            return
        self._learned = int(outcomes.n.sum())
        value_gap = evidence.value_gap() if rule else None
        ranks = np.argsort(self._order[everyone[outcomes.rows]], kind="stable")
        outcomes = outcomes.of(np.sort(ranks[:_ENOUGH]))
        proxy = fit_proxy(
            evidence.margin[everyone] if rule else np.zeros(len(everyone)),
            evidence.share_cut[everyone],
            self._fold[everyone],
            outcomes,
            threshold=rules.threshold,
            accepted_error=rule.error if rule else 0.0,
            fallback=evidence.prior_parameters,
            value_gap=None if value_gap is None else value_gap[everyone],
        )
        fits = None
        if rules.estimator == "rewards":
            counting = proxy.beliefs.of(outcomes.rows)
            fits = self._fit_gaps(everyone[outcomes.rows], counting, by_margin=rule is not None)
        if rule is None:  # then nothing but a pair's completions, and how gaps vary, speaks of it
            evidence.gap_fits = fits
            if fits is not None and fits.trusted:
                evidence.expected[everyone] = evidence.prior(everyone).mean()
            return
        evidence.believe(everyone, proxy, fits)
        foretold: Beliefs | GapBeliefs = proxy.beliefs
        if fits is not None and fits.trusted:
            foretold = evidence.prior(everyone)
            if proxy.informative:
                audit = outcomes.rows[outcomes.audit]
                before, after = foretold.of(audit), evidence.posterior(everyone[audit])
                enough = surety(before, after, threshold=rules.threshold, accepted_error=rule.error)
                evidence.proxy = proxy = proxy.sure_from(enough, rule.error)
            evidence.expected[everyone] = foretold.mean()
        evidence.may_skip(everyone, foretold.certainty(rules.threshold) >= proxy.sure)

    @cached_property
    def _fold(self) -> Ints:
        return _folds(self.evidence.pair_ids)

    def _fit_gaps(self, rows: Ints, counting: Beliefs, *, by_margin: bool) -> GapFits:
        evidence = self.evidence
        return fit_gaps(
            evidence.gaps(rows, by_margin=by_margin),
            rows,
            self._fold,
            threshold=self._rules.threshold,
            counting=counting,
            by_margin=by_margin,
            before=evidence.gap_fits,
        )

    def _room(self) -> float:
        """Completions that the budget still allows, at the most tokens that each may have."""
        rules = self._rules
        room = np.inf if rules.completions is None else float(rules.completions - self._asked)
        if rules.tokens is not None:
            room = min(room, (rules.tokens - self._tokens) // rules.max_new_tokens)
        return room

    def _record(self, stage: Stage, number: int, asked: Round, completions: int, tokens: int) -> None:
        verdicts = self.evidence.verdict[asked.rows]
        self.records.append(
            RoundRecord(
                stage=stage,
                number=number,
                pairs=len(asked.rows),
                completions=completions,
                tokens=tokens,
                keep=int((verdicts > 0).sum()),
                drop=int((verdicts < 0).sum()),
                open=int((verdicts == 0).sum()),
            )
        )


def random_ranks(pair_ids: list[str], seed: int) -> Ints:
    """A random order of the pairs that only their ids and the seed decide, (pairs,)."""
    hashes = [blake2b(f"{seed}\0{key}".encode(), digest_size=8).digest() for key in pair_ids]
    ranks = np.empty(len(hashes), np.int64)
    ranks[sorted(range(len(hashes)), key=lambda row: (hashes[row], pair_ids[row]))] = np.arange(len(hashes))
    return ranks


def _audit_sample(rows: Ints, order: Ints, rule: ProxyRule) -> Ints:
    """A simple random sample of fixed size, the same for the same pairs in any order."""
    count = min(len(rows), max(rule.audit_least, round(rule.audit * len(rows))))
    return np.sort(rows[np.argsort(order[rows], kind="stable")[:count]])


def _folds(pair_ids: list[str]) -> Ints:
    """Equal for pairs of one prompt, whose hash begins the id."""
    return np.array([int(key[:8], 16) % FOLDS for key in pair_ids], np.int64)
