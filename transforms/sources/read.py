"""A recipe's `path` → raw rows: a Hub id, a local file or folder, or any fsspec URL; a few rows at a time."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import fsspec

from transforms.dataset.run_files import data_folders, foreign_files, named_files, say_foreign, splits_of
from transforms.errors import SourceError
from transforms.sources.adapter import BadRow, Row
from transforms.sources.files import BATCH_ROWS, ENDINGS, TEXT_ENDINGS, ending_of, read_file
from transforms.sources.options import SourceOptions
from transforms.sources.tables import JsonColumns, rows_of
from transforms.tables.pandas_later import take_pandas_back

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_READ_BYTES: Final = 1 << 20


class Fingerprint(NamedTuple):
    """What a source holds. `revision` is the commit of a Hub dataset, None for files."""

    revision: str | None
    fingerprint: str


class _Files(NamedTuple):
    filesystem: Any
    paths: list[str]
    stated: Mapping[str, str] = MappingProxyType({})  # path → sha256, where a run's manifest states it


def is_hub_id(path: str) -> bool:
    """Whether `path` names a Hub dataset: a bare `org/name` without the ending of a data file."""
    return _HUB_ID.fullmatch(path) is not None and not ending_of(path)[0]


def fingerprint(options: SourceOptions) -> Fingerprint:
    """Return what the source holds now: a commit for the Hub, else sha256 over the content of its files.

    Files are read once for it, remote ones too: dates and sizes do not tell content. To read exactly what
    was fingerprinted, put `revision` into the options that go to `read_rows`.

    Raises:
        SourceError: missing or unreadable.
    """
    if is_hub_id(options.path):
        commit = str(_hub_builder(options).hash)
        if not _COMMIT.fullmatch(commit):
            message = f"{options.path}: the Hub cannot be reached and only a cached copy is known; try again online"
            raise SourceError(message)
        return Fingerprint(commit, commit)
    digest = hashlib.sha256()
    files = _files(options)
    for path in files.paths:
        digest.update(bytes.fromhex(checked_sha256(files.filesystem, path, files.stated.get(path))))
    return Fingerprint(None, digest.hexdigest())


def read_rows(options: SourceOptions) -> Iterator[Row | BadRow]:
    """Yield the first `limit` raw rows; a row that cannot be read comes as a BadRow in its place.

    Raises:
        SourceError: the source as a whole is missing or unreadable.
    """
    return islice(_all_rows(options), options.limit)


def _all_rows(options: SourceOptions) -> Iterator[Row | BadRow]:
    if is_hub_id(options.path):
        yield from _hub_rows(options)
        return
    files = _files(options)
    for path in files.paths:
        if path in files.stated:
            checked_sha256(files.filesystem, path, files.stated[path])
        yield from read_file(files.filesystem, path)


def checked_sha256(filesystem: Any, path: str, stated: str | None) -> str:
    """Hash of a file, which is the one that the run's manifest states; None where none does.

    Raises:
        SourceError: it is another, or the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with filesystem.open(path, "rb") as raw:
            while chunk := raw.read(_READ_BYTES):
                digest.update(chunk)
    except OSError as error:
        message = f"{path}: cannot be read: {type(error).__name__}: {error}"
        raise SourceError(message) from error
    found = digest.hexdigest()
    if stated not in (None, found):
        message = (
            f"{path} has sha256 {found[:12]}…, the run's manifest says {stated[:12]}…: this is not what the run wrote. "
            "Curate or publish again, or restore it"
        )
        raise SourceError(message)
    return found


def _files(options: SourceOptions) -> _Files:
    path = options.path
    if "://" not in path:
        path = os.path.expanduser(path)  # noqa: PTH111 - Path would drop the leading ./ that decides
        local = path.startswith(("/", "./", "../")) or path in (".", "..")
        local = local or os.path.isfile(path)  # noqa: PTH113 - Path's raises where a name is too long
        if not local and not ending_of(path)[0]:
            message = (
                f"path {options.path!r} is neither a Hub id (org/name) nor a file ending in one of"
                f" {', '.join(ENDINGS)}; write ./{options.path} for a local file or folder"
            )
            raise SourceError(message)
        path = Path(path).resolve().as_uri()
    try:
        filesystem, root = fsspec.core.url_to_fs(path)
        if filesystem.isfile(root):
            return _Files(filesystem, [_data_file(root, options.path)])
        if not filesystem.isdir(root):
            message = f"{options.path}: no such file or folder"
            raise SourceError(message)
        root = root.rstrip("/")
        return _run(filesystem, root, options) or _Files(filesystem, _folder(filesystem, root, options))
    except (OSError, ValueError, ImportError) as error:
        message = f"{options.path}: cannot be read: {type(error).__name__}: {error}"
        raise SourceError(message) from error


def _data_file(path: str, shown: str) -> str:
    if not ending_of(path)[0]:
        message = f"{shown}: a file of unknown format; expected an ending of {', '.join(ENDINGS)}"
        raise SourceError(message)
    return path


