"""What `python -m flows.generate` is told: prompts, policies that answer them, annotators, and what makes a pair.

A curation's recipe may hold it as its section `generate`; policy and annotator are then the curation's own unless it
names others.
"""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from flows.recipe.cluster import ClusterConfig, check_cluster
from flows.recipe.interpolation import InterpolateConfig
from flows.recipe.judge import JudgeConfig
from flows.recipe.models import (
    MODEL_INDIFFERENT,
    CopyTo,
    Engine,
    Keys,
    Label,
    PolicyConfig,
    Positive,
    ReportTo,
    RewardConfig,
    Section,
    check_temperature,
)
from flows.recipe.pair_ranker import PairRankerConfig
from flows.recipe.rule import RuleConfig
from transforms.chat.template import DEFAULT_DATE
from transforms.choices import Strategy, Thinking, Ties, Unfinished
from transforms.errors import ConfigError
from transforms.sources.kinds import PromptSource
from transforms.sources.labels import labels
from transforms.sources.options import SourceOptions

AGGREGATES: Final = ("mean_z", "mean_rank", "minimum")
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)]


class AnsweringPolicy(PolicyConfig):
    """A policy that answers the prompts. POET's and AlphaPO's instruct settings take five answers at 0.8."""

    model: str = Field("", description="Hub id, local folder, or `smollm2`; this or `interpolate`.")
    engine: Engine = Field(
        "auto",
        description="`auto` is vLLM where it is installed, else transformers; `server` is any `vllm serve` and needs "
        "`url`; `none` is refused here.",
    )
    interpolate: InterpolateConfig | None = Field(None, description="A policy made of two models, in place of `model`.")
    label: Label | None = Field(None, description="What it is called in the tables; by default `policy`, `policy_2` …")
    tokenizer: str | None = Field(
        None, description="Hub id or folder of its tokenizer, where a server calls its model something else."
    )
    n: Positive = Field(5, description="Responses a prompt.")
    temperature: Annotated[float, Field(ge=0, le=2)] = Field(
        0.8, description="At least 0.01, or 0: greedy, for n: 1 only."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="1 samples from the whole distribution.")
    top_k: Annotated[int, Field(ge=0)] = Field(0, description="Sample among so many likeliest tokens; 0: all.")
    min_p: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Leave out tokens less likely than this share of the likeliest one's probability."
    )
    max_new_tokens: Positive = Field(
        2048, description="Of a response; less where the context ends. One that fills it is unfinished."
    )
    system_prompt: str | None = Field(
        None,
        description="Put before prompts without a system turn, for sampling alone: the pair's prompt stays as it was.",
    )
    thinking: Thinking = Field(
        "keep",
        description="What becomes of <think>: `keep` leaves it in the response and shows it to annotators, `hide` "
        "leaves it and does not show it, `cut` takes it out of the response.",
    )

    @model_validator(mode="after")
    def _can_answer(self) -> Self:
        check_temperature(self.temperature, self.n)
        if bool(self.model) == (self.interpolate is not None):
            found = "both" if self.model else "neither"
            message = f"a policy has a model or is an interpolation of two; found {found} of model and interpolate"
            raise ValueError(message)
        if self.interpolate is not None and self.engine == "server":
            message = "an interpolated policy is made here, and engine: server has its own; leave the engine out"
            raise ValueError(message)
        if self.engine == "none":
            message = "engine: none samples nothing, and a policy here has to answer"
            raise ValueError(message)
        if self.engine == "server" and not self.url:
            message = "engine: server needs url, e.g. http://127.0.0.1:8000/v1"
            raise ValueError(message)
        return self


class RewardAnnotator(RewardConfig):
    """A scalar reward model. One with several objectives (ArmoRM) has a column for each beside its score."""

    kind: Literal["reward"] = "reward"
    name: Label | None = Field(None, description="What it is called in the tables; by default its kind.")


AnnotatorConfig = Annotated[RewardAnnotator | PairRankerConfig | JudgeConfig | RuleConfig, Field(discriminator="kind")]


