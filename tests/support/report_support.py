"""Makers of what the pages are made from, and readers of the pages made."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import polars as pl

from transforms.records.audit import Audit, AuditSettings, CurvePoint, MethodAudit, PositionCurves, PublishedRate
from transforms.records.manifest import (
    CalibrationPoint,
    Counts,
    DecisionRecord,
    FileRecord,
    GroupRecord,
    Manifest,
    ModelRecord,
    ProxyRecord,
    RateRecord,
    RoundRecord,
    ShareRecord,
    SourceRecord,
    SpendRecord,
    StageRecord,
    TokenCounts,
    TokenizerRecord,
)
from transforms.report import Example

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp.exe\u2066\x00```\n``` {{ 7*7 }} \ud800"
)


def rows(kept: int = 60, dropped: int = 20, *, sampled: bool = True) -> pl.DataFrame:
    """Pairs with responses of 10 and 20 tokens, cut to 10; every fourth kept pair has two equal sides."""
    total = kept + dropped
    whole = [i % 4 == 0 for i in range(total)]
    value = [1.0 if i < kept else 0.0 for i in range(total)] if sampled else [None] * total
    frame = {
        "pair_id": [f"{i:032x}" for i in range(total)],
        "source": "starter",
        "split": ["train"] * (kept - 10) + ["test"] * 10 + ["dropped"] * dropped,
        "reason": [None] * kept + ["inconsistent"] * dropped,
        "prompt_tokens": 5,
        "chosen_tokens": [10 if flat else 20 for flat in whole],
        "rejected_tokens": 10,
        "chosen_keep": 10,
        "rejected_keep": 10,
        "chosen_cut": [not flat for flat in whole],
        "rejected_cut": False,
        "reward_chosen": [i / 10 if sampled else None for i in range(total)],
        "reward_rejected": [1.0 if sampled else None] * total,
        "consistency": value,
        "consistency_low": value,
        "consistency_high": value,
        "consistency_by_reward": value,
        "n": [3 if sampled else None] * total,
        "verdict": ["keep"] * kept + ["drop"] * dropped,
        "decided_by": [("uncut" if flat else "sampling") if sampled else None for flat in whole],
        "p_keep": value,
        "expected": [None] * total,
        "audit": False,
    }
    kinds = {"reason": pl.String, "n": pl.Int32, "decided_by": pl.String, "p_keep": pl.Float64, "expected": pl.Float64}
    kinds |= {name: pl.Float64 for name in frame if name.startswith(("reward", "consistency"))}
    return pl.DataFrame(frame, schema_overrides=kinds)


def manifest(
    *, rate: float = 0.95, spread: tuple[float, float] = (0.06, 0.03), sampled: bool = True, **changes: Any
) -> Manifest:
    """Of a run over `rows()`: 85 rows read, 5 quarantined, 20 dropped, 60 kept."""
    model = ModelRecord(name="tiny", revision="local", fingerprint="f", dtype="float32", engine="vllm")
    spend = SpendRecord(requests=180, generated=150, reused=30, tokens_generated=4321, tokens_reused=99, seconds=8)
    fields: dict[str, Any] = {
        "name": "test-run",
        "version": "0123456789abcdef",
        "config": {"truncate": {"method": "poet"}, "consistency": {"reference": "label"}},
        "fingerprint": "f1",
        "sources": [
            SourceRecord(
                label="starter",
                kind="starter",
                path="./pairs.parquet",
                revision=None,
                fingerprint="f2",
                raw_rows=85,
                pairs=80,
            )
        ],
        "tokenizer": TokenizerRecord(name="tiny", sha256="aa", eot="<|im_end|>", eot_id=2),
        "policy": model if sampled else None,
        "reward": model if sampled else None,
        "packages": {"polars": "2.1.0"},
        "git_commit": None,
        "counts": Counts(
            raw_rows=85,
            pairs=85,
            kept=60,
            dropped={"inconsistent": 20},
            quarantined=5,
            splits={"train": 50, "test": 10},
            stages=[
                StageRecord(stage="load", rows_in=85, rows_out=80, quarantined=5),
                StageRecord(stage="judge", rows_in=80, rows_out=60, dropped={"inconsistent": 20}),
            ],
        ),
        "tokens": TokenCounts(
            prompt=300, chosen_before=1050, chosen_after=600, rejected_before=600, rejected_after=600
        ),
        "consistency": _rates(rate, *spread) if sampled else [],
        "completions": spend if sampled else None,
        "scores": spend if sampled else None,
        "files": [FileRecord(path="dataset/train/data.arrow", rows=50, sha256="bb")],
        "seconds": {"load": 0.5, "completions": 8.0},
        "finished_at": "2026-11-21T12:00:00Z",
    }
    return Manifest(**{**fields, **changes})


def _rates(rate: float, below: float, above: float) -> list[RateRecord]:
    rates = {"rate": rate, "low": rate - below, "high": rate + above, "reward_agrees": 0.83}
    return [
        RateRecord(source=source, reference=by, pairs=80, sampled=60, **rates)
        for source in ("all", "starter", "other")
        for by in ("label", "reward")
    ]


def share(value: float, count: int = 100) -> ShareRecord:
    """A share with five points to both sides."""
    return ShareRecord(value=value, low=max(0.0, value - 0.05), high=min(1.0, value + 0.05), count=count)


def judged() -> dict[str, Any]:
    """Fields of a manifest whose 80 pairs were decided by margin and by sampling in rounds."""
    return {
        "config": {"truncate": {"method": "poet"}, "consistency": {"threshold": 0.6}, "output": {"dir": "out/run 1"}},
        "decisions": [
            DecisionRecord(by="uncut", keep=20, drop=0, completions=0),
            DecisionRecord(by="proxy", keep=25, drop=5, completions=0),
            DecisionRecord(by="sampling", keep=10, drop=10, completions=120),
            DecisionRecord(by="n_max", keep=3, drop=4, completions=63),
            DecisionRecord(by="undecided", keep=2, drop=1, completions=9),
        ],
        "proxy": ProxyRecord(
            informative=True,
            why="Wide margins are nearly always consistent.",
            cut_pairs=60,
            audit_pairs=12,
            skipped=30,
            accepted_error=0.05,
            error=ShareRecord(value=0.04, low=0.01, high=0.12, count=25),
            gain=0.031,
            calibration=[
                CalibrationPoint(predicted=0.7, observed=share(0.75, 25), margin=0.2),
                CalibrationPoint(predicted=0.95, observed=share(0.9, 100), margin=2.0),
            ],
        ),
        "groups": [
            GroupRecord(by="share_cut", start=0.0, end=0.5, pairs=40, sampled=20, rate=0.96, low=0.92, high=0.98),
            GroupRecord(by="share_cut", start=0.5, end=1.0, pairs=20, sampled=10, rate=0.85, low=0.7, high=0.93),
            GroupRecord(by="margin", start=-2.0, end=1.0, pairs=60, sampled=30, rate=0.9, low=0.8, high=0.95),
        ],
        "rounds": [
            RoundRecord(stage="audit", number=1, pairs=12, completions=36, tokens=3600, keep=6, drop=4, open=2),
            RoundRecord(stage="rest", number=1, pairs=18, completions=156, tokens=9000, keep=9, drop=8, open=1),
        ],
    }


def example(**changes: Any) -> Example:
    """A kept pair whose chosen side was cut to ten tokens of twenty."""
    fields: dict[str, Any] = {
        "pair_id": "00",
        "source": "starter",
        "verdict": "keep",
        "reason": None,
        "prompt": [{"role": "user", "content": "Why?"}],
        "chosen_full": "Because it rains. And snows.",
        "chosen": "Because it rains.",
        "rejected_full": "No idea.",
        "rejected": "No idea.",
        "chosen_cut": True,
        "rejected_cut": False,
        "chosen_tokens": 20,
        "rejected_tokens": 10,
        "chosen_keep": 10,
        "rejected_keep": 10,
    }
    return Example(**{**fields, **changes})


class Tags(HTMLParser):
    """Names of all elements, attributes of all, and whether every element is closed."""

    VOID = ("meta", "br", "link", "img", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def script_of(page: str) -> str:
    """The page's own script; "" where it has none."""
    return "".join(re.findall(r"<script>(.*?)</script>", page, re.DOTALL))


