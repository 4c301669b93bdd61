"""How a run decides every pair: an audit, then rounds of completions until sure, n_max or the budget, and after each
the proxy learns.

Knows no engine: `ask` has a round's completions sampled, scored and put into the evidence. So the same lines decide
a real run, a simulation with known truth and a replay of completions that are there already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal

import numpy as np

from transforms.consistency.evidence import Evidence
from transforms.consistency.proxy import FOLDS, fit_proxy
from transforms.consistency.sequential import Round, next_round
from transforms.records.manifest import RoundRecord
from transforms.statistics.intervals import Ints

Stage = Literal["audit", "rest"]
TO_TELL_KINDS: Final = 2  # completions of an audit pair: one each do not show how pairs of equal margin differ
_NEWS: Final = 1.1  # times as many comparisons as were learned from; refitting to fewer changes hardly a verdict
_ENOUGH: Final = 4000  # pairs to learn five numbers from


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
        evidence.decide(threshold=rules.threshold, delta=rules.delta)
        if rules.proxy is not None:
            audit = _audit_sample(everyone, self._order, rules.proxy)
            evidence.audit[audit] = True
            self._round("audit", 1, audit, everyone, first=max(rules.first, TO_TELL_KINDS))
        number = 1
        while self._round("rest", number, everyone, everyone, first=rules.first):
            number += 1
        evidence.close_undecided(keep=rules.keep_undecided)
        return self.records

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
        )
        if not len(asked.rows):
            return False
        completions = asked.completions(evidence)
        tokens = self._ask(stage, number, asked)
        evidence.n[asked.rows] += asked.more
        self._asked += completions
        self._tokens += tokens
        if rules.proxy is not None:
            self._learn(everyone, rules.proxy)
        evidence.decide(threshold=rules.threshold, delta=rules.delta)
        self._record(stage, number, asked, completions, tokens)
        return True

    def _learn(self, everyone: Ints, rule: ProxyRule) -> None:
        """Fit the proxy to everything that was sampled, where that has grown enough to tell it something new."""
        evidence, rules = self.evidence, self._rules
        outcomes = evidence.outcomes(everyone)
        if outcomes.n.sum() < _NEWS * self._learned:
            return
        self._learned = int(outcomes.n.sum())
        ranks = np.argsort(self._order[everyone[outcomes.rows]], kind="stable")
        evidence.believe(
            everyone,
            fit_proxy(
                evidence.margin[everyone],
                evidence.share_cut[everyone],
                _folds([evidence.pair_ids[row] for row in everyone.tolist()]),
                outcomes.of(np.sort(ranks[:_ENOUGH])),
                threshold=rules.threshold,
                accepted_error=rule.error,
                fallback=evidence.prior_parameters,
            ),
            threshold=rules.threshold,
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
