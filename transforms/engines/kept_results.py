"""What is slow to find out and follows from its key alone, kept as JSON in the cache directory."""

import contextlib
import json
import logging
import os
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from transforms.paths import cache_dir

logger = logging.getLogger(__name__)


def kept_result(kind: str, *key: str) -> Any:
    """What `keep_result` kept; None where there is nothing, or nothing that can be read."""
    return read_json(_path(kind, key))


def keep_result(kind: str, *key: str, content: Any) -> None:
    """Keep a result. Where the cache cannot be written it is found anew each time.

    Args:
        kind: folder in the cache directory.
        key: all that decides the result.
        content: the result, as JSON has it.
    """
    path = _path(kind, key)
    try:
        write_json(path, content)
    except OSError as error:
        logger.debug("cannot be kept in %s: %s", path.parent, error)


def read_json(path: Path) -> Any:
    """The content of a JSON file; None where there is none, or none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file by rename, so that whoever reads it meanwhile finds all of the old or all of the new one.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
        Path(partial).replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(partial).unlink()


def _path(kind: str, key: tuple[str, ...]) -> Path:
    return cache_dir() / kind / f"{sha256(json.dumps(key).encode()).hexdigest()}.json"
