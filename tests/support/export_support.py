"""Runs to export: pairs with hostile text, structure, cuts and scores."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
from difference_support import row
from published_support import finished_run

from transforms.dataset.shards import SplitWriter, file_sha256
from transforms.records.manifest import Manifest
from transforms.tables.schema import CURATED, written

HOSTILE = (
    'one\ntwo\r\nthree\u2028four\u2029five\x85six "quoted" \\ </script> 👩🏽‍🚀 \u202e\ufeff <|im_end|> {"role": "x"}'
)
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
CALL = {"tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Bonn"}}}]}


def kept(number: int, **changes: Any) -> dict[str, Any]:
    """A kept pair whose sides are whole and finished."""
    whole = {"chosen_ids": [5, 6, 7, 2], "chosen_keep": 4, "chosen_cut": False, "chosen_cut_by": "none"}
    return {**row(number), **whole, "structure": None, **changes}


def structure(**parts: Any) -> str:
    """The column's text: `tools`, `prompt`, `chosen`, …"""
    return json.dumps(parts)


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    structured = any(one.get("structure") for one in rows)
    return pa.Table.from_pylist(rows, schema=written(CURATED, structured=structured))


def run_of(folder: Path, train: list[dict[str, Any]], test: list[dict[str, Any]] | None = None) -> Path:
    """The folder of a finished run with these kept pairs; without a test split unless it is given."""
    finished_run(folder)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    splits = {"train": train} | ({} if test is None else {"test": test})
    schema = written(CURATED, structured=any(one.get("structure") for rows in splits.values() for one in rows))
    files = [file for file in manifest.files if not file.path.startswith("dataset/")]
    for split, rows in splits.items():
        shutil.rmtree(folder / "dataset" / split)
        writer = SplitWriter(folder / "dataset" / split, schema, shard_rows=2, split=split)
        writer.write(pa.Table.from_pylist(rows, schema=schema))
        for record in writer.close():
            path = record.path if record.path.startswith("dataset/") else f"dataset/{record.path}"
            files.append(record.model_copy(update={"path": path, "sha256": file_sha256(folder / path)}))
    counts = manifest.counts.model_copy(
        update={"splits": {name: len(rows) for name, rows in splits.items()}, "kept": sum(map(len, splits.values()))}
    )
    changed = manifest.model_copy(update={"files": files, "counts": counts})
    (folder / "manifest.json").write_text(changed.model_dump_json())
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    """Rows of a file, split at newlines alone."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
