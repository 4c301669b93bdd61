"""Small finished runs to publish, and a process that takes the loopback hub for the Hub."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from flows_support import manifest
from loopback_hub import LoopbackHub, loopback_hub

from flows.hub.patience import Patience
from flows.hub.repository import Hub
from flows.publish.config import PublishConfig
from flows.publish.export import export_run, staging
from flows.publish.release import Publication, publish_run
from transforms.dataset.shards import ContentHash, SplitWriter, file_sha256, version_of, write_splits
from transforms.records.manifest import FileRecord
from transforms.tables.schema import CURATED, RESPONSES

TOKEN = "hf_SecretSecretSecret"
REPO = "org/pairs"
ONCE = Patience(attempts=1, timeout=5)
SOON = Patience(attempts=4, first_wait=0.001, timeout=5)


def curated_rows(names: Sequence[str], *, reason: str | None = None, score: float | None = None) -> pa.Table:
    """Pairs of these ids, kept unless there is a reason."""
    rows = []
    for name in names:
        row: dict[str, Any] = {field.name: None for field in CURATED}
        row |= {field.name: field.name for field in CURATED if not field.nullable and pa.types.is_string(field.type)}
        row |= {field.name: True for field in CURATED if not field.nullable and pa.types.is_boolean(field.type)}
        row |= {f"{part}_ids": [3, 4, len(name)] for part in ("prompt", "chosen", "rejected")}
        row |= {"pair_id": name, "prompt": [{"role": "user", "content": f"about {name}"}], "chosen_keep": 2}
        row |= {"rejected_keep": 3, "reason": reason, "verdict": "drop" if reason else "keep", "chosen_score": score}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=CURATED)


def response_rows(names: Sequence[str]) -> pa.Table:
    """One response a name."""
    rows = [
        {
            "prompt_id": name, "source": "unit", "source_id": name, "prompt": [{"role": "user", "content": name}],
            "response_index": 0, "response": f"{name}!", "finished": True, "model": None, "score": 0.5,
        }
        for name in names
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=RESPONSES)


def finished_run(
    folder: Path,
    train: Sequence[str] = ("a1", "a2", "a3"),
    test: Sequence[str] = ("b1",),
    dropped: Sequence[str] = ("c1",),
    *,
    responses: Sequence[str] = (),
    shard_rows: int = 2,
    score: float | None = None,
    card: str = "---\nlicense: mit\n---\n# unit\n",
    **changes: Any,
) -> Path:
    """A run's folder as flows.curate leaves it; `changes` are keys of its manifest."""
    tables = {
        "dataset/train": curated_rows(train, score=score),
        "dataset/test": curated_rows(test),
        "dropped": curated_rows(dropped, reason="inconsistent"),
    }
    if responses:
        tables["responses"] = response_rows(responses)
    files, contents = [], {}
    for path, table in tables.items():
        name = path.removeprefix("dataset/")
        split = name if path != name else None
        schema = RESPONSES if name == "responses" else CURATED
        writer = SplitWriter(folder / path, schema, shard_rows=shard_rows, split=split)
        writer.write(table)
        files += [_below(record, path) for record in writer.close()]
        if split:
            contents[name] = _hash(table)
    write_splits(folder / "dataset", ["train", "test"])
    for page, text in (("quarantine.jsonl", ""), ("report.html", "<p>report</p>"), ("README.md", card)):
        (folder / page).write_text(text)
        files.append(FileRecord(path=page, rows=0, sha256=file_sha256(folder / page)))
    (folder / "figures").mkdir()
    (folder / "figures" / "funnel.png").write_bytes(b"\x89PNG")
    files.append(FileRecord(path="figures/funnel.png", rows=0, sha256=file_sha256(folder / "figures" / "funnel.png")))
    made = manifest()
    counts = made.counts.model_copy(
        update={"splits": {"train": len(train), "test": len(test)}, "kept": len(train) + len(test)}
    )
    update = {"counts": counts, "files": files, "version": version_of(contents), "config": {"output": {"dir": "x"}}}
    content = made.model_copy(update=update | changes).model_dump(mode="json")
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder


@contextmanager
def hub_for_this_process(monkeypatch: Any, tmp_path: Path, *, token: str | None = TOKEN) -> Iterator[LoopbackHub]:
    """A loopback hub that huggingface_hub asks from here on, with a cache of its own."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.utils._http import default_client_factory, http_backoff

    with loopback_hub(token) as hub:
        for name, value in {
            "ENDPOINT": hub.endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_CACHE": str(tmp_path / "hub-cache"),
            "HF_TOKEN_PATH": str(tmp_path / "no-token"),
            "HF_STORED_TOKENS_PATH": str(tmp_path / "no-tokens"),
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        # What the Hub's client repeats by itself: not at all, so that one fault is one failure.
        monkeypatch.setitem(http_backoff.__kwdefaults__, "max_retries", 0)
        try:
            yield hub
        finally:
            huggingface_hub.set_client_factory(default_client_factory)


def direct(name: str, work: Callable[[], Any]) -> Any:
    """A stage without Prefect."""
    return work()


def publish(run: Path, *, patience: Patience = ONCE, token: str | None = TOKEN, **options: Any) -> Publication:
    """Publish to REPO without Prefect."""
    config = PublishConfig(**{"run": run, "repo": REPO} | options)
    return publish_run(config, Hub(config.repo, token=token, patience=patience), token, direct)


def environment(tmp_path: Path, hub: LoopbackHub) -> dict[str, str]:
    """Of another process that takes the loopback hub for the Hub; no token, and Prefect's data of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PREFECT_"))}
    return kept | {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFERENCE_CURATION_CACHE": str(tmp_path / "cache"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "OMP_NUM_THREADS": "1",
    }


class Published(NamedTuple):
    """What a publication brings: files by path, and the line of its commit that names its content."""

    files: dict[str, bytes]
    mark: str


@cache
def published_files(run: Path) -> Published:
    """What publishing a run will bring; not while it is being published."""
    with staging(run) as folder:
        export = export_run(run, folder, REPO)
        files = {file.path: (folder / file.path).read_bytes() for file in export.files}
    return Published(files, export.mark)


def _below(record: FileRecord, path: str) -> FileRecord:
    return record.model_copy(update={"path": f"{Path(path).parent}/{record.path}" if "/" in path else record.path})


def _hash(table: pa.Table) -> ContentHash:
    content = ContentHash(CURATED)
    content.update(table)
    return content