def data_of(page: str) -> dict[str, Any]:
    """What the page hands to its script."""
    found = re.findall(r'<script type="application/json" id="pairs-data">(.*?)</script>', page, re.DOTALL)
    assert len(found) == 1
    data: dict[str, Any] = json.loads(found[0])
    return data


def words(page: str) -> str:
    """The page's text without markup and scripts, on one line."""
    body = re.sub("<script.*?</script>", " ", page.split("</style>")[1], flags=re.DOTALL)
    return " ".join(re.sub("<[^>]+>", " ", body).replace("&nbsp;", " ").split())


def curve(
    *means: float, start: float = 1.0, step: float = 1.0, spread: float = 0.5, pairs: int = 40
) -> list[CurvePoint]:
    """A curve with an interval of `spread` to both sides."""
    return [
        CurvePoint(at=start + step * i, mean=mean, low=mean - spread, high=mean + spread, pairs=pairs)
        for i, mean in enumerate(means)
    ]


def audit(**changes: Any) -> Audit:
    """Of 40 of 80 pairs: POET is supported, half of each response undecided, a quarter unsupported."""
    model = ModelRecord(name="tiny", revision="local", fingerprint="f", dtype="float32", engine="vllm")
    verdicts: list[tuple[str, float, Any]] = [
        ("poet", 0.97, "supported"),
        ("ratio 0.5", 0.93, "undecided"),
        ("ratio 0.25", 0.8, "unsupported"),
    ]
    fields: dict[str, Any] = {
        "name": "test-audit",
        "sources": manifest().sources,
        "policy": model,
        "reward": model,
        "settings": AuditSettings(pairs=40, curve_tokens=128),
        "pairs": 80,
        "audited": 40,
        "prompts": 25,
        "curve_pairs": 31,
        "position_pairs": 39,
        "reward_agrees": share(0.85, 40),
        "methods": [
            MethodAudit(
                name=name,
                consistency=share(rate, 40),
                by_reward=share(rate - 0.01, 40),
                tokens_saved=0.3,
                completions=120,
                verdict=verdict,
                why=f"because of {name}",
            )
            for name, rate, verdict in verdicts
        ],
        "recommended": "poet",
        "advice": ["Cut to the shorter response.", "A quarter of each response loses the order."],
        "quality_by_tokens": curve(0.5, 1.0, 2.0, start=8, step=8),
        "quality_by_ratio": curve(0.4, 1.5, start=0.25, step=0.5),
        "positions": [
            PositionCurves(side="chosen", entropy=curve(2.0, 1.5, 1.0), log_prob=curve(-2.0, -1.5, -1.0)),
            PositionCurves(side="rejected", entropy=curve(2.5, 2.5, 1.5), log_prob=curve(-3.0, -2.0, -1.5)),
        ],
        "published": [
            PublishedRate(
                data="Llama-3-8B-Instruct v0.1", rate=0.938, dpo=None, simpo=-2.8, on_policy=True, source="table 4"
            ),
            PublishedRate(
                data="Zephyr + UltraFeedback", rate=0.914, dpo=15.6, simpo=3.3, on_policy=False, source="table 2"
            ),
        ],
        "seconds": 75.0,
        "completions": 300,
        "tokens_generated": 30_000,
    }
    return Audit(**{**fields, **changes})
