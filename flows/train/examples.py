"""What a training learns from: pairs as a run wrote them, all responses to their prompts, or rows, by split."""

import logging
from collections import Counter
from typing import Final

import pyarrow as pa

from flows.models.engine_calls import Pay
from flows.models.recipe_models import model_record
from flows.runtime.progress import Progress
from flows.train.learner import Learner
from flows.train.pairs import chosen_once, read_responses, read_splits, turn_tokens_of, with_kept
from flows.train.plan import TrainingPlan
from flows.train.record import RewardsRecord
from flows.train.responses import Gathered, gather, reward_all, with_kept_responses
from flows.train.rows import FoundRows, read_examples_of_rows
from flows.versions.run_record import QUARANTINE
from trainers.reading.examples import Example
from trainers.reading.references import read_whole
from transforms.records.manifest import SpendRecord
from transforms.sources.load import Quarantined

REPEATED: Final = "repeated"  # pairs whose chosen response is learned from another pair
logger = logging.getLogger(__name__)


class TrainingExamples:
    """Examples with the tokens that are kept of their responses.

    Args:
        plan: the recipe with everything found.
        learner: reads pairs as it learns from them.

    Attributes:
        by_split: of splits that have some.
        whole: all of them with whole responses, where the objective reads a reference.
        rewards: where those of all responses are from; None for those of pairs.
        cut_by_context: responses of `train` that only the context limit cut.
        rows: pairs or rows that were read, where single completions are learned; None for others.
        left_out: of them, those that are not learned from, by reason.
        quarantined: of them, those that cannot be used.
    """

    def __init__(self, plan: TrainingPlan, learner: Learner) -> None:
        self._plan, self._dataset, self._learner = plan, plan.recipe.dataset, learner
        self._gathered: dict[str, Gathered] = {}
        self.by_split: dict[str, list[Example]] = {}
        self.whole: list[Example] = []
        self.rewards: RewardsRecord | None = None
        self.cut_by_context = 0
        self.rows: int | None = None
        self.left_out: Counter[str] = Counter()
        self.quarantined: list[Quarantined] = []

    @property
    def every(self) -> list[Example]:
        """Of all splits."""
        return [example for part in self.by_split.values() for example in part]

    def read(self) -> None:
        """Shards to examples; where all responses are asked for, they come with their rewards, by `reward`.

        Raises:
            SourceError: shards are missing, or are not those of the manifest.
            SchemaError: a table of another shape, or a pair that cannot be read; names it.
        """
        if isinstance(self._plan.data, FoundRows):
            self._read_rows(self._plan.data)
            return
        tables = {split: table for split, table in read_splits(self._plan.run).items() if len(table)}
        if self._plan.reward is None:
            for split, table in tables.items():
                self._read_pairs(split, table)
        else:
            responses = read_responses(self._plan.run)
            self._gathered = {split: gather(table, responses, self._plan.chat) for split, table in tables.items()}

    def reward(self, pay: Pay, progress: Progress) -> None:
        """Rewards of all responses, from the ledger or by the run's reward model; nothing to do for those of pairs.

        Args:
            pay: calls a batch of expensive work by a name, and again if its engine fails.
            progress: shows what is done.
        """
        reward, spend, left_out = self._plan.reward, SpendRecord.nothing(), Counter[str]()
        if reward is None:
            return
        found = reward_all(self._gathered, reward, ledger=self._plan.ledger, spend=spend, pay=pay, progress=progress)
        for split, rewarded in found.items():
            kept = with_kept_responses(
                rewarded.examples,
                self._dataset.kept,
                max_length=self._plan.context,
                where=self._where(split),
                around=turn_tokens_of(self._plan.run.manifest),
            )
            self._keep(split, kept.examples, rewarded.examples, kept.cut_by_context)
            left_out += rewarded.left_out
        self.rewards = RewardsRecord(model=model_record(reward.model.identity), spend=spend, left_out=dict(left_out))

    def first_problem(self) -> str:
        """Why no row is learned from, in the words of the first."""
        if self.quarantined:
            return f"the first cannot be used because {self.quarantined[0].error}"
        return ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.items()) or "there are none"

    def _read_rows(self, data: FoundRows) -> None:
        found = read_examples_of_rows(data, self._plan.chat, context=self._plan.context)
        self.by_split = found.by_split
        self.rows, self.left_out, self.quarantined = found.rows, found.left_out, found.quarantined
        self.cut_by_context = found.cut_by_context
        if found.quarantined:
            logger.warning(
                "%d of %d rows cannot be used (%s says why), for one: %s",
                len(found.quarantined),
                found.rows,
                QUARANTINE,
                found.quarantined[0].error,
            )

    def _read_pairs(self, split: str, table: pa.Table) -> None:
        where = self._where(split)
        kept = with_kept(
            table,
            self._dataset.kept,
            max_length=self._plan.context,
            where=where,
            around=turn_tokens_of(self._plan.run.manifest),
        )
        if self._learner.chosen_alone:
            once = chosen_once(kept)
            self.rows = (self.rows or 0) + len(table)
            self.left_out[REPEATED] += len(table) - len(once.table)
            kept = once
        self._keep(
            split,
            self._learner.examples(kept.table, where=where),
            read_whole(table, where=where) if self._plan.reference else [],
            kept.cut_by_context,
        )

    def _keep(self, split: str, examples: list[Example], whole: list[Example], cut_by_context: int) -> None:
        if examples:
            self.by_split[split] = examples
        self.whole += whole
        if split == "train":
            self.cut_by_context = cut_by_context

    def _where(self, split: str) -> str:
        return f"{self._dataset.path}, {split}"
