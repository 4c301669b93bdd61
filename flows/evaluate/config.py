"""What `python -m flows.evaluate` reads: the one source of its flags, its YAML files and the Prefect form."""

from datetime import date
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.answers.config import ANSWERS_INDIFFERENT, AnswersConfig
from flows.evaluate.annotation_config import Annotations
from flows.evaluate.tasks_config import TasksConfig
from flows.recipe.curation import check_labels
from flows.recipe.models import Keys, Positive, RewardConfig, TemplateKwargs
from transforms.chat.template import DEFAULT_DATE
from transforms.precision import Dtype
from transforms.records.evaluation import Measure
from transforms.sources.kinds import EvaluationSource
from transforms.sources.kinds.rewardbench2 import RewardBench2Options
from transforms.sources.options import SourceOptions

Ratio = Annotated[float, Field(gt=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RewardUnderTest(RewardConfig):
    """A reward model, and how much of the responses it is to read beside all of it.

    transformers' engine has the rewards of all beginnings of a response from one reading of it, where the model allows.
    """

    ratios: list[Ratio] = Field(
        [0.25, 0.33, 0.4, 0.5, 0.75],
        description="Kept ratios of the responses that are judged: those of Shallow Preference Signals' table 1 and "
        "0.75. That table cuts the training pairs and judges whole responses, which is `dataset.kept` of a training.",
    )
    tokens: list[Positive] = Field([], description="Kept tokens.")


class ReferenceConfig(_Section):
    """The model that the policy started from."""

    model: str = Field(description="Hub id, local folder, or `smollm2`.")
    revision: str | None = Field(None, description="Branch, tag or commit of a Hub id.")


class PolicyUnderTest(_Section):
    """A policy, read as the reward model that its training made of it. Kept lengths are free: one reading gives all."""

    model: str = Field(description="Hub id, local folder, or `smollm2`.")
    revision: str | None = Field(None, description="Branch, tag or commit of a Hub id.")
    reference: ReferenceConfig | None = Field(None, description="Without one, log-probs a token are the rewards.")
    measure: Measure | None = Field(
        None, description="The implicit reward; log_ratio with a reference, mean_log_prob without."
    )
    beta: Annotated[float, Field(gt=0)] = Field(1.0, description="Scale of the implicit rewards.")
    dtype: Dtype = Field("bfloat16", description="Of both models' weights.")
    ratios: list[Ratio] = Field([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], description="Kept ratios beside 1.")
    tokens: list[Positive] = Field([8, 16, 32, 64, 128, 256, 512], description="Kept tokens.")
    position_pairs: Annotated[int, Field(ge=0)] = Field(
        64, description="Random pairs for KL, entropy and log-prob by position; holds both models at once. 0: none."
    )
    max_tokens_per_batch: Positive = Field(8192, description="Padded tokens a forward pass.")
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the model.")
    chat_template: str | None = Field(None, description="File of a chat template to use in place of the model's own.")
    chat_template_kwargs: TemplateKwargs = Field({}, description="What its chat template is called with.")

    @property
    def implicit(self) -> Measure:
        """The implicit reward that is meant."""
        return self.measure or ("log_ratio" if self.reference else "mean_log_prob")

    @model_validator(mode="after")
    def _ratios_have_a_reference(self) -> Self:
        if self.implicit != "mean_log_prob" and self.reference is None:
            message = f"measure: {self.measure} needs policy.reference.model, the model that the policy started from"
            raise ValueError(message)
        return self


class EvaluationOutput(_Section):
    """Where evaluation.json, evaluation.html and quarantine.jsonl go."""

    dir: str = Field(description="Made if it is not there. Holds one evaluation.")
    overwrite: bool = Field(False, description="Replace another evaluation that lies in `dir`.")


class EvaluationConfig(_Section):
    """One evaluation: models held against labelled pairs or a benchmark, judged by their answers, given tasks."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)] = Field(
        description="Title of the evaluation; letters, digits, dots, dashes."
    )
    sources: list[EvaluationSource] = Field(
        [],
        description="Labelled pairs for `reward` and `policy`, and `rewardbench2` for a reward model; none where "
        "`answers`, `tasks` or `annotations` alone are asked for.",
    )
    reward: RewardUnderTest | None = None
    policy: PolicyUnderTest | None = Field(
        None,
        description="With `sources` as the reward model that its training made of it; with `tasks` it answers them.",
    )
    answers: AnswersConfig | None = Field(None, description="Models by what they write: win rates over one of them.")
    tasks: TasksConfig | None = None
    annotations: list[Annotations] = Field([], description="Answers that a chat benchmark's own tool judged.")
    output: EvaluationOutput
    ledger: str | None = Field(None, description="Folder or fsspec URL; the user's cache by default.")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of the pairs that are read by position.")
    chat_template_date: date = Field(DEFAULT_DATE, description="The day that chat templates are told which ask for it.")

    @model_validator(mode="after")
    def _something_is_evaluated(self) -> Self:
        if not (self.reward or self.policy or self.answers or self.annotations):
            message = "nothing to evaluate: name reward.model, policy.model, answers.models, or annotations"
            raise ValueError(message)
        if self.sources and not (self.reward or self.policy):
            message = "sources are for reward or policy, and neither is named: leave sources out"
            raise ValueError(message)
        if self.tasks and self.policy is None:
            message = "tasks: no model answers them; name policy.model"
            raise ValueError(message)
        if self.reward and not self.sources:
            message = (
                "sources: reward.model has nothing to judge; name labelled pairs, or a source of kind rewardbench2"
            )
            raise ValueError(message)
        if self.reward is None and self.benchmarks:
            message = "sources: a reward model judges kind rewardbench2; name reward.model"
            raise ValueError(message)
        if self.policy and not (self.pairs or self.tasks):
            message = "policy.model has nothing to do: name labelled pairs in sources, which it orders, or tasks"
            raise ValueError(message)
        check_labels(self.sources)
        return self

    @property
    def pairs(self) -> list[SourceOptions]:
        """Sources of labelled pairs."""
        return [source for source in self.sources if not isinstance(source, RewardBench2Options)]

    @property
    def benchmarks(self) -> list[RewardBench2Options]:
        """Sources of several responses a prompt, for a reward model."""
        return [source for source in self.sources if isinstance(source, RewardBench2Options)]

    def settings(self) -> dict[str, Any]:
        """The keys that can change a number; those of a section that is not there are in no older fingerprint."""
        places = {"python", "include_path"}  # what lies there counts, which the plan finds out
        later: Keys = {} if self.annotations else {"annotations": True}
        later["answers"] = ANSWERS_INDIFFERENT if self.answers else True
        outside = {"output": True, "ledger": True, "tasks": places if self.tasks else True, **later}
        return self.model_dump(mode="json", exclude=outside)
