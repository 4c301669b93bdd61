"""Hashes of large files, remembered, so that a second start does not read weights again."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from transforms.engines.kept_results import read_json, write_json
from transforms.paths import cache_dir

logger = logging.getLogger(__name__)


def remembered_hashes(files: Sequence[Path]) -> list[str]:
    """sha256 of each file as hex, remembered in the cache directory by path, size and times.

    The time of the last change of the inode is one of them: `cp -p` and `rsync -t` set that of modification, and two
    checkpoints of one model are of one size.
    """
    store = cache_dir() / "fingerprints.json"
    known = _read_hashes(store)
    fresh: dict[str, str] = {}
    found = []
    for file in files:
        stat = file.stat()
        key = f"{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}"
        digest = known.get(key)
        if digest is None:
            with file.open("rb") as stream:
                digest = fresh[key] = hashlib.file_digest(stream, "sha256").hexdigest()
        found.append(digest)
    if fresh:
        _write_hashes(store, fresh)
    return found


def _read_hashes(store: Path) -> dict[str, str]:
    content = read_json(store)
    return content if isinstance(content, dict) else {}


def _write_hashes(store: Path, fresh: dict[str, str]) -> None:
    """Add to the store by rename. What a racing process loses here is only computed again."""
    try:
        write_json(store, {**_read_hashes(store), **fresh})
    except OSError as error:
        logger.warning("model hashes cannot be remembered in %s (%s): they are computed at each start", store, error)
