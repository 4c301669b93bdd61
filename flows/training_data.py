"""Pairs to train on, exactly as a run wrote them: its manifest is held against its shards before anything is read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from flows.output import MANIFEST, read_manifest
from flows.training_config import DatasetConfig, Kept
from trainers.pair_tokens import some
from transforms.errors import SchemaError, SourceError
from transforms.judge import OF_THE_CUT
from transforms.manifest import FileRecord, Manifest
from transforms.schema import CURATED, RESPONSES, check
from transforms.shards import ContentHash, file_sha256, in_test_split, version_of
from transforms.sources.curated import CuratedOptions
from transforms.sources.read import fingerprint, is_hub_id
from transforms.tokens import Offsets, Ragged
from transforms.truncation import Truncation, keeps

SPLITS: Final[tuple[str, ...]] = ("train", "test")
_NULLABLE: Final = pa.schema([field.with_nullable(True) for field in CURATED])  # as shards have it


class FoundRun(NamedTuple):
    """A curated run that has been found and not yet read."""

    dataset: DatasetConfig
    manifest: Manifest
    revision: str | None  # commit of a Hub id

    @property
    def content(self) -> dict[str, Any]:
        """What decides the rows, beside the keys of `dataset`."""
        # The version is of kept pairs alone.
        beside = {"dropped/": self.dataset.pairs, "responses/": self.dataset.responses}
        shards = [file.sha256 for below, wanted in beside.items() if wanted == "all" for file in self.files(below)]
        return {"version": self.manifest.version, "revision": self.revision, "shards": shards}

    def files(self, below: str) -> list[FileRecord]:
        """Those of the manifest in a folder."""
        return [file for file in self.manifest.files if file.path.startswith(below)]


class KeptTable(NamedTuple):
    """Pairs with the keeps that training asks for."""

    table: pa.Table
    cut_by_context: int  # responses that only the context limit cut


def find_run(dataset: DatasetConfig) -> FoundRun:
    """The run that `dataset` names; only its manifest is read.

    Raises:
        SourceError: no finished run there, or a Hub id that cannot be reached.
        OutputError: a manifest that this project did not write.
    """
    if is_hub_id(dataset.path):
        options = CuratedOptions(kind="curated", path=dataset.path, revision=dataset.revision)
        commit = fingerprint(options).revision
        return FoundRun(dataset, _hub_manifest(dataset.path, commit), commit)
    if dataset.revision is not None:
        message = f"dataset.path {dataset.path} is a folder, so leave out revision {dataset.revision!r}"
        raise SourceError(message)
    manifest = read_manifest(Path(dataset.path).expanduser())
    if manifest is None:
        message = (
            f"{dataset.path} holds no finished run of flows.curate (no {MANIFEST}). Curate first, or name another "
            "--dataset.path; a folder is written ./runs/NAME"
        )
        raise SourceError(message)
    return FoundRun(dataset, manifest, None)


def read_splits(found: FoundRun) -> dict[str, pa.Table]:
    """The run's pairs by split, schema.CURATED; those that `dataset` asks for.

    Raises:
        SourceError: shards are missing, or are not those of the manifest.
        SchemaError: a column is missing or of another type.
    """
    splits = [split for split in SPLITS if split in found.manifest.counts.splits]
    tables = _hub_splits(found, splits) if found.revision else _local_splits(found, splits)
    for split, table in tables.items():
        expected = found.manifest.counts.splits[split]
        if len(table) != expected:
            message = f"{found.dataset.path}: {split} has {len(table):,} rows, its manifest says {expected:,}"
            raise SourceError(message)
    if found.dataset.pairs == "all" or found.dataset.test_size is not None:
        tables = _split_anew(found, list(tables.values()))
    return {split: table for split, table in tables.items() if split in found.dataset.splits}


def has_responses(found: FoundRun) -> bool:
    """Whether the run's responses table can be read: it has one, and lies in a folder."""
    return found.revision is None and bool(found.files("responses/"))


def read_responses(found: FoundRun) -> pa.Table:
    """Every response of the run's sources that have several a prompt, schema.RESPONSES.

    Raises:
        SourceError: shards are missing, or are not those of the manifest.
        SchemaError: a column is missing or of another type.
    """
    table = pa.concat_tables(_shards(found, "responses/"))
    check(table, RESPONSES, where=f"{found.dataset.path}, responses")
    return table


def with_kept(table: pa.Table, kept: Kept, *, max_length: int, where: str) -> KeptTable:
    """`table` with the keeps that `kept` means, none beyond `max_length` together with its prompt.

    Raises:
        SchemaError: a prompt leaves no room for a response; names the pairs.
    """
    lengths = {part: Ragged.from_arrow(table[f"{part}_ids"]).lengths for part in ("prompt", "chosen", "rejected")}
    sides = ("chosen", "rejected")
    if kept == "truncated":
        wanted = np.stack([table[f"{side}_keep"].to_numpy() for side in sides])
    else:
        rule = keeps(
            _truncation(kept),
            prompt_tokens=lengths["prompt"],
            chosen_tokens=lengths["chosen"],
            rejected_tokens=lengths["rejected"],
            chosen_finished=np.asarray(table["chosen_finished"]),
            rejected_finished=np.asarray(table["rejected_finished"]),
            max_length=None,
        )
        wanted = np.stack([rule.chosen, rule.rejected])
    check_room(table["pair_id"].to_pylist(), lengths["prompt"], max_length, where)
    kept_tokens = np.minimum(wanted, max_length - lengths["prompt"])
    for side, values in zip(sides, kept_tokens, strict=True):
        name = f"{side}_keep"
        table = table.set_column(table.column_names.index(name), CURATED.field(name), pa.array(values, pa.int32()))
    return KeptTable(table, int((kept_tokens < wanted).sum()))


