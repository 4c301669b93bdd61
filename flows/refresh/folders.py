"""Where a refreshed dataset lies: the last run stays whole until another one is, and is published.

<dir>                    the last run; whoever trains reads here
<dir>.refresh/next       a run in the making, or one that is made and not published yet
<dir>.refresh/previous   the run before the last, to compare with
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flows.versions.output_folder import disk_errors, locked, read_manifest, refuse_other_files
from transforms.errors import OutputError


class Places(NamedTuple):
    """The folders of one dataset."""

    current: Path
    next: Path
    previous: Path


@contextmanager
def claimed(folder: Path, *, name: str, overwrite: bool) -> Iterator[Places]:
    """Hold a dataset's folders for one refresh.

    Args:
        folder: where the last run lies, or will.
        name: of the recipe; a run of another name is not replaced.
        overwrite: replace it all the same.

    Raises:
        OutputError: another refresh is at it, or the folder holds another run or files that are no run's.
    """
    beside = folder.with_name(f"{folder.name}.refresh")
    places = Places(folder, beside / "next", beside / "previous")
    with disk_errors(folder):
        beside.mkdir(parents=True, exist_ok=True)
    with locked(beside):
        if not folder.exists() and places.previous.exists():
            # A refresh died between the two renames of `promote`: this one will do both.
            places.previous.replace(folder)
        if folder.exists():
            _refuse_foreign(folder, name, overwrite=overwrite)
        yield places


def clear(place: Path) -> None:
    """Remove a finished run that nobody wants any more."""
    if read_manifest(place) is not None:
        shutil.rmtree(place)


def promote(places: Places) -> None:
    """Let the next run be the current one, and the current one the previous one.

    Raises:
        OutputError: another process is writing to the current one.
    """
    with disk_errors(places.current):
        if places.current.exists():
            with locked(places.current):
                shutil.rmtree(places.previous, ignore_errors=True)
                places.current.replace(places.previous)
        places.next.replace(places.current)


def _refuse_foreign(folder: Path, name: str, *, overwrite: bool) -> None:
    manifest = read_manifest(folder)
    if manifest is None:
        refuse_other_files(folder)
    elif manifest.name != name and not overwrite:
        message = (
            f"{folder} holds the run {manifest.name!r} (version {manifest.version}), and this recipe is called "
            f"{name!r}; choose another output.dir, or replace it with output.overwrite: true"
        )
        raise OutputError(message)