def compares(annotator: AnnotatorConfig) -> bool:
    """Whether an annotator's scores are of a prompt's responses among each other, and say nothing beyond them."""
    if isinstance(annotator, JudgeConfig):
        return annotator.mode == "pairwise"
    return isinstance(annotator, PairRankerConfig)


class PairingConfig(Section):
    """Which two responses of a prompt make a pair."""

    strategy: Strategy = Field(
        "best_worst",
        description="The best against the worst (SimPO, POET, AlphaPO), against one drawn at random (UltraFeedback's "
        "binarized set), the second against the worst, or all pairs with a margin.",
    )
    min_margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.0, description="Least difference of scores, in the aggregate's units; a tie makes no pair in any case."
    )
    max_per_prompt: Positive | None = Field(
        None, description="Of `all`: pairs a prompt at most, those of the largest margin."
    )
    ties: Ties = Field(
        "first",
        description="Where the best pair is not the only one: that of the lowest response index, or none at all.",
    )
    length_controlled: bool = Field(
        False, description="Take from each score what the length of the response explains, within prompts of this run."
    )
    unfinished: Unfinished = Field(
        "exclude",
        description="Responses that ran out of room: `allow` treats them as any other, `exclude` leaves them out, "
        "`rejected_only` never lets one be chosen, `worst` counts them as worse than any finished one. Chosen, they "
        "teach a policy never to end; rejected, to be brief.",
    )

    @model_validator(mode="after")
    def _the_cap_is_of_all(self) -> Self:
        if self.max_per_prompt is not None and self.strategy != "all":
            message = f"max_per_prompt is of strategy: all; {self.strategy} makes one pair a prompt, so leave it out"
            raise ValueError(message)
        return self


class GenerationBudget(Section):
    """Where to stop drawing prompts. Answers that the ledger held already count too."""

    completions: Positive | None = Field(None, description="Responses of the whole run.")
    tokens: Positive | None = Field(None, description="Sampled tokens; a response counts with all it may have.")


def check_prompt_sources(sources: Sequence[SourceOptions], instead: str = "") -> None:
    """Refuse what cannot be told apart, and a key that no reading of prompts heeds.

    Args:
        sources: of prompts.
        instead: what to use in place of `max_pairs_per_prompt`, if there is anything.

    Raises:
        ValueError: two are called the same, or one has `max_pairs_per_prompt`.
    """
    try:
        labels(sources)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    if any(source.max_pairs_per_prompt is not None for source in sources):
        message = f"max_pairs_per_prompt means nothing of prompts{instead}"
        raise ValueError(message)


