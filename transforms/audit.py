"""audit.json: what `python -m flows.audit` found out about truncating a dataset before anyone trains on it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from transforms.manifest import ModelRecord, ShareRecord, SourceRecord


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CurvePoint(_Part):
    """A mean over pairs with its 95 % interval."""

    at: float  # kept tokens, kept ratio or token position (mean of the bin); points of fewer than 2 pairs are absent
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
    verdict: Literal["safe", "unclear", "harmful"]
    why: str


class PublishedRate(_Part):
    """A consistency rate from the literature and what truncating did to that policy."""

    data: str
    rate: float
    points: float | None  # change of AlpacaEval 2 length-controlled win rate by POET
    source: str


class Audit(_Part):
    """Everything an audit says, as JSON."""

    name: str
    sources: list[SourceRecord]
    policy: ModelRecord
    reward: ModelRecord
    pairs: int  # of the dataset, live
    audited: int
    reward_agrees: ShareRecord  # the reward model's order against the label, before any cut
    methods: list[MethodAudit]
    recommended: str | None
    advice: list[str]  # sentences, most important first
    quality_by_tokens: list[CurvePoint]  # ΔQ(k)
    quality_by_ratio: list[CurvePoint]
    positions: list[PositionCurves]
    published: list[PublishedRate]
    seconds: float
    completions: int
    tokens_generated: int
