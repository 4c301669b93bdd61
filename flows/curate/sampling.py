"""Completions of prefixes: the missing ones of each fixed batch through the policy into the ledger."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from flows.curate.run import Run
from flows.models import recipe_models as models
from flows.models.engine_calls import Batch, rebatched
from flows.models.sampling import sampling_calls
from flows.replicas.crews import policy_crew
from transforms.asking.requests import Prefix, PrefixSample, sample_prefixes
from transforms.engines.protocol import CompletionRequest, Sampling
from transforms.records.manifest import SpendRecord


class Sampler:
    """The policy of one run. It is loaded at the first batch that needs it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._policy = run.require_policy()
        config = run.recipe.sampling
        self.sampling = Sampling(config.temperature, config.top_p, run.chat.stop_ids)
        spend = run.spend.setdefault("completions", SpendRecord.nothing())
        self.calls = sampling_calls(
            self._policy.identity,
            self.sampling,
            ledger_root=run.ledger_root,
            spend=spend,
            open_engine=lambda: models.open_policy(self._policy, run.recipe, run.models.context),
            crew=policy_crew(
                self._policy,
                run.recipe.policy,
                self.sampling,
                lambda: models.longest_of(run.recipe, run.models.context),
                run.recipe.cluster,
            ),
        )

    def samples(self, part: pa.Table, prefixes: Iterable[Prefix]) -> list[PrefixSample]:
        """The requests behind the named completions of a part's prefixes."""
        config = self._run.recipe.sampling
        return list(
            sample_prefixes(
                part,
                prefixes,
                self._policy.identity,
                self.sampling,
                run_seed=config.seed,
                max_new_tokens=config.max_new_tokens,
                context=self._run.models.context,
            )
        )

    def batches(self, samples: Iterable[PrefixSample]) -> Iterator[Batch[CompletionRequest]]:
        """Fixed batches in the order of the samples, also those that have nothing missing."""
        requests = (sample.request for sample in samples)
        return rebatched(requests, self._run.recipe.sampling.batch, self.calls.ledger)

    def answered(self, samples: Sequence[PrefixSample]) -> list[PrefixSample]:
        """Without those whose batch no replica could answer."""
        return [sample for sample in samples if sample.request.request_id not in self.calls.refused]

    def completions(self, samples: Sequence[PrefixSample]) -> dict[str, list[int]]:
        """New token ids by request id, from the ledger."""
        rows = self.calls.ledger.fetch([sample.request.request_id for sample in samples])
        found: dict[str, list[int]] = dict(zip(rows["request_id"], rows["completion_ids"].to_list(), strict=True))
        self.calls.count_reused({key: len(ids) for key, ids in found.items()})
        return found
