"""evaluation.json: what `python -m flows.evaluate` found out about a reward model and a policy on labelled pairs."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from transforms.records.annotations import AnnotationRecord
from transforms.records.answers import AnswersEvaluation
from transforms.records.audit import CurvePoint
from transforms.records.manifest import ModelRecord, SourceRecord, SpendRecord
from transforms.records.rewardbench2 import RewardBench2Evaluation
from transforms.records.tasks import TasksEvaluation
from transforms.statistics.intervals import MeanRecord

ALL: Final = "all"  # the source of a record that is of all sources together

# A policy's implicit reward: β(ℓ − ℓ_ref); the same a token (AlphaPO A.4); βℓ/|y|, which reads no reference.
Measure = Literal["log_ratio", "mean_log_ratio", "mean_log_prob"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AccuracyRecord(_Part):
    """How often the chosen response of some pairs scores higher, with its 95 % interval; a tie counts one half."""

    source: str  # "all" is first
    subset: str | None  # None: of the whole source
    pairs: int
    prompts: int  # that these pairs share
    ties: int
    value: float
    low: float
    high: float
    margin: float  # mean score of chosen minus rejected


class SectionRecord(_Part):
    """A section of RewardBench: its subsets' accuracies, weighted as published. Ties are wrong there, one half here."""

    source: str
    section: str  # or "RewardBench", the mean of all four, where all four are there
    pairs: int
    value: float
    low: float
    high: float
    missing: list[str] = Field(default_factory=list)  # subsets without a pair; their weight is the others'


class Kept(_Part):
    """Accuracy when only the beginning of each response is read (Shallow Preference Signals, fig. 2 and 5)."""

    by_ratio: list[CurvePoint]  # `at` is the kept ratio, 1 for the whole response
    by_tokens: list[CurvePoint]  # `at` is the kept tokens


class Judged(_Part):
    """What became of the loaded pairs: loaded = judged + quarantined."""

    loaded: int
    judged: int
    quarantined: int


class RewardEvaluation(_Part):
    """A reward model on the pairs."""

    model: ModelRecord
    counts: Judged
    accuracy: list[AccuracyRecord]  # of all, by source, by subset; whole responses
    sections: list[SectionRecord]
    kept: Kept
    spend: SpendRecord


class Displacement(_Part):
    """Mean log-prob a token, ℓ̄, of the whole responses; nats (AlphaPO fig. 2, RAO fig. 2).

    Likelihood displacement is the chosen one falling while the margin grows.
    """

    side: Literal["chosen", "rejected", "margin"]
    after: MeanRecord  # the policy
    before: MeanRecord | None  # the reference; None without one
    change: MeanRecord | None


class Curve(_Part):
    """A measure by position in the response: means over pairs of each bin of positions. Nats."""

    measure: Literal["kl", "entropy", "log_prob"]
    model: Literal["policy", "reference", "both"]
    side: Literal["chosen", "rejected"]
    points: list[CurvePoint]


class Distance(_Part):
    """How far the policy is from its reference on the data (Shallow Preference Signals, fig. 3)."""

    pairs: int  # drawn at random
    kl: MeanRecord  # mean over pairs of KL(π‖π_ref) a token of both responses, exact over the vocabulary; nats
    curves: list[Curve]


class PolicyEvaluation(_Part):
    """A policy on the pairs, as a reward model and against its reference."""

    model: ModelRecord
    reference: ModelRecord | None
    measure: Measure
    beta: float
    counts: Judged
    accuracy: list[AccuracyRecord]
    sections: list[SectionRecord]
    kept: Kept
    displacement: list[Displacement]  # chosen, rejected, margin
    distance: Distance | None
    spend: SpendRecord  # log-probs of whole responses by policy and reference; what is read by position is not in it


class Counts(_Part):
    """rows become pairs: read = loaded + left out + quarantined (a row that no pair could be made of is one)."""

    raw_rows: int
    read: int
    loaded: int
    left_out: dict[str, int]  # by reason: a tie has no order to get right
    quarantined: int


class Evaluation(_Part):
    """Everything an evaluation says, as JSON."""

    name: str
    fingerprint: str  # of configuration, data, models and code: equal means nothing changed
    sources: list[SourceRecord]
    counts: Counts
    reward: RewardEvaluation | None
    policy: PolicyEvaluation | None
    answers: AnswersEvaluation | None = None
    rewardbench2: list[RewardBench2Evaluation] = Field(default_factory=list)  # one a source
    tasks: TasksEvaluation | None = None
    annotations: list[AnnotationRecord] = Field(default_factory=list)  # what a chat benchmark's own judge said
    packages: dict[str, str]
    git_commit: str | None
    seconds: float
    finished_at: str
