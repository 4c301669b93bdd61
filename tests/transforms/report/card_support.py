"""Manifests to write a card of."""

from typing import Any

from transforms.records.manifest import (
    Counts,
    FileRecord,
    Manifest,
    ModelRecord,
    RateRecord,
    SourceRecord,
    SpendRecord,
    TokenCounts,
    TokenizerRecord,
)


def source(kind: str = "ultrafeedback", **changes: Any) -> SourceRecord:
    fields = {
        "label": kind,
        "kind": kind,
        "path": "openbmb/UltraFeedback",
        "revision": "abc",
        "fingerprint": "f",
        "raw_rows": 1300,
        "pairs": 1250,
    }
    return SourceRecord(**{**fields, **changes})


def manifest(*, rate: float = 0.962, low: float = 0.95, high: float = 0.972, **changes: Any) -> Manifest:
    """1,250 pairs, 40 quarantined, 10 ties, 1,200 kept."""
    model = ModelRecord(name="org/model", revision="local", fingerprint="f", dtype="float32", engine="vllm")
    fields: dict[str, Any] = {
        "name": "uf-poet",
        "version": "v1",
        "config": {"truncate": {"method": "poet"}},
        "fingerprint": "f",
        "sources": [source()],
        "tokenizer": TokenizerRecord(name="org/model", sha256="a" * 64, eot="<|im_end|>", eot_id=2),
        "policy": model,
        "reward": model,
        "packages": {},
        "git_commit": None,
        "counts": Counts(
            raw_rows=1300,
            pairs=1250,
            kept=1200,
            dropped={"tie": 10},
            quarantined=40,
            splits={"train": 1100, "test": 100},
            stages=[],
        ),
        "tokens": TokenCounts(
            prompt=9, chosen_before=4000, chosen_after=3000, rejected_before=3000, rejected_after=3000
        ),
        "consistency": [
            RateRecord(
                source="all",
                reference="label",
                pairs=1240,
                sampled=900,
                rate=rate,
                low=low,
                high=high,
                reward_agrees=0.8,
            )
        ],
        "completions": SpendRecord(requests=2700, generated=2600, reused=100, tokens_generated=123456, tokens_reused=7),
        "scores": None,
        "files": RUN,
        "seconds": {},
        "finished_at": "now",
    }
    return Manifest(**{**fields, **changes})


def files(*paths: str, rows: int = 5) -> list[FileRecord]:
    return [FileRecord(path=path, rows=rows, sha256="0") for path in paths]


RUN = files(
    "dataset/train/data-00000-of-00001.arrow",
    "dataset/test/data-00000-of-00001.arrow",
    "dropped/data-00000-of-00001.arrow",
    "responses/data-00000-of-00001.arrow",
)
PUBLISHED = files(
    "data/train-00000-of-00001.parquet",
    "data/test-00000-of-00001.parquet",
    "dropped/dropped-00000-of-00001.parquet",
    "responses/responses-00000-of-00001.parquet",
)
