"""A second place for a finished run, any fsspec path: complete there, or seen to be not.

A run is made on a local disk, which has locks and renames; object stores have neither. So it is copied when it is
finished, the manifest last. `.copying` lies there while it is, and stays behind where a copy broke off.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final

from flows.versions.output_folder import CONTRACT, MANIFEST
from transforms.asking.leases import is_local
from transforms.errors import OutputError, first_line, without_secrets

_COPYING: Final = ".copying"
logger = logging.getLogger(__name__)


def check_copy(url: str | None, folder: Path, fingerprint: str, *, overwrite: bool) -> None:
    """Refuse a place before a model is paid for.

    Args:
        url: folder or fsspec URL; None for a run that is not copied.
        folder: of the run itself.
        fingerprint: of the run that is to be copied there.
        overwrite: replace another run.

    Raises:
        OutputError: it cannot be reached, is the run's own folder or in it, or holds another run or files that are no
            run's.
    """
    if url is None:
        return
    shown = without_secrets(url)
    with _reached(url, "It is asked for before anything is computed"):
        store, root = _store(url)
        _refuse_own_folder(store, root, folder)
        if not store.exists(root):
            return
        manifest = _manifest(store, root)
        names = sorted(PurePosixPath(path).name for path in store.ls(root, detail=False) if path.rstrip("/") != root)
    if manifest is not None:
        if overwrite or manifest.get("fingerprint") == fingerprint:
            return
        message = (
            f"output.copy_to {shown} already holds another run ({manifest.get('name')}, version "
            f"{manifest.get('version')}); choose another place, or replace it with --output.overwrite true"
        )
        raise OutputError(message)
    if names and _COPYING not in names:
        message = f"output.copy_to {shown} is not empty and holds no run of this project (found "
        raise OutputError(message + f"{', '.join(names[:5])}); choose another place")


def copy_run(folder: Path, url: str) -> bool:
    """Copy a finished run.

    Args:
        folder: that holds it.
        url: folder or fsspec URL, which `check_copy` has seen.

    Returns:
        False where exactly this run lies there already.

    Raises:
        OutputError: it cannot be copied; the run itself is complete, and the same command copies it again.
    """
    content = (folder / MANIFEST).read_bytes()
    names = sorted(
        path.relative_to(folder).as_posix()  # also what the manifest does not list, as a dataset's own JSON
        for name in CONTRACT
        for path in (folder / name, *(folder / name).rglob("*"))
        if path.is_file()
    )
    with _reached(url, f"The run is complete in {folder}, and the same command tries to copy it again"):
        store, root = _store(url)
        if store.exists(f"{root}/{MANIFEST}") and store.cat_file(f"{root}/{MANIFEST}") == content:
            return False
        store.makedirs(root, exist_ok=True)
        store.pipe_file(f"{root}/{_COPYING}", b"")
        for name in (MANIFEST, *CONTRACT):
            if store.exists(f"{root}/{name}"):
                store.rm(f"{root}/{name}", recursive=True)
        for parent in sorted({f"{root}/{Path(name).parent.as_posix()}" for name in names}):
            store.makedirs(parent, exist_ok=True)
        store.put([str(folder / name) for name in names], [f"{root}/{name}" for name in names])
        store.pipe_file(f"{root}/{MANIFEST}", content)
        store.rm(f"{root}/{_COPYING}")
    size = sum((folder / name).stat().st_size for name in names)
    logger.info("copied to %s: %d files, %.1f MB", without_secrets(url), len(names) + 1, size / 1e6)
    return True


def _refuse_own_folder(store: Any, root: str, folder: Path) -> None:
    if not is_local(store):
        return
    place, own = Path(root).resolve(), folder.resolve()
    if place == own or place in own.parents or own in place.parents:
        message = f"it is output.dir ({folder}), or one of them lies in the other"
        raise ValueError(message)


def _store(url: str) -> tuple[Any, str]:
    import fsspec

    store, root = fsspec.core.url_to_fs(url)
    store.invalidate_cache()  # some remember a listing from before
    return store, root.rstrip("/")


def _manifest(store: Any, root: str) -> dict[str, Any] | None:
    """None where there is none; of a file that is not JSON, nothing is known."""
    path = f"{root}/{MANIFEST}"
    if not store.exists(path):
        return None
    try:
        found = json.loads(store.cat_file(path))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def _reached(url: str, otherwise: str) -> Iterator[None]:
    """Whatever a store raises inside is one message: each has errors of its own."""
    try:
        yield
    except Exception as error:
        message = f"output.copy_to {url} cannot be used: {first_line(error)}. {otherwise}"
        raise OutputError(without_secrets(message)) from error
