"""audit.json: what `python -m flows.audit` found out about truncating a dataset before anyone trains on it."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from transforms.records.manifest import ModelRecord, ShareRecord, SourceRecord
from transforms.statistics.intervals import MeanRecord

SHORTEST: Final = 4  # of ΔQ(k), tokens; the next k are its doubles


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AuditSettings(BaseModel):
    """How much an audit looks at. Figures of fewer pairs take the first of those audited, in random order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Pairs to audit; by default what the recipe's budget pays for, or 64."
    )
    n: Annotated[int, Field(ge=1)] = Field(2, description="Completions a prefix.")
    curve_pairs: Annotated[int, Field(ge=0)] = Field(
        32, description="Pairs of ΔQ(k), which takes as many completions as all cuts together; 0: none."
    )
    curve_tokens: Annotated[int, Field(ge=SHORTEST)] = Field(
        256, description="Largest k of ΔQ(k); k is 4, 8, 16 … up to it."
    )
    value_pairs: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="Pairs whose prefixes the reward model reads as they are, for ΔQ(k) without completions; those of "
        "ΔQ(k) by default; 0: none.",
    )
    position_pairs: Annotated[int, Field(ge=0)] = Field(
        64, description="Pairs whose entropy and log-prob are read by position; 0: none."
    )

    @property
    def curve_at(self) -> list[int]:
        """The k of ΔQ(k)."""
        found, k = [], SHORTEST
        while k <= self.curve_tokens:
            found.append(k)
            k *= 2
        return found


class CurvePoint(_Part):
    """A mean over pairs with its 95 % interval, which knows that pairs share prompts."""

    at: float  # kept tokens, kept ratio or token position (mean of the bin); points of fewer than 2 prompts are absent
    mean: float
    low: float
    high: float
    pairs: int


class PositionCurves(_Part):
    """Of the policy on the data, by response position (methods §6; POET fig. 2). Nats."""

    side: Literal["chosen", "rejected"]
    entropy: list[CurvePoint]  # of the sampling distribution
    log_prob: list[CurvePoint]  # of the data's own token


class MethodAudit(_Part):
    """One way to truncate, as measured on the audited sample."""

    name: str  # "poet", "ratio 0.5", …
    consistency: ShareRecord  # against the label
    by_reward: ShareRecord  # against the reward model's order of the full responses
    tokens_saved: float  # share of response tokens cut, over the whole dataset
    completions: int
    verdict: Literal["supported", "undecided", "unsupported"]  # by published settings; none says that a cut hurts
    why: str


class PublishedRate(_Part):
    """A consistency rate from the literature and what truncating did to that policy."""

    data: str
    rate: float
    dpo: float | None  # change of the AlpacaEval 2 length-controlled win rate by POET, in points; None: not reported
    simpo: float | None
    on_policy: bool
    source: str


class Audit(_Part):
    """Everything an audit says, as JSON."""

    name: str
    sources: list[SourceRecord]
    policy: ModelRecord
    reward: ModelRecord
    settings: AuditSettings
    pairs: int  # of the dataset, live
    audited: int
    prompts: int  # of the audited pairs; intervals are over these
    curve_pairs: int  # that ΔQ(k) rests on, of those audited; at some k a pair may lack a reward (CurvePoint.pairs)
    position_pairs: int  # that were read by position
    reward_agrees: ShareRecord  # the reward model's order against the label, before any cut
    methods: list[MethodAudit]
    recommended: str | None
    advice: list[str]  # sentences, most important first
    quality_by_tokens: list[CurvePoint]  # ΔQ(k)
    quality_by_ratio: list[CurvePoint]
    values_by_tokens: list[CurvePoint] = []  # ΔQ(k) by what the reward model says of the prefixes themselves
    value_pairs: int = 0  # that it rests on
    # Over the pairs and k of both: rank correlation of one pair's ΔQ(k) by values and by completions.
    values_agree: MeanRecord | None = None
    positions: list[PositionCurves]
    published: list[PublishedRate]
    seconds: float
    completions: int
    tokens_generated: int
