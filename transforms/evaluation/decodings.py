"""decode.json: what each decoding rule is worth, and how far from the reference it goes (methods §7)."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from transforms.audit.curves import binned
from transforms.consistency.decisions import Floats
from transforms.errors import SourceError
from transforms.records.audit import CurvePoint
from transforms.records.evaluation import MeanRecord
from transforms.records.manifest import ModelRecord
from transforms.statistics.clustered import clustered_mean
from transforms.tables.schema import RuleKind

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


class Decodings(_Part):
    """Everything that a comparison of decoding rules says, as JSON."""

    name: str  # of the curated run whose test prompts were answered
    version: str  # of its dataset
    fingerprint: str  # equal means nothing changed
    settings: dict[str, Any]
    policy: ModelRecord
    reference: ModelRecord
    reward: ModelRecord
    prompts: int
    prompts_too_long: int  # left out: no room for a response
    unscored: int  # responses that the reward model could not read
    rules: list[RuleResult]
    policy_kl: list[CurvePoint]  # KL(π_DPO ‖ π_ref) by position, on what the policy itself wrote (a = 1)
    seconds: float
    finished_at: str


def rule_results(decoded: pa.Table) -> list[RuleResult]:
    """One result a rule and value of schema.DECODED, in the order in which they first appear.

    Raises:
        SourceError: a rule has responses to fewer than two prompts with a reward.
    """
    rules = dict.fromkeys(zip(decoded["rule"].to_pylist(), decoded["value"].to_pylist(), strict=True))
    return [_result(kind, value, of_rule(decoded, kind, value)) for kind, value in rules]


def policy_curve(decoded: pa.Table) -> list[CurvePoint]:
    """KL(π_DPO ‖ π_ref) by position where the policy alone wrote (Shallow fig. 3); empty where it did not."""
    rows = of_rule(decoded, "mix", 1.0)
    return binned([np.array(row, np.float32) for row in rows["policy_kl"].to_pylist()], rows["pair_id"].to_pylist())


def of_rule(decoded: pa.Table, kind: str, value: float) -> pa.Table:
    """The rows of one rule at one value."""
    return decoded.filter((pc.field("rule") == kind) & (pc.field("value") == value))


def _result(kind: RuleKind, value: float, rows: pa.Table) -> RuleResult:
    scored = rows.filter(pc.field("reward").is_valid())
    lengths = pc.list_value_length(rows["token_ids"]).to_numpy()
    return RuleResult(
        kind=kind,
        value=value,
        responses=len(rows),
        finished=float(np.mean(rows["finished"].to_numpy(zero_copy_only=False))),
        tokens=float(lengths.mean()),
        reward=_mean(scored["reward"].to_numpy(), scored, f"{kind} {value:g}"),
        log_ratio=_mean(rows["log_ratio"].to_numpy(), rows, f"{kind} {value:g}"),
        kl=_mean(np.array([sum(row) for row in rows["kl"].to_pylist()]), rows, f"{kind} {value:g}"),
    )


def _mean(values: Floats, rows: pa.Table, rule: str) -> IntervalRecord:
    prompts = rows["pair_id"].to_pylist()
    if len(set(prompts)) < 2:
        message = f"rule {rule} has responses with a reward to fewer than 2 prompts, so no interval can be given"
        raise SourceError(message)
    return IntervalRecord(**clustered_mean(values, prompts).model_dump())


def best(rules: Sequence[RuleResult]) -> RuleResult:
    """The rule of the highest mean reward; the first of equal ones."""
    return max(rules, key=lambda rule: rule.reward.value)
