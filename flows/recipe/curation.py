"""The recipe: the one source of the CLI flags, the YAML files and the Prefect form.

Frozen models that forbid unknown keys, so that a typo is an error and not a default.
"""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from flows.recipe.cluster import ClusterConfig, check_cluster
from flows.recipe.generation import (
    MODELS_INDIFFERENT,
    AnsweringPolicy,
    GenerateConfig,
    Generation,
    GenerationOutput,
    RewardAnnotator,
)
from flows.recipe.models import (
    MODEL_INDIFFERENT,
    CopyTo,
    Fraction,
    Keys,
    PolicyConfig,
    Positive,
    ReportTo,
    RewardConfig,
    Section,
    check_temperature,
)
from flows.recipe.preparation import PreparationConfig
from transforms.chat.template import DEFAULT_DATE
from transforms.choices import Contradictions, ForeignTemplate
from transforms.engines.engine_settings import VLLM_SHARE
from transforms.errors import ConfigError
from transforms.preparation.truncation import Truncation
from transforms.sources.kinds import Source
from transforms.sources.kinds.generated import GeneratedOptions
from transforms.sources.labels import labels
from transforms.sources.options import SourceOptions

GENERATED_FOLDER: Final = "generated"  # in the output folder, and the label of its pairs


class SamplingConfig(Section):
    """How the truncated prefixes are completed. The papers use n = 3 (POET) and 5."""

    n: Positive = Field(3, description="Completions a cut side at most; all of them where `first` is not set.")
    first: Positive | None = Field(None, description="Sample so many, then in rounds until the posterior is sure.")
    step: Positive = Field(1, description="Completions a cut side in each later round.")
    # vLLM 0.32, like OpenAI's API, takes no more than 2, and makes 0.01 of what lies between it and 0.
    temperature: Annotated[float, Field(ge=0, le=2)] = Field(
        1.0, description="At least 0.01, or 0: greedy, for n: 1 only."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="1 samples from the whole distribution.")
    max_new_tokens: Positive = Field(512, description="Of a completion; less where the context ends.")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of the run; each completion has its own from it.")
    batch: Positive = Field(192, description="Requests an engine call, and the most that a crash can lose.")

    @property
    def first_round(self) -> int:
        """Completions a cut side in a pair's first round."""
        return self.first or self.n

    @model_validator(mode="after")
    def _first_is_no_more_than_all(self) -> Self:
        if self.first is not None and self.first > self.n:
            message = f"first: {self.first} is more than n: {self.n}, the most completions that a side gets"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _greedy_samples_once(self) -> Self:
        check_temperature(self.temperature, self.n)
        return self


class ConsistencyConfig(Section):
    """When a truncated pair still carries its preference (methods §3)."""

    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(0.5, description="τ: keep where P(consistency ≥ τ) says so.")
    delta: Annotated[float, Field(gt=0, lt=0.5)] = Field(0.05, description="δ of the sequential decision.")
    estimator: Literal["counts", "rewards"] = Field(
        "counts",
        description="What completions are asked: which side won (counts), or by how much (rewards; counts where a "
        "held-out check says that sizes foretell wins worse).",
    )
    stop_below: Annotated[float, Field(gt=0, lt=0.5)] | None = Field(
        None,
        description="Stop sampling a pair where a completion more, of the run's mean length, is expected to prevent "
        "fewer wrong verdicts than this.",
    )
    reference: Literal["label", "reward"] = Field(
        "label",
        description="Whose order must survive the cut: the label's, or the reward model's of the full responses.",
    )
    keep_loaded: bool | None = Field(
        None, description="Keep policy and reward model in memory between rounds; by default on a CPU only."
    )
    prior: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = Field(
        (0.5, 0.5), description="Beta prior of counted wins; Jeffreys by default."
    )


class ProxyConfig(Section):
    """Let the reward margin of the full responses decide where it is sure (POET, appendix A)."""

    audit: Fraction = Field(0.1, description="Share of the cut pairs to sample anyway, drawn at random.")
    audit_least: Positive = Field(64, description="At least so many audit pairs.")
    error: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.05, description="Wrong verdicts that you accept among the pairs that are not sampled."
    )
    values: bool = Field(
        False,
        description="Let what the reward model says of both prefixes as they are speak beside the margin. For reward "
        "models whose values in mid-text mean something (trained by `flows.train` with its `reward.regularizer`).",
    )


