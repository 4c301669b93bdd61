"""Makers of decoding results for tests."""

from typing import Any

import pyarrow as pa

from transforms.records.decoding import Decodings, IntervalRecord, RuleResult
from transforms.records.manifest import ModelRecord, SourceRecord
from transforms.tables.schema import DECODED


def decoded_row(rule: str = "mix", value: float = 1.0, pair_id: str = "p", **fields: Any) -> dict[str, Any]:
    """A response of two tokens."""
    row = {
        "rule": rule,
        "value": value,
        "pair_id": pair_id,
        "sample": 0,
        "seed": 1,
        "token_ids": [5, 2],
        "text": "a",
        "finished": True,
        "log_ratio": 0.5,
        "kl": [0.25, 0.25],
        "policy_kl": [0.5, 0.25],
        "reward": 1.0,
    }
    return row | fields


def decoded(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=DECODED)


def rule(kind: Any, value: float, reward: float, log_ratio: float) -> RuleResult:
    def mean(at: float, half: float) -> IntervalRecord:
        return IntervalRecord(value=at, low=at - half, high=at + half)

    return RuleResult(
        kind=kind,
        value=value,
        responses=64,
        finished=0.9,
        tokens=120.4,
        reward=mean(reward, 0.4),
        log_ratio=mean(log_ratio, 1.0),
        kl=mean(log_ratio, 0.5),
    )


def decodings(**changes: Any) -> Decodings:
    """Ten rules in which mixing rises and length control does a little better for its distance."""
    model = ModelRecord(name="tiny", revision="local", fingerprint="f" * 8, dtype="float32", engine="transformers")
    rules = [
        *[rule("mix", a, 2 * a - a * a / 2, 20 * a**2) for a in (0.0, 0.5, 1.0, 1.5)],
        *[rule("length", t, 0.4 + t / 64, 3 + t / 5) for t in (4, 16, 64)],
        *[rule("kl", b, 1.4 - b, 15 - 12 * b) for b in (0.05, 0.2, 1.0)],
    ]
    settings = {"temperature": 1.0, "top_p": 1.0, "samples": 1, "max_tokens": 256, "seed": 0}
    curve = [
        {"at": at, "mean": 2 / at, "low": 1.5 / at, "high": 2.5 / at, "pairs": 64} for at in (1, 2, 4, 8, 16, 32, 64)
    ]
    content: dict[str, Any] = {
        "name": "unit",
        "version": "0" * 16,
        "fingerprint": "f1",
        "settings": settings,
        "policy": model,
        "reference": model,
        "reward": model,
        "prompts": 64,
        "prompts_too_long": 2,
        "unscored": 3,
        "rules": rules,
        "policy_kl": curve,
        "seconds": 83.2,
        "finished_at": "2026-11-21T00:00:00+00:00",
    }
    return Decodings.model_validate(content | changes)


def of_a_file(path: str = "./my[bold]prompts.jsonl", **changes: Any) -> Decodings:
    """`decodings` on the prompts of a file: 80 = 64 + 2 + 4 + 3 + 7, the 2 too long."""
    source = SourceRecord(
        label="prompts", kind="prompts", path=path, revision=None, fingerprint="e" * 64, raw_rows=80, pairs=80
    )
    read: dict[str, Any] = {
        "sources": [source.model_dump()],
        "found": 80,
        "repeated": 4,
        "weighed_out": 0,
        "quarantined": 3,
        "not_drawn": 7,
        "trained_on": 5,
    }
    return decodings(read=read, **changes)