def check_room(names: Sequence[str], prompt_tokens: Offsets, max_length: int, where: str) -> None:
    """Raise SchemaError where a prompt leaves no room for one response token; names the pairs."""
    full = list(dict.fromkeys(name for name, taken in zip(names, prompt_tokens, strict=True) if taken >= max_length))
    if full:
        message = (
            f"{where}: the prompt fills all {max_length} tokens that may be read, in {len(full)} pairs: {some(full)}. "
            "Raise dataset.max_length, or leave them out with filters.max_prompt_tokens when curating"
        )
        raise SchemaError(message)


def _truncation(kept: Kept) -> Truncation:
    if isinstance(kept, float):
        return Truncation(method="ratio", ratio=kept)
    return Truncation(method="poet" if kept == "poet" else "none")


def _split_anew(found: FoundRun, tables: list[pa.Table]) -> dict[str, pa.Table]:
    """All rows that are wanted, by the hash of their prompts; in the order of their ids."""
    if found.dataset.pairs == "all":
        tables = [*tables, _dropped_by_the_cut(found)]
    together = pa.concat_tables(tables).sort_by("pair_id")
    ids = together["pair_id"].to_numpy()
    # A pair that the cut made useless was dropped before duplicates were looked for.
    together = together.filter(pa.array(np.append(True, ids[1:] != ids[:-1])[: len(ids)], pa.bool_()))
    size = found.dataset.test_size
    if size is None:
        size = found.manifest.config["output"]["test_size"]
    test = pa.array([in_test_split(key, size) for key in together["pair_id"].to_pylist()], pa.bool_())
    return {"train": together.filter(pc.invert(test)), "test": together.filter(test)}


def _dropped_by_the_cut(found: FoundRun) -> pa.Table:
    path = found.dataset.path
    if found.revision is not None:
        message = (
            f"{path} is on the Hub, and a published run has no dropped pairs: dataset.pairs: all needs the folder "
            "that the run wrote (./runs/NAME)"
        )
        raise SourceError(message)
    table = pa.concat_tables([_NULLABLE.empty_table(), *_shards(found, "dropped/")])
    check(table, CURATED, where=f"{path}, dropped")
    return table.filter(pc.is_in(table["reason"], pa.array(OF_THE_CUT)))


def _local_splits(found: FoundRun, splits: list[str]) -> dict[str, pa.Table]:
    tables = {split: pa.concat_tables(_shards(found, f"dataset/{split}/")) for split in splits}
    for split, table in tables.items():
        check(table, CURATED, where=f"{found.dataset.path}, {split}")
    return tables


def _shards(found: FoundRun, below: str) -> list[pa.Table]:
    folder = Path(found.dataset.path).expanduser()
    return [_shard(folder, file) for file in found.files(below)]


def _shard(folder: Path, file: FileRecord) -> pa.Table:
    path = folder / file.path
    problem = None
    if not path.is_file():
        problem = "is missing"
    elif (found := file_sha256(path)) != file.sha256:
        problem = f"has sha256 {found[:12]}…, the manifest says {file.sha256[:12]}…"
    if problem:
        message = f"{path} {problem}: the shards are not those that the run wrote. Curate again, or restore them"
        raise SourceError(message)
    with pa.OSFile(str(path)) as source:
        return pa.ipc.open_stream(source).read_all()


def _hub_manifest(path: str, commit: str | None) -> Manifest:
    where = f"hf://datasets/{path}@{commit}/{MANIFEST}"
    try:
        with fsspec.open(where, "rb") as source:
            return Manifest.model_validate(json.load(source))
    except (OSError, ValueError, ValidationError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        message = f"{path} at {commit} has no {MANIFEST} of a curated run: {type(error).__name__}: {reason}"
        raise SourceError(message) from error


def _hub_splits(found: FoundRun, splits: list[str]) -> dict[str, pa.Table]:
    """The published rows; their content must give the version that the manifest names."""
    import datasets  # 2 s, and only the Hub needs it

    path = found.dataset.path
    try:
        loaded: Any = datasets.load_dataset(f"hf://datasets/{path}", revision=found.revision)
        tables = {split: loaded[split].with_format("arrow")[:].select(CURATED.names) for split in splits}
    except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
        message = f"{path} at {found.revision} cannot be read: {type(error).__name__}: {error}"
        raise SourceError(message) from error
    # What publishing made of the types (large lists, say) is undone: the version hashes values of these ones.
    tables = {split: table.cast(_NULLABLE) for split, table in tables.items()}
    contents = {split: ContentHash(CURATED) for split in splits}
    for split, table in tables.items():
        contents[split].update(table)
    version = version_of(contents)
    if version != found.manifest.version:
        message = (
            f"{path} at {found.revision}: its rows are version {version}, its manifest says {found.manifest.version}. "
            "Rows were changed after the run; publish it again"
        )
        raise SourceError(message)
    return tables
