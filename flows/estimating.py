"""Estimate every pair's consistency: full rewards, an audit, the proxy, and rounds of completions for the rest."""

import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from functools import partial
from hashlib import blake2b
from typing import Any, Literal

import numpy as np

from flows.calls import Batch, Calls
from flows.config import ProxyConfig
from flows.live import LivePart, collect_evidence, live_parts
from flows.run import Run
from flows.sampling import Sampler
from flows.scoring import Scorer, ToScore
from transforms.consistency import Ints
from transforms.engines.select import on_gpu
from transforms.evidence import Evidence
from transforms.manifest import RoundRecord
from transforms.proxy import FOLDS, fit_proxy
from transforms.requests import SIDES, Prefix, PrefixSample
from transforms.scoring import completion_readings, full_readings, why_unusable
from transforms.sequential import Round, next_round

Pay = Callable[[str, Callable[[], None]], None]
Stage = Literal["audit", "rest"]
logger = logging.getLogger(__name__)


def estimate(run: Run, pay: Pay) -> Evidence:
    """Decide every live pair, or mark it undecided where the budget ended.

    Args:
        run: its recipe says how sure, how often at most and at what price.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
    """
    with ExitStack() as stack:
        estimation = _Estimation(run, pay)
        stack.enter_context(closing(estimation.sampler.calls))
        stack.enter_context(closing(estimation.scorer.calls))
        estimation.decide()
        return estimation.evidence


