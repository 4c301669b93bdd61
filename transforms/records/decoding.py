"""decode.json: what each decoding rule is worth, and how far from the reference it goes (methods §7)."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from transforms.choices import RuleKind
from transforms.records.audit import CurvePoint
from transforms.records.manifest import ModelRecord, SourceRecord
from transforms.statistics.intervals import MeanRecord

SYMBOLS: Final[dict[RuleKind, str]] = {"mix": "a", "length": "t", "kl": "b"}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class IntervalRecord(MeanRecord):
    """A mean over the responses to two prompts or more, so that its interval is known."""

    low: float
    high: float


class RuleResult(_Part):
    """One rule at one value."""

    kind: RuleKind
    value: float  # a of mix, t in tokens of length, b in nats of kl
    responses: int
    finished: float  # share that ended by itself
    tokens: float  # mean of a response
    reward: IntervalRecord  # of the responses that the reward model could read
    log_ratio: IntervalRecord  # Σ_t log(π/π_ref), nats a response
    kl: IntervalRecord  # Σ_t KL(π ‖ π_ref), exact at each token: the same expectation with less luck in it

    @property
    def name(self) -> str:
        """`a = 0.5`, `t = 16` or `b = 0.1`."""
        return f"{SYMBOLS[self.kind]} = {self.value:g}"


class PromptsRead(_Part):
    """Prompts of sources: found = answered + too long + repeated + weighed_out + quarantined + not_drawn."""

    sources: list[SourceRecord]
    found: int  # rows that could not be read among them
    repeated: int  # the same prompt again, or one of the same tokens
    weighed_out: int  # left out by a source's `weight`
    quarantined: int  # lines of quarantine.jsonl
    not_drawn: int  # beyond max_prompts, and not looked at
    trained_on: int | None  # answered ones that are in the run's training split; None without a run


class Decodings(_Part):
    """Everything that a comparison of decoding rules says, as JSON."""

    name: str  # of the curated run; without one, of the output folder
    version: str | None  # of the run's dataset
    fingerprint: str  # equal means nothing changed
    settings: dict[str, Any]
    policy: ModelRecord
    reference: ModelRecord
    reward: ModelRecord
    prompts: int
    prompts_too_long: int  # left out: no room for a response
    read: PromptsRead | None = None  # None: those of the run's test split
    unscored: int  # responses that the reward model could not read
    rules: list[RuleResult]
    policy_kl: list[CurvePoint]  # KL(π_DPO ‖ π_ref) by position, on what the policy itself wrote (a = 1)
    seconds: float
    finished_at: str
