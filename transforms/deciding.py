"""How a run decides every pair: an audit, the proxy, then rounds of completions until sure, n_max or the budget.

Knows no engine: `ask` has a round's completions sampled, scored and put into the evidence. So the same lines decide
a real run, a simulation with known truth and a replay of completions that are there already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np

from transforms.consistency import Ints
from transforms.evidence import Evidence
from transforms.manifest import RoundRecord
from transforms.proxy import FOLDS, Proxy, fit_proxy
from transforms.sequential import Round, next_round

Stage = Literal["audit", "rest"]


@dataclass(frozen=True)
class ProxyRule:
    """How the proxy learns and how much it may err (flows.config.ProxyConfig)."""

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
        self._asked = self._tokens = 0

    def decide(self) -> list[RoundRecord]:
        """Decide every usable pair, or mark it undecided where the budget ended; the rounds that it took."""
        evidence = self.evidence
        evidence.close_uncut()
        everyone = np.flatnonzero(evidence.cut & evidence.usable)
        if (proxy := self._rules.proxy) is not None:
            audit = _audit_sample(everyone, self._order, proxy)
            evidence.audit[audit] = True
            self._rounds("audit", audit)
            evidence.use_proxy(everyone, self._fit(everyone, audit, proxy), threshold=self._rules.threshold)
        self._rounds("rest", everyone)
        evidence.close_undecided(keep=self._rules.keep_undecided)
        return self.records

    def _fit(self, everyone: Ints, audit: Ints, rule: ProxyRule) -> Proxy:
        evidence = self.evidence
        seen = audit[evidence.usable[audit] & (evidence.n[audit] > 0)]
        n = evidence.n[seen]
        return fit_proxy(
            evidence.margin[everyone],
            evidence.share_cut[everyone],
            _folds([evidence.pair_ids[row] for row in everyone.tolist()]),
            np.searchsorted(everyone, seen),
            evidence.shares(seen, evidence.reference) * n,
            n,
            threshold=self._rules.threshold,
            accepted_error=rule.error,
            fallback=evidence.prior_parameters,
        )

    def _rounds(self, stage: Stage, candidates: Ints) -> None:
        """Rounds of completions until no candidate is open, or the budget has no room for one."""
        evidence, rules, number = self.evidence, self._rules, 0
        while True:
            asked = next_round(
                evidence,
                candidates,
                first=rules.first,
                step=rules.step,
                threshold=rules.threshold,
                room=self._room(),
                order=self._order,
            )
            if not len(asked.rows):
                return
            number += 1
            completions = asked.completions(evidence)
            tokens = self._ask(stage, number, asked)
            evidence.n[asked.rows] += asked.more
            self._asked += completions
            self._tokens += tokens
            evidence.close_sure(asked.rows, threshold=rules.threshold, delta=rules.delta, by="sampling")
            evidence.close_exhausted(threshold=rules.threshold)
            self._record(stage, number, asked, completions, tokens)

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
