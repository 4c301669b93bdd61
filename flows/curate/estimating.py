"""Estimate every pair's consistency: full rewards, an audit, the proxy, and rounds of completions for the rest."""

import logging
from contextlib import ExitStack, closing

import numpy as np

from flows.curate.live_pairs import LivePart, collect_evidence, live_parts
from flows.curate.run import Run
from flows.curate.sampling import Sampler
from flows.models.engine_calls import Pay, pay_for
from flows.models.scoring import ToScore
from flows.recipe.curation import Recipe
from transforms.asking.readings import completion_readings, full_readings, why_unusable
from transforms.asking.requests import PrefixSample
from transforms.consistency.deciding import Decider, ProxyRule, Rules, Stage, random_ranks
from transforms.consistency.evidence import Evidence
from transforms.consistency.sequential import Round
from transforms.engines.select import on_gpu
from transforms.statistics.intervals import Ints

logger = logging.getLogger(__name__)


def estimate(run: Run, pay: Pay) -> Evidence:
    """Decide every live pair, or mark it undecided where the budget ended.

    Args:
        run: its recipe says how sure, how often at most and at what price.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
    """
    estimation = _Estimation(run, pay)
    with ExitStack() as stack:
        stack.enter_context(closing(estimation.sampler.calls))
        stack.enter_context(closing(estimation.scorer.calls))
        return estimation.decide()


def rules_of(recipe: Recipe) -> Rules:
    """The recipe's keys that decide when a pair is decided."""
    sampling, consistency, proxy, budget = recipe.sampling, recipe.consistency, recipe.proxy, recipe.budget
    return Rules(
        first=sampling.first_round,
        step=sampling.step,
        threshold=consistency.threshold,
        delta=consistency.delta,
        proxy=ProxyRule(proxy.audit, proxy.audit_least, proxy.error) if proxy else None,
        completions=budget.completions,
        tokens=budget.tokens,
        max_new_tokens=sampling.max_new_tokens,
        keep_undecided=budget.undecided == "keep",
    )


class _Estimation:
    def __init__(self, run: Run, pay: Pay) -> None:
        self._run, self._pay = run, pay
        self.sampler, self.scorer = Sampler(run), run.scorer()
        self.evidence = collect_evidence(run)
        keep = run.recipe.consistency.keep_loaded
        self._keep_loaded = not on_gpu() if keep is None else keep

    def decide(self) -> Evidence:
        with self._run.timed("score full responses"):
            self._score_full()
        if not self._keep_loaded:
            self.scorer.calls.close()
        order = random_ranks(self.evidence.pair_ids, self._run.recipe.sampling.seed)
        decider = Decider(self.evidence, rules_of(self._run.recipe), order, self._ask)
        self._run.rounds = decider.decide()
        if self.evidence.proxy:
            logger.info("proxy: %s", self.evidence.proxy.why)
        return self.evidence

    def _score_full(self) -> None:
        live = len(self.evidence)
        with self._run.progress.bar("score full responses", unit="responses", total=2 * live) as advance:
            for part in live_parts(self._run):
                to_score = self.scorer.to_score(full_readings(part.pairs, part.places, self._run.chat))
                batches = self.scorer.batches(to_score.requests)
                pay_for(self._pay, f"score part {part.number}", self.scorer.calls, batches, advance)
                for reading, reward in zip(to_score.read, self.scorer.rewards(to_score.requests), strict=True):
                    place = part.places[reading.pair_row]
                    if problem := why_unusable(reading, reward):
                        self.evidence.bad.setdefault(place, problem)
                    else:
                        self.evidence.full[reading.side][place] = reward

    def _ask(self, stage: Stage, number: int, asked: Round) -> int:
        """Sample and score a round; the tokens that were sampled."""
        name, total = f"{stage} round {number}", asked.completions(self.evidence)
        more = np.zeros(len(self.evidence), np.int64)
        more[asked.rows] = asked.more
        with self._run.timed("sample"):
            with self._run.progress.bar(f"sample {name}", unit="completions", total=total) as advance:
                samples = (sample for part in live_parts(self._run) for sample in self._samples(part, more))
                pay_for(self._pay, f"sample {name}", self.sampler.calls, self.sampler.batches(samples), advance)
            if not self._keep_loaded:
                self.sampler.calls.close()
        with self._run.timed("score"):
            tokens = self._score_round(name, more, total)
            if not self._keep_loaded:
                self.scorer.calls.close()
        return tokens

    def _score_round(self, name: str, more: Ints, total: int) -> int:
        tokens = 0
        with self._run.progress.bar(f"score {name}", unit="conversations", total=total) as advance:
            for part in live_parts(self._run):
                samples = self._samples(part, more)
                if not samples:
                    continue
                completions = self.sampler.completions(samples)
                tokens += sum(map(len, completions.values()))
                to_score = self.scorer.to_score(completion_readings(part.pairs, samples, completions, self._run.chat))
                batches = self.scorer.batches(to_score.requests)
                pay_for(self._pay, f"score {name} part {part.number}", self.scorer.calls, batches, advance)
                self._keep_rewards(part, to_score)
        return tokens

    def _keep_rewards(self, part: LivePart, scored: ToScore) -> None:
        for reading, reward in zip(scored.read, self.scorer.rewards(scored.requests), strict=True):
            place = part.places[reading.pair_row]
            if problem := why_unusable(reading, reward):
                self.evidence.bad.setdefault(place, problem)
            elif reading.sample is not None:
                self.evidence.completions[reading.side][place, reading.sample] = reward

    def _samples(self, part: LivePart, more: Ints) -> list[PrefixSample]:
        """The round's completions of one part's pairs; `more` says how many of each pair, (pairs,)."""
        have = self.evidence.n
        prefixes = part.prefixes(self.evidence, lambda place: range(have[place], have[place] + more[place]))
        return self.sampler.samples(part.pairs, prefixes) if prefixes else []
