"""Model folders that this project makes in its cache: there when whole, and not before."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_PARTIAL: Final = ".partial-"
_DEAD_AFTER: Final = 3600  # seconds without a write


def make_folder(folder: Path, make: Callable[[Path], None]) -> None:
    """Have a folder filled under another name, then renamed.

    Two processes may race: each fills a folder of its own, the first rename wins. A killed one leaves only a
    `.partial-` folder, which never counts and is removed by a later call.

    Args:
        folder: what is to be there afterwards; what it holds follows from its name.
        make: fills the folder that it is given with files.

    Raises:
        OSError: it cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder.parent)
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder.parent))
    try:
        make(partial)
        _move_into_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _move_into_place(partial: Path, folder: Path) -> None:
    partial.chmod(0o755)  # mkdtemp makes it 0700; the cache may be shared by users
    for file in partial.iterdir():
        file.chmod(0o644)
    try:
        partial.rename(folder)  # refuses a folder that is not empty: another process was first
    except OSError:
        if not folder.is_dir():
            raise


def _remove_leftovers(parent: Path) -> None:
    alive_since = time.time() - _DEAD_AFTER
    for leftover in parent.glob(f"{_PARTIAL}*"):
        with contextlib.suppress(FileNotFoundError):
            # A folder's own time is that of its last new file, and one of 140 GB is written for long.
            if max(path.stat().st_mtime for path in (leftover, *leftover.iterdir())) < alive_since:
                shutil.rmtree(leftover, ignore_errors=True)
