"""A finished run as a release before today's wrote it."""

import json
from pathlib import Path

import pyarrow as pa

from transforms.dataset.shards import file_sha256
from transforms.tables.schema import LATER


def as_an_earlier_release_wrote_it(run: Path) -> None:
    """Take the columns that came later out of a run's tables, and what describes them out of its manifest."""
    later = [field.name for field in LATER]
    for shard in [*run.glob("dataset/*/*.arrow"), *run.glob("dropped/*.arrow")]:
        with pa.ipc.open_stream(shard.read_bytes()) as stream:  # a path would be mapped, and is written to below
            table = stream.read_all().drop_columns(later)
        with pa.ipc.new_stream(str(shard), table.schema) as stream:
            stream.write_table(table)
    manifest = json.loads((run / "manifest.json").read_text())
    for file in manifest["files"]:
        file["sha256"] = file_sha256(run / file["path"])
    manifest.pop("estimator")
    for key in ("estimator", "stop_below"):
        manifest["config"]["consistency"].pop(key)
    manifest["config"]["budget"].pop("purpose")
    (manifest["config"]["proxy"] or {}).pop("values", None)
    (run / "manifest.json").write_text(json.dumps(manifest))
