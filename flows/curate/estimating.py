"""Estimate every pair's consistency: full rewards, an audit, the proxy, and rounds of completions for the rest."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from contextvars import copy_context

import numpy as np

from flows.curate.live_pairs import LivePart, collect_evidence, live_parts, readings_before_sampling
from flows.curate.run import Run
from flows.curate.sampling import Sampler
from flows.models.engine_calls import Pay, pay_for
from flows.models.scoring import ToScore
from flows.recipe.cluster import ClusterConfig
from flows.recipe.curation import Recipe
from flows.replicas.crews import shared_out
from flows.runtime.progress import Advance
from transforms.asking.readings import completion_readings, why_unusable
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
        purpose=budget.purpose,
        max_new_tokens=sampling.max_new_tokens,
        estimator=consistency.estimator,
        stop_below=consistency.stop_below,
        keep_undecided=budget.undecided == "keep",
    )


class _Estimation:
    def __init__(self, run: Run, pay: Pay) -> None:
        self._run, self._pay = run, pay
        self.sampler, self.scorer = Sampler(run), run.scorer()
        self.evidence = collect_evidence(run)
        keep = run.recipe.consistency.keep_loaded
        self._keep_loaded = run.recipe.cluster is None and not on_gpu() if keep is None else keep
        self._share_room: bool | None = None  # once it is known

    def decide(self) -> Evidence:
        with self._run.timed("score full responses"):
            self._score_full()
        order = random_ranks(self.evidence.pair_ids, self._run.recipe.sampling.seed)
        decider = Decider(self.evidence, rules_of(self._run.recipe), order, self._ask)
        self._run.rounds = decider.decide()
        if self.evidence.proxy:
            logger.info("proxy: %s", self.evidence.proxy.why)
        return self.evidence

    def _score_full(self) -> None:
        """Rewards of the full responses and, where the proxy asks for them, of the kept prefixes, read together."""
        evidence = self.evidence
        values = evidence.read_values() if self._run.recipe.reads_values else None
        unread: list[str] = []
        total = 2 * len(evidence) + (int(evidence.sides_cut.sum()) if values else 0)
        with self._run.progress.bar("score full responses", unit="responses", total=total) as advance:
            for part in live_parts(self._run):
                to_score = self.scorer.to_score(readings_before_sampling(self._run, part, evidence))
                batches = self.scorer.batches(to_score.requests)
                pay_for(self._pay, f"score part {part.number}", self.scorer.calls, batches, advance)
                for reading, reward in zip(to_score.read, self.scorer.rewards(to_score.requests), strict=True):
                    place, problem = part.places[reading.pair_row], why_unusable(reading, reward)
                    if values and reading.goes_on:
                        values[reading.side][place] = np.nan if problem else reward
                        if problem:
                            unread.append(problem)
                    elif problem:
                        evidence.bad.setdefault(place, problem)
                    else:
                        evidence.full[reading.side][place] = reward
        if unread:
            logger.warning("%d of %d kept prefixes have no value: %s", len(unread), evidence.sides_cut.sum(), unread[0])

    def _ask(self, stage: Stage, number: int, asked: Round) -> int:
        """Sample and score a round; the tokens that were sampled."""
        name, total = f"{stage} round {number}", asked.completions(self.evidence)
        more = np.zeros(len(self.evidence), np.int64)
        more[asked.rows] = asked.more
        if self._side_by_side(more):
            return self._sample_and_score(name, more, total)
        if not self._keep_loaded:
            self.scorer.calls.close()  # that of the full responses
        with self._run.timed("sample"):
            with self._run.progress.bar(f"sample {name}", unit="completions", total=total) as advance:
                self._sample(name, more, advance)
            if not self._keep_loaded:
                self.sampler.calls.close()
        with self._run.timed("score"):
            tokens = self._score_round(name, more, total)
            if not self._keep_loaded:
                self.scorer.calls.close()
        return tokens

    def _side_by_side(self, more: Ints) -> bool:
        """Whether something is to be sampled, by replicas, and reward models have room beside those."""
        recipe = self._run.recipe
        if recipe.cluster is None and recipe.policy.data_parallel == 1:
            return False
        wanted = ([one.request.request_id for one in self._samples(part, more)] for part in live_parts(self._run))
        if not any(self.sampler.calls.lacks(ids) for ids in wanted):
            return False
        if self._share_room is None:
            self._share_room = self._keep_loaded if recipe.cluster is None else self._share_cluster(recipe.cluster)
            self._keep_loaded = self._keep_loaded or self._share_room
        return self._share_room

    def _share_cluster(self, cluster: ClusterConfig) -> bool:
        """Whether the cluster holds replicas of both models at once; each then leaves the other its share."""
        _, config = self._run.require_reward()
        gpus = max(self._run.recipe.policy.tensor_parallel, config.tensor_parallel)
        shares = shared_out(cluster, gpus)
        if shares is None:
            return False
        self.sampler.calls.limit(shares.policy)
        self.scorer.calls.limit(shares.reward)
        return True

    def _sample_and_score(self, name: str, more: Ints, total: int) -> int:
        """A round whose parts are scored as soon as they are sampled, while the next ones are; the tokens."""
        progress = self._run.progress
        with (
            self._run.timed("sample and score"),
            progress.bar(f"sample and score {name}", unit="answers", total=2 * total) as advance,
            ThreadPoolExecutor(1, "sampler") as pool,
        ):
            sampling = pool.submit(copy_context().run, self._sample, name, more, advance)
            try:
                tokens = self._score_parts(name, more, lambda n, _tokens=0, **how: advance(n, **how), sampling)
            except BaseException:
                self.sampler.calls.abort()  # else the pool waits for all that is left to sample
                raise
            sampling.result()
        return tokens

    def _sample(self, name: str, more: Ints, advance: Advance) -> None:
        samples = (sample for part in live_parts(self._run) for sample in self._samples(part, more))
        pay_for(self._pay, f"sample {name}", self.sampler.calls, self.sampler.batches(samples), advance)

    def _score_round(self, name: str, more: Ints, total: int) -> int:
        with self._run.progress.bar(f"score {name}", unit="conversations", total=total) as advance:
            return self._score_parts(name, more, advance)

    def _score_parts(self, name: str, more: Ints, advance: Advance, sampling: "Future[None] | None" = None) -> int:
        """Score what was sampled, part by part; those whose `sampling` is not through are waited for."""
        tokens = 0
        for part in live_parts(self._run):
            samples = self._samples(part, more)
            if not samples:
                continue
            if sampling is not None:
                ids = [sample.request.request_id for sample in samples]
                if not self.sampler.calls.wait_for(ids, until=sampling.done):
                    sampling.result()  # raises why
            completions = self.sampler.completions(samples)
            tokens += sum(map(len, completions.values()))
            samples = self._answered(part, samples)
            for sample in samples:
                place, length = part.places[sample.pair_row], len(completions[sample.request.request_id])
                self.evidence.tokens[sample.side][place, sample.request.sample_index] = length
            to_score = self.scorer.to_score(completion_readings(part.pairs, samples, completions, self._run.chat))
            batches = self.scorer.batches(to_score.requests)
            pay_for(self._pay, f"score {name} part {part.number}", self.scorer.calls, batches, advance)
            self._keep_rewards(part, to_score)
        return tokens

    def _answered(self, part: LivePart, samples: list[PrefixSample]) -> list[PrefixSample]:
        """Without those whose batch no replica could answer: their pairs go to quarantine."""
        refused = self.sampler.calls.refused
        for sample in samples:
            if sample.request.request_id in refused:
                why = f"a completion of the {sample.side} side: {refused[sample.request.request_id]}"
                self.evidence.bad.setdefault(part.places[sample.pair_row], why)
        return self.sampler.answered(samples)

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
