"""One run: its recipe, work folder, models and the record of what happened to every row."""

from collections import Counter
from pathlib import Path

from flows.curate.plan import Plan
from flows.models.scoring import Scorer
from flows.recipe.curation import GENERATED_FOLDER
from flows.recipe.models import RewardConfig
from flows.replicas.crews import reward_crew
from flows.runtime.progress import Progress
from flows.versions.run_record import RunRecord
from transforms.chat.tokens import ChatTokens
from transforms.engines.models import ResolvedModel
from transforms.errors import ConfigError
from transforms.paths import ledger_root
from transforms.records.generation import GenerationManifest
from transforms.records.manifest import RoundRecord, SpendRecord, StageRecord
from transforms.sources.kinds import Source
from transforms.tables.parts import Buckets, Parts
from transforms.tables.schema import RESPONSES


class Run(RunRecord):
    """The state that stages share. A plain class, so that Prefect hands it on without looking inside.

    Args:
        plan: the recipe with its sources and models found. The load stage fills in the sources' counts.
        work: an empty folder on the disk of the output folder.
    """

    def __init__(self, plan: Plan, work: Path) -> None:
        super().__init__(work)
        self.recipe = plan.recipe
        self.models = plan.models
        self.fingerprint = plan.fingerprint
        self.sources = plan.sources
        self.generation = plan.generation
        self.generated: GenerationManifest | None = None  # once it is made
        self.accepted = False  # whether as many of its pairs are kept as the recipe accepts
        self.chat: ChatTokens = plan.models.chat
        self.progress = Progress()
        self.prepared = Parts(work / "prepared")
        self.judged = Parts(work / "judged")
        self.responses = Buckets(
            work / "responses-buckets", RESPONSES, sort=("prompt_id", "source", "source_id", "response_index")
        )
        self.stages: list[StageRecord] = []
        self.spend: dict[str, SpendRecord] = {}
        self.rounds: list[RoundRecord] = []
        self.changed_by_template = 0  # responses whose white space the chat template changed
        self.structured = False  # whether a row has more than roles and contents
        self.contradictions = self.contradicting = 0  # as in manifest.Counts
        self.unmeasured: Counter[str] = Counter()
        self.scored = 0  # pairs that a filter on scores could judge

    def read_sources(self) -> list[Source]:
        """What is read, one for each of `sources`.

        Raises:
            ConfigError: the recipe generates pairs, and they are not there: this command reads what is.
        """
        if self.generation is not None and self.generated is None:
            message = (
                "the recipe generates its pairs, and this command reads pairs that are there: run python -m "
                "flows.curate or flows.generate first, and name {kind: generated, path: …} under sources"
            )
            raise ConfigError(message)
        mine = self.chat.vocabulary_sha256
        policies = self.generation.policies if self.generation else []
        alike = tuple(one.label for one in policies if one.chat.vocabulary_sha256 == mine)
        return self.recipe.every_source(str((self.work / GENERATED_FOLDER).resolve()), ids_of=alike)

    @property
    def samples(self) -> bool:
        """Whether the recipe judges pairs by sampling; else it only truncates."""
        return self.models.policy is not None and self.models.reward is not None

    def require_policy(self) -> ResolvedModel:
        if self.models.policy is None:
            message = "this run has no policy: policy.engine is none"
            raise ConfigError(message)
        return self.models.policy

    def require_reward(self) -> tuple[ResolvedModel, RewardConfig]:
        if self.models.reward is None or self.recipe.reward is None:
            message = "this run has no reward model"
            raise ConfigError(message)
        return self.models.reward, self.recipe.reward

    def scorer(self) -> Scorer:
        """The run's reward model, on the run's account."""
        spend = self.spend.setdefault("scores", SpendRecord.nothing())
        model, config = self.require_reward()
        crew = reward_crew(model, config, self.recipe.cluster)
        today = self.recipe.chat_template_date
        return Scorer(model, config, ledger_root=self.ledger_root, spend=spend, today=today, crew=crew)

    @property
    def ledger_root(self) -> str:
        return ledger_root(self.recipe.ledger)

    @property
    def dropped(self) -> dict[str, int]:
        """Pairs dropped so far, by reason."""
        total: Counter[str] = Counter()
        for stage in self.stages:
            total.update(stage.dropped)
        return dict(total.most_common())
