"""From decoded responses to what each decoding rule is worth, and how far from the reference it goes (methods §7)."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.audit.curves import binned
from transforms.choices import RuleKind
from transforms.errors import SourceError
from transforms.records.audit import CurvePoint
from transforms.records.decoding import IntervalRecord, RuleResult
from transforms.statistics.clustered import clustered_mean
from transforms.statistics.intervals import Floats


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
