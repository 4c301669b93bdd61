"""Makers of small versions of a dataset, and of rows as two versions are compared by them."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import report_support

from transforms.dataset.shards import SplitWriter, file_sha256, version_of
from transforms.records.manifest import Counts, FileRecord, Manifest, SourceRecord
from transforms.sources.canonical import Message, pair_id
from transforms.tables.schema import CURATED
from transforms.versions.version_rows import ROWS

SECTIONS: dict[str, Any] = {
    "sources": [{"kind": "preference", "path": "x", "limit": None}],
    "truncate": {"method": "poet", "ratio": None},
    "policy": {"engine": "vllm"},
    "sampling": {"n": 4, "first": 2, "temperature": 1.0},
    "consistency": {"threshold": 0.5, "delta": 0.1, "reference": "label", "prior": [0.5, 0.5]},
    "proxy": None,
    "budget": {"tokens": None, "undecided": "drop"},
    "filters": {
        "min_score_margin": None,
        "min_reward_margin": None,
        "max_prompt_tokens": None,
        "min_kept_tokens": None,
        "min_kept_share": None,
    },
    "output": {"dir": "runs/x", "test_size": 0.0},
}


def config(**changes: Any) -> dict[str, Any]:
    """A manifest's recipe; sections are changed key by key: `consistency={"threshold": 0.7}`."""
    return {
        name: {**section, **changes[name]}
        if isinstance(section, dict) and name in changes
        else changes.get(name, section)
        for name, section in SECTIONS.items()
    }


def source(label: str = "one", fingerprint: str = "f1") -> SourceRecord:
    return SourceRecord(
        label=label, kind="preference", path="x", revision=None, fingerprint=fingerprint, raw_rows=4, pairs=4
    )


def manifest(**changes: Any) -> Manifest:
    """Of a version with one source and both models."""
    fields: dict[str, Any] = {"config": config(), "sources": [source()], "consistency": []}
    return report_support.manifest(**{**fields, **changes})


def row(number: int, *, chosen: str = "good", prompt: str | None = None, **changes: Any) -> dict[str, Any]:
    """schema.CURATED of a kept pair: 6 and 4 tokens cut to 4, four of four completions consistent."""
    asked = prompt or f"question {number}"
    fields: dict[str, Any] = {
        "pair_id": pair_id((Message("user", asked),), chosen, "bad"),
        "source": "one",
        "source_id": f"row-{number}",
        "prompt": [{"role": "user", "content": asked}],
        "chosen": chosen,
        "rejected": "bad",
        "chosen_full": chosen,
        "rejected_full": "bad",
        "prompt_ids": [1, 2, 3],
        "chosen_ids": [5, 6, 7, 8, 9, 2],
        "rejected_ids": [5, 6, 7, 2],
        "chosen_keep": 4,
        "rejected_keep": 4,
        "chosen_cut": True,
        "rejected_cut": False,
        "chosen_cut_by": "poet",
        "rejected_cut_by": "none",
        "chosen_finished": True,
        "rejected_finished": True,
        "chosen_score": 2.0,
        "rejected_score": 1.0,
        "reward_chosen": 1.5,
        "reward_rejected": 0.5,
        "consistency": 1.0,
        "consistency_low": 0.6,
        "consistency_high": 1.0,
        "consistency_by_reward": 1.0,
        "n": 4,
        "p_keep": 0.99,
        "expected": None,
        "audit": False,
        "decided_by": "sampling",
        "verdict": "keep",
        "reason": None,
    }
    return {**fields, **changes}


def dropped(number: int, reason: str = "inconsistent", **changes: Any) -> dict[str, Any]:
    """The same, dropped: none of four completions was consistent."""
    fields = {"consistency": 0.0, "consistency_by_reward": 0.0, "p_keep": 0.01, "verdict": "drop", "reason": reason}
    return row(number, **{**fields, **changes})


def unjudged(number: int, reason: str, **changes: Any) -> dict[str, Any]:
    """Dropped before any model was asked."""
    nothing = dict.fromkeys(
        ("reward_chosen", "reward_rejected", "consistency", "consistency_by_reward", "n", "p_keep", "decided_by")
    )
    return row(number, **{**nothing, "verdict": "drop", "reason": reason, **changes})


def quarantined(number: int, *, stage: str = "load", **changes: Any) -> dict[str, Any]:
    """A line of quarantine.jsonl; with a pair_id where a pair could be made."""
    return {
        "stage": stage,
        "source": "one",
        "source_id": f"row-{number}",
        "error": "null text",
        "row": {"x": 1},
        **changes,
    }


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    """version_rows.ROWS of curated rows."""
    found = [
        {
            **{name: one[name] for name in ROWS.names() if name in one},
            **{f"{name}_tokens": len(one[f"{name}_ids"]) for name in ("prompt", "chosen", "rejected")},
            "place": "train" if one["verdict"] == "keep" else "dropped",
            "outcome": one["verdict"],
        }
        for one in rows
    ]
    return pl.DataFrame(found, schema=ROWS)


def version_folder(
    folder: Path,
    rows: list[dict[str, Any]],
    lines: list[dict[str, Any]] | None = None,
    *,
    published: bool = False,
    **changes: Any,
) -> Path:
    """The folder of a run, or the layout that is published, with tables, quarantine.jsonl and manifest.json."""
    folder.mkdir(parents=True)
    files, contents, splits = [], {}, {}
    for name, mine in (
        ("train", [one for one in rows if one["verdict"] == "keep"]),
        ("dropped", [one for one in rows if one["verdict"] != "keep"]),
    ):
        table = pa.Table.from_pylist(mine, schema=CURATED)
        where = folder / name if name == "dropped" else folder / "dataset" / name
        writer = SplitWriter(where, CURATED, shard_rows=3, split=None)
        writer.write(table)
        written = writer.close()
        if name == "train":
            contents[name], splits[name] = writer.content, len(mine)
            written = [one.model_copy(update={"path": f"dataset/{one.path}"}) for one in written]
        files += [_parquet(folder, name, table)] if published else written
    (folder / "quarantine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines or []))
    files.append(_record(folder, "quarantine.jsonl", len(lines or [])))
    counts = Counts(
        raw_rows=len(rows),
        pairs=len(rows) + len(lines or []),
        kept=splits["train"],
        dropped={},
        quarantined=len(lines or []),
        splits=splits,
        stages=[],
    )
    made = manifest(**{"version": version_of(contents), "files": files, "counts": counts, **changes})
    (folder / "manifest.json").write_text(made.model_dump_json())
    return folder


def _parquet(folder: Path, name: str, table: pa.Table) -> FileRecord:
    path = f"{'data' if name == 'train' else name}/{name}-00000-of-00001.parquet"
    (folder / path).parent.mkdir(exist_ok=True)
    pq.write_table(table, folder / path)
    return _record(folder, path, len(table))


def _record(folder: Path, path: str, rows: int) -> FileRecord:
    return FileRecord(path=path, rows=rows, sha256=file_sha256(folder / path))
