"""The published layout of a version: Parquet shards beside the pages, and a key that says whether two are the same.

data/train-00000-of-00001.parquet   kept pairs, a file a shard; data/test-… where the run has a test split
dropped/dropped-…                   dropped pairs with their reasons
responses/responses-…               every response, where the run has them
README.md  report.html  quarantine.jsonl  figures/*.png  manifest.json
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.dataset.redaction import numbered_machines, public, public_path
from transforms.records.manifest import FileRecord, Manifest

# What is a version's own in a repository: a file here that a new version lacks is removed with it. Others stay.
OWN_FOLDERS: Final = ("data/", "dropped/", "responses/", "figures/")
OWN_FILES: Final = ("manifest.json", "README.md", "report.html", "quarantine.jsonl")

# Keys of a recipe that say where things lie, and nothing of the data.
_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "output": ("dir", "overwrite"),
    "consistency": ("keep_loaded",),
    "policy": ("data_parallel",),
    "reward": ("data_parallel",),
}
# What differs between two runs that made the same: when, how long, with what at hand in the ledger.
_OF_THE_RUN: Final = {
    "fingerprint", "packages", "git_commit", "rounds", "completions", "scores", "files", "seconds", "finished_at",
}  # fmt: skip


def is_generated(path: str) -> bool:
    """Whether a file is of what the section `generate` of a recipe made."""
    return path.startswith("generated/")


def shard_path(table: str, number: int, of: int, *, is_split: bool) -> str:
    """Where the shard `number` of `of` lies in the published layout."""
    return f"{'data' if is_split else table}/{table}-{number:05d}-of-{of:05d}.parquet"


def write_parquet(source: Path, target: Path) -> None:
    """An Arrow shard as Parquet: the same rows, columns, types and metadata, and equal bytes for equal rows.

    Args:
        source: an Arrow stream, as `transforms.dataset.shards` writes it.
        target: made here, with its folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        pa.OSFile(str(source)) as raw,
        pa.ipc.open_stream(raw) as stream,
        # Pages end where content says and not after so many bytes, so that the Hub's storage finds most of the last
        # version in a new one and takes only what changed.
        pq.ParquetWriter(
            target, stream.schema, compression="zstd", use_content_defined_chunking=True, write_page_index=True
        ) as writer,
    ):
        for batch in stream:
            writer.write_batch(batch)


def public_manifest(manifest: Manifest) -> Manifest:
    """Without what strangers should not read: folders of a machine, credentials in an address."""
    content = manifest.model_dump(mode="json")
    content["config"] = public(content["config"])
    for source in content["sources"]:
        source["path"] = public_path(source["path"])
    models = [content["policy"], content["reward"], content["tokenizer"]]
    if content["generated"]:
        models += [*content["generated"]["policies"], *content["generated"]["annotators"]]
    for model in filter(None, models):
        model["name"] = public_path(model["name"])
    spends = [content["completions"], content["scores"]]
    if content["generated"]:
        spends += [content["generated"]["completions"], content["generated"]["scores"]]
    replicas = [one for spend in filter(None, spends) for one in spend["replicas"]]
    for one, machine in zip(replicas, numbered_machines([one["node"] for one in replicas]), strict=True):
        one["node"] = machine
    return Manifest.model_validate(content)


def write_manifest(path: Path, manifest: Manifest, files: list[FileRecord]) -> None:
    """The run's manifest, of the published files."""
    content = public_manifest(manifest).model_copy(update={"files": files}).model_dump(mode="json")
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def content_key(manifest: Manifest, rows: Mapping[str, str]) -> str:
    """16 hex digits over all rows, and what the manifest says of them: equal means that nothing is new.

    Args:
        manifest: of the run.
        rows: a hash of each table's rows.

    Left out is what differs between two runs that made the same: where, when, how long, how much of it was in the
    ledger. The version covers kept pairs alone; dropped ones and responses are published too.
    """
    manifest = public_manifest(manifest)
    content: dict[str, Any] = manifest.model_dump(mode="json", exclude=_OF_THE_RUN)
    content["config"] = {
        key: {k: v for k, v in value.items() if k not in _PLACES.get(key, ())} if isinstance(value, dict) else value
        for key, value in manifest.config.items()
        if key not in ("ledger", "preparation", "cluster", "report_to")
    }
    if content["generated"]:
        content["generated"] = {k: v for k, v in content["generated"].items() if k not in ("completions", "scores")}
    pages = (file.path for file in manifest.files if not file.path.endswith((".arrow", ".parquet")))
    content["pages"] = sorted(path for path in pages if not is_generated(path))
    content["rows"] = dict(rows)
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
