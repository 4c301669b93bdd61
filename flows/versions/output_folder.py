"""The output folder: nothing half-written ever looks complete, and another run is never overwritten by accident.

A run works in <dir>/.work and moves its results up when all of them are there; manifest.json comes last. A
folder with `.work` and no manifest is a run that died: the next one starts there afresh and takes what was
paid for from the ledger.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from transforms.dataset.shards import file_sha256
from transforms.errors import OutputError
from transforms.records.generation import GenerationManifest
from transforms.records.manifest import FileRecord, Manifest

CARD: Final = "README.md"  # the one page that people may improve before they publish
EXPORTS: Final = "exports"  # made of a finished run by flows.export, so what is left of it is another run's
CONTRACT: Final = (
    "dataset", "dropped", "responses", "generated", "quarantine.jsonl", "report.html", "figures", EXPORTS, CARD,
)  # fmt: skip
MANIFEST: Final = "manifest.json"
WORK: Final = ".work"
LOCK: Final = ".lock"
logger = logging.getLogger(__name__)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a finished run, None where there is none.

    Raises:
        OutputError: a manifest.json that this project did not write, or another release of it, or a generation's.
    """
    found = _read(folder, Manifest)
    if isinstance(found, GenerationManifest):
        message = (
            f"{folder} holds a generation ({found.name}), expected a curated run: curate it first, with "
            f"sources: [{{kind: generated, path: {folder}}}]"
        )
        raise OutputError(message)
    return found


def read_generation(folder: Path) -> GenerationManifest | None:
    """The manifest of a finished generation, None where there is none.

    Raises:
        OutputError: as `read_manifest`; or a curated run's.
    """
    found = _read(folder, GenerationManifest)
    if isinstance(found, Manifest):
        message = f"{folder} holds a curated run ({found.name}), expected a generation (python -m flows.generate)"
        raise OutputError(message)
    return found


def read_either(folder: Path) -> Manifest | GenerationManifest | None:
    """The manifest of a finished run or generation, None where there is neither.

    Raises:
        OutputError: a manifest.json that this project did not write, or another release of it.
    """
    return _read(folder, Manifest)


def _read(folder: Path, expected: type[Manifest] | type[GenerationManifest]) -> Manifest | GenerationManifest | None:
    path = folder / MANIFEST
    if not path.is_file():
        return None
    content = path.read_bytes()
    with contextlib.suppress(ValidationError):
        generated = _MadeBy.model_validate_json(content).made_by == "generate"
        expected = GenerationManifest if generated else Manifest
    try:
        return expected.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        more = f", and {error.error_count() - 1} more" if error.error_count() > 1 else ""
        message = (
            f"{path} is not a manifest of this version ({where + ': ' if where else ''}{first['msg']}{more}): it is "
            "damaged, or another version of this project wrote it. Restore it or use that version, or curate again "
            "into another output.dir"
        )
        raise OutputError(message) from error


class _MadeBy(BaseModel):
    made_by: str = "curate"  # curated runs do not say it


def finished_run(folder: Path, fingerprint: str) -> Manifest | None:
    """The manifest of the finished run of exactly these inputs, if it lies in `folder` with all that it wrote.

    A file that is gone or not the run's any more is told in the log: the run is to be made again, from the ledger.
    """
    manifest = read_manifest(folder)
    if manifest is None or manifest.fingerprint != fingerprint:
        return None
    return manifest if intact(folder, manifest.files) else None


def intact(folder: Path, files: Sequence[FileRecord]) -> bool:
    """Whether all that a run wrote lies there as it wrote it; what is not is told in the log."""
    for file in files:
        path = folder / file.path
        if not path.is_file():
            problem = "is missing"
        elif file.path != CARD and file_sha256(path) != file.sha256:
            problem = "was changed after the run"
        else:
            continue
        logger.warning("%s: %s %s, so the run is made again", folder, file.path, problem)
        return False
    return True


@contextlib.contextmanager
def output_folder(folder: Path, *, fingerprint: str, overwrite: bool) -> Iterator[Path]:
    """Claim `folder` for one run and yield its empty work folder.

    Raises:
        OutputError: another process is at it, it holds another run, or files that are no run's.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        _refuse_foreign(folder, fingerprint, overwrite=overwrite)
        with disk_errors(folder):
            # The manifest goes first: from here on the folder holds no finished run.
            (folder / MANIFEST).unlink(missing_ok=True)
            work = folder / WORK
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            for name in CONTRACT:
                _remove(folder / name)
            yield work
            shutil.rmtree(work, ignore_errors=True)
        (folder / LOCK).unlink(missing_ok=True)


def publish(folder: Path, manifest: Manifest | GenerationManifest) -> None:
    """Move the results from the work folder up and write the manifest last."""
    for name in CONTRACT:
        if (folder / WORK / name).exists():
            (folder / WORK / name).replace(folder / name)
    temporary = folder / WORK / MANIFEST
    with temporary.open("w", encoding="utf-8") as sink:
        json.dump(manifest.model_dump(mode="json"), sink, indent=2, ensure_ascii=False)
        sink.write("\n")
        sink.flush()
        os.fsync(sink.fileno())
    temporary.replace(folder / MANIFEST)


def write_text(path: Path, text: str) -> None:
    """Replace a file, whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file, whole or not at all."""
    with disk_errors(path.parent):
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_bytes(content)
        temporary.replace(path)


def _refuse_foreign(folder: Path, fingerprint: str, *, overwrite: bool) -> None:
    manifest = read_either(folder)
    if manifest is not None:
        if overwrite or manifest.fingerprint == fingerprint:
            return
        message = (
            f"{folder} already holds another run ({manifest.name}, version {manifest.version}); choose another "
            "--output.dir, or replace it with --output.overwrite true"
        )
        raise OutputError(message)
    refuse_other_files(folder)


def refuse_other_files(folder: Path) -> None:
    """Let nobody's files be replaced by a run.

    Raises:
        OutputError: `folder` has no manifest, and something in it that no run left there.
    """
    names = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
    if names and WORK not in names:
        message = f"{folder} is not empty and holds no run of this project (found {', '.join(names[:5])}); "
        raise OutputError(message + "choose another --output.dir")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process.

    Raises:
        OutputError: another process holds it.
    """
    # flock, because the kernel lets go of it when a process is killed.
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"another run is writing to {folder}; wait for it or choose another --output.dir"
            raise OutputError(message) from error
        yield


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Say what to do when the disk is the problem."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES):
            raise
        free = shutil.disk_usage(folder if folder.exists() else folder.parent).free / 2**20
        message = (
            f"cannot write to {folder}: {error.strerror} ({free:,.0f} MiB free). Nothing there looks complete; "
            "free some space or choose another --output.dir and run again: finished model calls are kept"
        )
        raise OutputError(message) from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