class _Estimation:
    def __init__(self, run: Run, pay: Pay) -> None:
        self._run, self._pay = run, pay
        self.sampler, self.scorer = Sampler(run), Scorer(run)
        self.evidence = collect_evidence(run)
        self._order = _random_ranks(self.evidence.pair_ids, run.recipe.sampling.seed)
        keep = run.recipe.consistency.keep_loaded
        self._keep_loaded = not on_gpu() if keep is None else keep
        self._asked = self._tokens = 0

    def decide(self) -> None:
        evidence, recipe = self.evidence, self._run.recipe
        with self._run.timed("score full responses"):
            self._score_full()
        evidence.close_uncut()
        everyone = np.flatnonzero(evidence.cut & evidence.usable)
        if (proxy := recipe.proxy) is not None:
            audit = _audit_sample(everyone, self._order, proxy.audit, proxy.audit_least)
            evidence.audit[audit] = True
            self._rounds("audit", audit)
            self._apply_proxy(audit, proxy)
        self._rounds("rest", everyone)
        evidence.close_undecided(keep=recipe.budget.undecided == "keep")

    def _score_full(self) -> None:
        live = len(self.evidence)
        with self._run.progress.bar("score full responses", unit="responses", total=2 * live) as advance:
            for part in live_parts(self._run):
                to_score = self.scorer.to_score(full_readings(part.pairs, part.places))
                self._call(f"score part {part.number}", self.scorer.calls, self.scorer.batches(to_score), advance)
                for reading, reward in zip(to_score.read, self.scorer.rewards(to_score), strict=True):
                    place = part.places[reading.pair_row]
                    if problem := why_unusable(reading, reward):
                        self.evidence.bad.setdefault(place, problem)
                    else:
                        self.evidence.full[reading.side][place] = reward

    def _apply_proxy(self, audit: Ints, config: ProxyConfig) -> None:
        """Every pair's prior from the audit; the pairs that it is sure of are decided here."""
        evidence, recipe = self.evidence, self._run.recipe
        good = audit[evidence.usable[audit] & (evidence.n[audit] > 0)]
        n = evidence.n[good]
        rows = np.flatnonzero(evidence.cut & evidence.usable)
        place = {row: at for at, row in enumerate(rows.tolist())}
        proxy = fit_proxy(
            evidence.margin[rows],
            evidence.share_cut[rows],
            _folds([evidence.pair_ids[row] for row in rows.tolist()]),
            np.array([place[row] for row in good.tolist()], np.int64),
            evidence.shares(good, evidence.reference) * n,
            n,
            threshold=recipe.consistency.threshold,
            accepted_error=config.error,
            fallback=recipe.consistency.prior,
        )
        logger.info("proxy: %s", proxy.why)
        skipped = evidence.use_proxy(rows, proxy, threshold=recipe.consistency.threshold)
        logger.info("proxy: %s of %s cut pairs need no sampling", f"{skipped:,}", f"{len(rows):,}")

    def _rounds(self, stage: Stage, candidates: Ints) -> None:
        """Rounds of completions until no candidate is open, or the budget has no room for one."""
        run, evidence = self._run, self.evidence
        config, tau = run.recipe.sampling, run.recipe.consistency.threshold
        for number in range(1, 1 + config.n * len(candidates)):
            asked = next_round(
                evidence,
                candidates,
                first=config.first_round,
                step=config.step,
                threshold=tau,
                room=self._room(),
                order=self._order,
            )
            if not len(asked.rows):
                return
            tokens = self._one_round(f"{stage} round {number}", asked)
            # Fixed n asks everything at once, and its posterior mean decides whatever it is.
            evidence.close_sure(asked.rows, threshold=tau, delta=run.recipe.consistency.delta, by="sampling")
            evidence.close_exhausted(threshold=tau)
            self._record(stage, number, asked, tokens)

    def _one_round(self, name: str, asked: Round) -> int:
        """Sample, score and keep; the tokens that were sampled."""
        self._asked += asked.completions(self.evidence)
        with self._run.timed("sample"):
            bar = self._run.progress.bar(f"sample {name}", unit="completions", total=asked.completions(self.evidence))
            with bar as advance:
                samples = (sample for part in live_parts(self._run) for sample in self._samples(part, asked))
                self._call(f"sample {name}", self.sampler.calls, self.sampler.batches(samples), advance)
        if not self._keep_loaded:
            self.sampler.calls.close()
        with self._run.timed("score"):
            tokens = self._score_round(name, asked)
        if not self._keep_loaded:
            self.scorer.calls.close()
        self.evidence.n[asked.rows] += asked.more
        self._tokens += tokens
        return tokens

    def _score_round(self, name: str, asked: Round) -> int:
        tokens, total = 0, asked.completions(self.evidence)
        with self._run.progress.bar(f"score {name}", unit="conversations", total=total) as advance:
            for part in live_parts(self._run):
                samples = self._samples(part, asked)
                completions = self.sampler.completions(samples)
                tokens += sum(map(len, completions.values()))
                to_score = self.scorer.to_score(completion_readings(part.pairs, samples, completions, self._run.chat))
                self._call(
                    f"score {name} part {part.number}", self.scorer.calls, self.scorer.batches(to_score), advance
                )
                self._keep_rewards(part, to_score)
        return tokens

    def _keep_rewards(self, part: LivePart, scored: ToScore) -> None:
        for reading, reward in zip(scored.read, self.scorer.rewards(scored), strict=True):
            place = part.places[reading.pair_row]
            if problem := why_unusable(reading, reward):
                self.evidence.bad.setdefault(place, problem)
            elif reading.sample is not None:
                self.evidence.completions[reading.side][place, reading.sample] = reward

    def _samples(self, part: LivePart, asked: Round) -> list[PrefixSample]:
        """The round's completions of one part's pairs."""
        evidence = self.evidence
        keeps = {side: part.pairs[f"{side}_keep"].to_pylist() for side in SIDES}
        more = dict(zip(asked.rows.tolist(), asked.more.tolist(), strict=True))
        prefixes = [
            Prefix(row, side, keeps[side][row], range(evidence.n[place], evidence.n[place] + more[place]))
            for row, place in part.places.items()
            if place in more
            for side in SIDES
            if evidence.sampled[side][place]
        ]
        return self.sampler.samples(part.pairs, prefixes)

    def _call(self, name: str, calls: Calls[Any, Any], batches: Iterable[Batch[Any]], advance: Any) -> None:
        for number, batch in enumerate(batches):
            work = partial(calls.run, batch, advance)
            self._pay(f"{name} batch {number}", work) if batch.missing else work()

    def _room(self) -> float:
        """Completions that the budget still allows, at the most tokens that each may have."""
        budget = self._run.recipe.budget
        completions = np.inf if budget.completions is None else budget.completions - self._asked
        if budget.tokens is None:
            return completions
        return min(completions, (budget.tokens - self._tokens) // self._run.recipe.sampling.max_new_tokens)

    def _record(self, stage: Stage, number: int, asked: Round, tokens: int) -> None:
        verdicts = self.evidence.verdict[asked.rows]
        record = RoundRecord(
            stage=stage,
            number=number,
            pairs=len(asked.rows),
            completions=asked.completions(self.evidence),
            tokens=tokens,
            keep=int((verdicts > 0).sum()),
            drop=int((verdicts < 0).sum()),
            open=int((verdicts == 0).sum()),
        )
        self._run.rounds.append(record)
        logger.info(
            "%s round %s: %s pairs, %s kept, %s dropped, %s open",
            stage, number, record.pairs, record.keep, record.drop, record.open,
        )  # fmt: skip


def _audit_sample(rows: Ints, order: Ints, share: float, least: int) -> Ints:
    """A simple random sample of fixed size, the same for the same pairs in any order."""
    count = min(len(rows), max(least, round(share * len(rows))))
    return np.sort(rows[np.argsort(order[rows], kind="stable")[:count]])


def _random_ranks(pair_ids: list[str], seed: int) -> Ints:
    """A random order of the pairs that only their ids and the seed decide, (pairs,)."""
    hashes = [blake2b(f"{seed}\0{key}".encode(), digest_size=8).digest() for key in pair_ids]
    ranks = np.empty(len(hashes), np.int64)
    ranks[sorted(range(len(hashes)), key=lambda row: (hashes[row], pair_ids[row]))] = np.arange(len(hashes))
    return ranks


def _folds(pair_ids: list[str]) -> Ints:
    """Equal for pairs of one prompt, whose hash begins the id."""
    return np.array([int(key[:8], 16) % FOLDS for key in pair_ids], np.int64)