class BudgetConfig(Section):
    """Where to stop. Answers that the ledger held already count too: a rerun ends at the same pair."""

    completions: Positive | None = Field(None, description="Of the whole run.")
    tokens: Positive | None = Field(None, description="Sampled tokens; a completion counts with all it may have.")
    purpose: Literal["both", "verdicts", "rates"] = Field(
        "both",
        description="Where a budget that is too small goes. verdicts: to the pair whose verdict the next completion "
        "is likeliest to right; rates then rest on the audit alone, so it needs a proxy. rates: to the first "
        "completions of as many pairs as it pays, likelier where the proxy is unsure. both: to pairs in random order, "
        "then as verdicts.",
    )
    undecided: Literal["drop", "keep"] = Field("drop", description="What becomes of pairs that are still open.")

    @model_validator(mode="after")
    def _a_purpose_needs_a_sum(self) -> Self:
        if self.purpose != "both" and self.completions is None and self.tokens is None:
            message = f"purpose: {self.purpose} says where a budget goes, and there is none: set completions or tokens"
            raise ValueError(message)
        return self


class FiltersConfig(Section):
    """Rules on measures that are columns of the output. A null rule is off. A pair without the measure passes it."""

    min_score_margin: float | None = Field(
        None, description="chosen_score − rejected_score, at least. A run in which no pair has scores is an error."
    )
    min_reward_margin: float | None = Field(None, description="reward_chosen − reward_rejected, at least.")
    max_prompt_tokens: Positive | None = Field(None, description="Tokens of the prompt, at most.")
    min_kept_tokens: Positive | None = Field(None, description="Of the side that keeps fewer.")
    min_kept_share: Fraction | None = Field(None, description="Kept over all response tokens of the pair.")
    contradictions: Contradictions = Field(
        "keep",
        description="Rows that prefer A to B and B to A after one prompt: all stay, all go, or the order stays that "
        "more rows have (of a draw none). They are counted in any case.",
    )
    foreign_template: ForeignTemplate = Field(
        "keep",
        description="Pairs whose texts hold marks of a chat template (`</s>`, `<|eot_id|>`, `[INST]` …), whatever the "
        "tokenizer. They are counted and shown in any case.",
    )


CURATION_INDIFFERENT: Final[Keys] = {
    "output": dict.fromkeys(("dir", "copy_to", "overwrite"), True),
    "consistency": {"keep_loaded": True},
    "policy": MODEL_INDIFFERENT,
    "reward": MODEL_INDIFFERENT,
    "generate": MODELS_INDIFFERENT,
    **dict.fromkeys(("cluster", "ledger", "report_to", "preparation"), True),
}


class OutputConfig(Section):
    """Where the run goes. `dir` is the output contract's folder."""

    dir: str = Field(description="Made if it is not there. Holds one run.")
    shard_rows: Positive = Field(4096, description="Pairs a shard.")
    test_size: Annotated[float, Field(ge=0, lt=1)] = Field(0.02, description="Share of prompts in `test`.")
    copy_to: CopyTo = None
    overwrite: bool = Field(False, description="Replace another run that lies in `dir` or at `copy_to`.")


