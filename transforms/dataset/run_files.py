"""Which files of a run's folder are its data: those that its manifest names, and nothing else that lies there.

The datasets library keeps what `map`, `filter` and `sort` make beside the shards that they read, under names that end
in .arrow too. Whoever took every Arrow file for a shard would read rows twice, and columns that the run never wrote.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import orjson
from pydantic import ValidationError

from transforms.records.manifest import FileRecord

# Arrow shards of a run, and Parquet shards of what was published. The name is also what keeps a path of a
# stranger's manifest inside its folder.
_SHARD: Final = re.compile(
    r"(?:dataset/(?P<split>\w+)|(?P<table>dropped|responses))/data-\d{5}-of-\d{5}\.arrow"
    r"|(?:data|dropped|responses)/(?P<published>\w+)-\d{5}-of-\d{5}\.parquet"
)
_OF_DATASETS: Final = re.compile(r"cache-[^/]+\.arrow")
# What `save_to_disk` writes beside shards. It repeats what the manifest says, and nothing here reads it.
_COMPANIONS: Final = ("state.json", "dataset_info.json", "dataset_dict.json")
_OF_SPLITS: Final = ("dataset/", "data/")
_SHOWN: Final = 3
logger = logging.getLogger(__name__)


def tables_of(files: Iterable[FileRecord]) -> dict[str, list[FileRecord]]:
    """A manifest's shards by table: its splits, dropped, responses; in the order of the manifest."""
    tables = defaultdict(list)
    for file in files:
        if match := _SHARD.fullmatch(file.path):
            tables[match["split"] or match["table"] or match["published"]].append(file)
    return dict(tables)


def splits_of(files: Iterable[FileRecord]) -> dict[str, list[FileRecord]]:
    """Those tables that hold the kept pairs."""
    return tables_of(file for file in files if file.path.startswith(_OF_SPLITS))


def named_files(manifest: bytes) -> list[FileRecord] | None:
    """The files that a manifest names, also one of another release; None for the manifest.json of somebody else.

    Raises:
        ValueError: no JSON, or files that are not told as this project tells them.
    """
    content = orjson.loads(manifest)
    if not isinstance(content, dict) or not {"files", "fingerprint", "version"} <= content.keys():
        return None
    try:
        return [FileRecord.model_validate(file) for file in content["files"]]
    except (ValidationError, TypeError) as error:
        message = "its list of files is of another version of this project"
        raise ValueError(message) from error


def data_folders(files: Iterable[FileRecord]) -> list[str]:
    """The folders that hold a manifest's shards, below the run's."""
    return sorted({file.path.split("/")[0] for file in files if _SHARD.fullmatch(file.path)})


def foreign_files(names: Iterable[str], files: Iterable[FileRecord]) -> list[str]:
    """Of the files in `data_folders`, those that neither the manifest names nor `save_to_disk` writes.

    Args:
        names: of all files there, relative to the run's folder.
        files: of the manifest.
    """
    known = {file.path for file in files}
    parts = {name: name.split("/") for name in names if name not in known}
    return sorted(
        name
        for name, path in parts.items()
        if path[-1] not in _COMPANIONS and not any(part.startswith(".") for part in path)
    )


def files_below(folder: Path, files: Iterable[FileRecord]) -> list[str]:
    """All files in the `data_folders` of a local run, relative to its folder."""
    found = (path for name in data_folders(files) for path in (folder / name).rglob("*") if path.is_file())
    return [path.relative_to(folder).as_posix() for path in found]


def say_foreign(where: str, names: Sequence[str]) -> None:
    """One line of the log for files among a run's data that are not its own: they are not read."""
    if names:
        _say_once(where, tuple(names))


@cache  # a flow looks at its run when it plans and again when it works
def _say_once(where: str, names: tuple[str, ...]) -> None:
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    left = any(_OF_DATASETS.fullmatch(name.rsplit("/", 1)[-1]) for name in names)
    why = ", left by map, filter or sort of datasets" if left else ""
    logger.warning("%s: not of this run and not read%s: %s", where, why, shown)