class GenerateConfig(Section):
    """From prompts to scored responses to pairs."""

    prompts: Annotated[list[PromptSource], Field(min_length=1)] = Field(
        description="Where prompts come from: kind `prompts`, or any source, whose responses are not looked at."
    )
    max_prompts: Positive | None = Field(None, description="Take so many at most, chosen by content.")
    policies: list[AnsweringPolicy] = Field([], description="Who answers. Within a curation its own policy by default.")
    annotators: list[AnnotatorConfig] = Field(
        [], description="Who scores. Within a curation its own reward model by default."
    )
    aggregate: str = Field(
        "mean_z",
        description="Of several annotators: `mean_z` (mean of z-scores over the run), `mean_rank` (of ranks within "
        "the prompt, 0 the worst to 1 the best), `minimum` (of z-scores), or the name of one. A single annotator's "
        "score is taken as it is.",
    )
    pairing: PairingConfig = PairingConfig()
    accept: Positive | None = Field(
        None,
        description="Exactly so many pairs: prompts are drawn until then, or until the budget or they end. Within a "
        "curation it counts the generated pairs that are kept in the end.",
    )
    budget: GenerationBudget = GenerationBudget()
    repeats: Annotated[int, Field(ge=0)] = Field(
        16, description="Prompts whose responses every annotator is asked about twice: does it say the same?"
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of the run; each response has its own from it.")
    batch: Positive = Field(
        2048,
        description="Responses an engine call, and the most that a crash can lose. At the end of each the engine runs "
        "empty: small ones are slow.",
    )

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> Self:
        check_prompt_sources(self.prompts, "; pairing.max_per_prompt caps the pairs made")
        for what, found in (("policies", self.policy_labels()), ("annotators", self.annotator_labels())):
            twice = sorted({name for name in found if found.count(name) > 1})
            if twice:
                message = f"two {what} are called {twice[0]!r}; give each a name of its own"
                raise ValueError(message)
        if taken := sorted({*AGGREGATES} & {*self.annotator_labels()}):
            message = f"an annotator is called {taken[0]}, as an aggregate is; give it another name"
            raise ValueError(message)
        known = [*AGGREGATES, *self.annotator_labels()]
        if self.annotators and self.aggregate not in known:
            message = f"aggregate is {self.aggregate!r}, expected one of {', '.join(known)}"
            raise ValueError(message)
        # What length explains, taken off, may carry a difference of ranks beyond 1.
        ranked = len(self.annotators) > 1 and self.aggregate == "mean_rank" and not self.pairing.length_controlled
        if ranked and self.pairing.min_margin > 1:
            message = (
                f"pairing.min_margin is {self.pairing.min_margin:g}, and ranks differ by 1 at most: no pair is left"
            )
            raise ValueError(message)
        return self

    def policy_labels(self) -> list[str]:
        """What each policy is called, in order."""
        return _numbered([(one.label, "policy") for one in self.policies])

    def annotator_labels(self) -> list[str]:
        """What each annotator is called, in order."""
        return _numbered([(one.name, one.kind) for one in self.annotators])


MODELS_INDIFFERENT: Final[Keys] = {
    "policies": {"__all__": MODEL_INDIFFERENT},
    "annotators": {"__all__": MODEL_INDIFFERENT},
}
GENERATION_INDIFFERENT: Final[Keys] = {
    **MODELS_INDIFFERENT,
    "output": dict.fromkeys(("dir", "copy_to", "overwrite"), True),
    **dict.fromkeys(("cluster", "ledger", "report_to", "name"), True),
}


class GenerationOutput(Section):
    """Where the run goes."""

    dir: str = Field(description="Made if it is not there. Holds one run.")
    shard_rows: Positive = Field(4096, description="Rows a shard.")
    copy_to: CopyTo = None
    overwrite: bool = Field(False, description="Replace another run that lies in `dir` or at `copy_to`.")


class Generation(GenerateConfig):
    """One generation: prompts in, scored responses and pairs out."""

    name: Name = Field(description="Title of the report; letters, digits, dots, dashes.")
    chat_template_date: date = Field(
        DEFAULT_DATE,
        description="The day that chat templates are told which ask for it, so that it is the same tomorrow.",
    )
    output: GenerationOutput
    cluster: ClusterConfig | None = Field(None, description="Answer and score on replicas of a Ray cluster.")
    ledger: str | None = Field(None, description="Folder or fsspec URL; the user's cache by default.")
    report_to: ReportTo = ()

    @model_validator(mode="after")
    def _somebody_answers_and_scores(self) -> Self:
        for what, found in (("policies", self.policies), ("annotators", self.annotators)):
            if not found:
                message = f"{what}: none; expected at least one"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _replicas_are_in_one_place(self) -> Self:
        scored = [one for one in self.annotators if isinstance(one, RewardAnnotator)]
        check_cluster(self.cluster, [*(("policy", one) for one in self.policies), *(("reward", one) for one in scored)])
        return self

    def settings(self) -> dict[str, Any]:
        """The recipe as plain JSON, for manifest and fingerprint."""
        return self.model_dump(mode="json")


def _numbered(names: list[tuple[str | None, str]]) -> list[str]:
    """Names of their own, else the usual one, with a number from the second on."""
    found = []
    for place, (name, usual) in enumerate(names):
        before = [other for other, kind in names[:place] if other is None and kind == usual]
        found.append(name or (f"{usual}_{len(before) + 1}" if before else usual))
    return found