class Recipe(Section):
    """One curation run."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)] = Field(
        description="Title of report and card; letters, digits, dots, dashes."
    )
    sources: list[Source] = Field([], description="What to curate, mixed; at least one, or `generate`.")
    generate: GenerateConfig | None = Field(
        None,
        description="Make pairs first, from prompts, as `python -m flows.generate` does: they are curated with those "
        "of the sources, under the label `generated`, and lie with all responses in generated/.",
    )
    tokenizer: str | None = Field(None, description="Hub id or folder; the policy's by default.")
    chat_template_date: date = Field(
        DEFAULT_DATE,
        description="The day that chat templates are told which ask for it, so that it is the same tomorrow.",
    )
    truncate: Truncation = Truncation()
    policy: PolicyConfig
    sampling: SamplingConfig = SamplingConfig()
    reward: RewardConfig | None = None
    consistency: ConsistencyConfig = ConsistencyConfig()
    proxy: ProxyConfig | None = Field(None, description="Skip sampling where the reward margin is sure enough.")
    budget: BudgetConfig = BudgetConfig()
    filters: FiltersConfig = FiltersConfig()
    preparation: PreparationConfig = PreparationConfig()
    output: OutputConfig
    cluster: ClusterConfig | None = Field(None, description="Sample and score on replicas of a Ray cluster.")
    ledger: str | None = Field(None, description="Folder or fsspec URL; the user's cache by default.")
    report_to: ReportTo = ()

    @model_validator(mode="after")
    def _sampling_needs_a_reward_model(self) -> Self:
        if self.policy.engine != "none" and self.reward is None:
            message = "the policy samples completions but no reward model scores them: add `reward: {model: …}`"
            raise ValueError(message + " or set policy.engine: none")
        if self.policy.engine == "server" and not self.policy.url:
            message = "policy.engine: server needs policy.url, e.g. http://127.0.0.1:8000/v1"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _sizes_and_stops_need_rounds(self) -> Self:
        if self.policy.engine == "none":
            return self
        if self.consistency.stop_below is not None and self.sampling.first is None:
            message = "consistency.stop_below ends a pair's sampling between rounds, and without sampling.first there "
            message += "is one round: set sampling.first"
            raise ValueError(message)
        if self.consistency.estimator == "rewards" and self.sampling.n == 1:
            message = "consistency.estimator: rewards learns from two completions of a pair how rewards vary: set "
            message += "sampling.n to 2 or more, or estimator: counts"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _verdicts_alone_leave_the_rates_to_an_audit(self) -> Self:
        if self.budget.purpose == "verdicts" and self.proxy is None:
            message = "budget.purpose: verdicts samples no random pairs, so the rates rest on the proxy's audit: set "
            message += "proxy, or purpose: both"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _replicas_are_in_one_place(self) -> Self:
        check_cluster(self.cluster, [("policy", self.policy), ("reward", self.reward)])
        return self

    @model_validator(mode="after")
    def _what_stays_loaded_fits_together(self) -> Self:
        policy, reward = self.policy, self.reward
        if not self.consistency.keep_loaded or reward is None or reward.engine != "vllm":
            return self
        shares = policy.gpu_memory_utilization, reward.gpu_memory_utilization
        if policy.engine not in ("auto", "vllm") or policy.kv_cache_gib is not None or shares == (None, None):
            return self
        total = sum(VLLM_SHARE if share is None else share for share in shares)
        if total > 1:
            message = (
                f"consistency.keep_loaded: policy and reward model would have {total:.2f} of a GPU's memory together: "
                "set gpu_memory_utilization of both to 1 in all or less, or leave keep_loaded out"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _sources_are_told_apart(self) -> Self:
        if not self.sources and self.generate is None:
            message = "sources: none, and nothing to generate; expected at least one source, or a section generate"
            raise ValueError(message)
        check_labels(self.every_source())
        _ = self.generation()  # who is missing there is said here
        return self

    @property
    def reads_values(self) -> bool:
        """Whether the reward model reads the kept prefixes as they are."""
        return self.proxy is not None and self.proxy.values

    def generation(self) -> Generation | None:
        """The section `generate` as a run of its own: the curation's policy and reward model where it names none.

        Raises:
            ValueError: nobody to score, as a validator has to.
        """
        if self.generate is None:
            return None
        policies, annotators = self.generate.policies, self.generate.annotators
        if not policies:
            engine = "auto" if self.policy.engine == "none" else self.policy.engine
            policies = [AnsweringPolicy(**self.policy.model_dump() | {"engine": engine}, tokenizer=self.tokenizer)]
        if not annotators and self.reward is not None:
            annotators = [RewardAnnotator(**self.reward.model_dump(), kind="reward")]
        return Generation(
            **self.generate.model_dump(exclude={"policies", "annotators"}),
            policies=policies,
            annotators=annotators,
            name=self.name,
            chat_template_date=self.chat_template_date,
            output=GenerationOutput(dir=f"{self.output.dir}/{GENERATED_FOLDER}", shard_rows=self.output.shard_rows),
            cluster=self.cluster,
            ledger=self.ledger,
        )

    def every_source(
        self, generated: str = f"./{GENERATED_FOLDER}", ids_of: tuple[str, ...] | None = None
    ) -> list[Source]:
        """The sources, and behind them what is generated.

        Args:
            generated: where it lies.
            ids_of: policies that answer in the curation's tokens; None for all.
        """
        if self.generate is None:
            return self.sources
        options = GeneratedOptions(kind="generated", path=generated, label=GENERATED_FOLDER, ids_of=ids_of)
        return [*self.sources, options]

    def settings(self) -> dict[str, Any]:
        """The recipe as plain JSON, for manifest and fingerprint."""
        return self.model_dump(mode="json")


def check_labels(sources: Sequence[SourceOptions]) -> None:
    """Refuse sources that are called the same, as a validator has to.

    Raises:
        ValueError: which ones, and what to do.
    """
    try:
        labels(sources)
    except ConfigError as error:
        raise ValueError(str(error)) from error