def _run(filesystem: Any, root: str, options: SourceOptions) -> _Files | None:
    """The shards of one split that a run's manifest names: it stands for the pairs that it kept. None without a run."""
    if not filesystem.isfile(f"{root}/manifest.json"):
        if filesystem.isdir(f"{root}/.work"):
            message = f"{options.path}: the run in it died or is not done (no manifest.json); run it again first"
            raise SourceError(message)
        return None
    try:
        named = named_files(filesystem.cat_file(f"{root}/manifest.json"))
    except ValueError as error:
        message = f"{options.path}: its manifest.json cannot be read: {error}. Restore it, or curate again"
        raise SourceError(message) from error
    if named is None:  # somebody else's
        if options.kind == "curated":  # type: ignore[attr-defined]  # each kind's options have it
            message = f"{options.path}: its manifest.json is none of this project; expected the folder of a run"
            raise SourceError(message)
        return None
    splits = splits_of(named)
    if options.split not in splits:
        message = f"{options.path}: has the splits {', '.join(splits)}; expected split {options.split!r}"
        raise SourceError(message)
    names = [
        name.removeprefix(f"{root}/") for folder in data_folders(named) for name in filesystem.find(f"{root}/{folder}")
    ]
    say_foreign(options.path, foreign_files(names, named))
    stated = {f"{root}/{file.path}": file.sha256 for file in splits[options.split]}
    return _Files(filesystem, list(stated), stated)


def _folder(filesystem: Any, root: str, options: SourceOptions) -> list[str]:
    if filesystem.isfile(f"{root}/dataset_dict.json"):
        splits = json.loads(filesystem.cat_file(f"{root}/dataset_dict.json"))["splits"]
        if options.split not in splits:
            message = f"{options.path}: has the splits {', '.join(splits)}; expected split {options.split!r}"
            raise SourceError(message)
        root = f"{root}/{options.split}"
    if filesystem.isfile(f"{root}/state.json"):
        # What save_to_disk writes. Only names count: a path in it must not lead out of the folder.
        entries = json.loads(filesystem.cat_file(f"{root}/state.json"))["_data_files"]
        return [f"{root}/{Path(entry['filename']).name}" for entry in entries]
    names = sorted(
        name
        for name in filesystem.find(root)
        if not any(part.startswith((".", "_")) for part in name.removeprefix(root).split("/"))
    )
    data = [name for name in names if ending_of(name)[0] not in ("", ".json")]
    # A .json beside other formats describes them; alone it is data.
    found = data or [name for name in names if ending_of(name)[0]]
    if not found:
        message = f"{options.path}: a folder without data files; expected one of {', '.join(ENDINGS)}"
        raise SourceError(message)
    return found


def _hub_builder(options: SourceOptions) -> Any:
    import datasets  # 2 s, and only the Hub needs it

    take_pandas_back()  # it makes tables of data frames

    try:
        # With hf:// a folder org/name in the working directory cannot take the Hub dataset's place.
        return datasets.load_dataset_builder(f"hf://datasets/{options.path}", options.name, revision=options.revision)
    except Exception as error:
        raise _hub_error(options, error) from error


def _hub_rows(options: SourceOptions) -> Iterator[Row | BadRow]:
    try:
        builder = _hub_builder(options)
        if builder.info.splits and options.split not in builder.info.splits:
            found = ", ".join(builder.info.splits)
            message = f"{options.path}: has the splits {found}; expected split {options.split!r}"
            raise SourceError(message)
        if lines := _json_files(builder, options.split):
            for url in lines:
                filesystem, path = fsspec.core.url_to_fs(url)
                yield from read_file(filesystem, path)
            return
        stream = builder.as_streaming_dataset(split=options.split).with_format("arrow")
        columns = None
        for table in stream.iter(batch_size=BATCH_ROWS):
            columns = columns or JsonColumns(table.schema)
            for batch in table.to_batches():
                yield from rows_of(batch, columns)
    except SourceError:
        raise
    except Exception as error:
        raise _hub_error(options, error) from error


def _json_files(builder: Any, split: str) -> list[str]:
    """A split's files where all are JSON lines: they are read here, row by row.

    datasets would make one table of them, for which one `N/A` in a column of numbers, or one message with one more key,
    changes every row.
    """
    files = [str(url) for url in (getattr(builder.config, "data_files", None) or {}).get(split, ())]
    readable = getattr(builder.config, "field", None) is None and all(
        ending_of(url)[0] in TEXT_ENDINGS for url in files
    )
    return files if readable else []


def _hub_error(options: SourceOptions, error: Exception) -> SourceError:
    revision = f" at revision {options.revision}" if options.revision else ""
    reason = f"{type(error).__name__}: {str(error).rstrip('.')}"
    advice = f"For local data write ./{options.path}"
    return SourceError(f"{options.path}{revision}: cannot be read from the Hub: {reason}. {advice}")
