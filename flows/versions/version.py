"""One version of a curated dataset, wherever it lies: the folder of a run, a published folder, or the Hub.

Its manifest says which files belong to it, and no table is handed out before its files have the manifest's hashes. The
folder of a generation is read in the same way (`open_any`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from flows.recipe.curation import Recipe
from flows.recipe.generation import Generation
from flows.versions.output_folder import MANIFEST, WORK, read_either, read_manifest
from transforms.dataset.run_files import files_below, foreign_files, say_foreign, tables_of
from transforms.dataset.shards import BATCH_ROWS, file_sha256
from transforms.errors import ConfigError, SourceError, first_line
from transforms.records.generation import GenerationManifest
from transforms.records.manifest import FileRecord, Manifest
from transforms.sources.read import is_hub_id

QUARANTINE: Final = "quarantine.jsonl"
RESPONSES: Final = "responses"  # the one table that holds no pairs
_Recipe = TypeVar("_Recipe", Recipe, Generation)
STARTER: Final = Path("runs/starter")  # where flows/configs/starter.yaml goes
_ATTEMPTS: Final = 4  # at what is read: seven seconds, where publishing is worth minutes


@dataclass(frozen=True)
class Shards:
    """Tables that have been found; they are fetched and checked when they are asked for.

    Attributes:
        where: as the user named it.
        commit: of a Hub id, None for a folder.
        tables: files of each table by its name: train, test, dropped, responses.
    """

    where: str
    commit: str | None
    tables: dict[str, list[FileRecord]]
    _fetch: Callable[[str], Path] = field(repr=False, compare=False)

    def paths(self, table: str) -> list[Path]:
        """The table's local files, downloaded if they are on the Hub; Arrow streams of a run, else Parquet.

        Raises:
            SourceError: there is no such table, or a file is missing, unreachable or not the manifest's.
        """
        if table not in self.tables:
            message = f"{self.where} has no table {table!r}; it has {', '.join(self.tables) or 'none'}"
            raise SourceError(message)
        return [self._checked(file) for file in self.tables[table]]

    def read(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The whole table, or some of its columns.

        Raises:
            SourceError: as `all_batches`.
        """
        return pa.concat_tables(self.all_batches(table, columns))

    def batches(self, table: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The table's rows in order, about a thousand at a time; at least one table, which may be empty.

        Raises:
            SourceError: as `paths`, or a file that is no shard.
        """
        for path in self.paths(table):
            yield from _read(path, columns)

    def all_batches(self, table: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """As `batches`, and whoever reads to the end has read as many rows as the manifest says.

        Raises:
            SourceError: as `batches`, or a number of rows that is not the manifest's.
        """
        found = 0
        for batch in self.batches(table, columns):
            found += len(batch)
            yield batch
        rows = sum(file.rows for file in self.tables[table])
        if found != rows:
            message = f"{self.where}: {table} has {found:,} rows, its manifest says {rows:,}"
            raise SourceError(message)

    def _checked(self, file: FileRecord) -> Path:
        path = self._fetch(file.path)
        problem = None
        if not path.is_file():
            problem = "is missing"
        elif (found := file_sha256(path)) != file.sha256:
            problem = f"has sha256 {found[:12]}…, the manifest says {file.sha256[:12]}…"
        if problem:
            message = (
                f"{self.where}: {file.path} {problem}: this is not what the run wrote. Make or publish it again, or "
                "restore it"
            )
            raise SourceError(message)
        return path


@dataclass(frozen=True)
class Version(Shards):
    """A version of a curated dataset.

    Attributes:
        manifest: of the run.
    """

    manifest: Manifest

    @property
    def splits(self) -> list[str]:
        """Its tables of kept pairs, in the order of the manifest."""
        return [name for name in self.manifest.counts.splits if name in self.tables]

    @property
    def recipe(self) -> Recipe:
        """The recipe that made it.

        Raises:
            ConfigError: it is of another release, whose keys were others.
        """
        return recipe_of(self.manifest, self.where)

    def file(self, path: str) -> Path:
        """A file of the manifest that is no table, such as quarantine.jsonl; local, downloaded if it is on the Hub.

        Raises:
            SourceError: the version has no such file, or it is missing, unreachable or not the manifest's.
        """
        for file in self.manifest.files:
            if file.path == path:
                return self._checked(file)
        message = f"{self.where} has no {path}; its manifest names {len(self.manifest.files)} other files"
        raise SourceError(message)


@dataclass(frozen=True)
class GeneratedVersion(Shards):
    """What `python -m flows.generate` made: pairs in the table train, all that was answered in responses.

    Attributes:
        manifest: of the generation.
    """

    manifest: GenerationManifest

    @property
    def recipe(self) -> Generation:
        """The recipe that made it.

        Raises:
            ConfigError: it is of another release, whose keys were others.
        """
        return _recipe_of(Generation, self.manifest.config, self.where, "Generate")


def recipe_of(manifest: Manifest, where: str) -> Recipe:
    """The recipe that made a version.

    Args:
        manifest: of the version.
        where: that version lies, for the message.

    Raises:
        ConfigError: it is of another release, whose keys were others.
    """
    return _recipe_of(Recipe, manifest.config, where, "Curate")


def _recipe_of(kind: type[_Recipe], config: dict[str, Any], where: str, how: str) -> _Recipe:
    try:
        return kind.model_validate(config)
    except ValidationError as error:
        from flows.runtime.config_files import problems_in_words

        problems = problems_in_words(error, lambda at: ".".join(map(str, at)), found=False)
        message = (
            f"{where}: the recipe in its {MANIFEST} is of another version of this project ({problems}). "
            f"{how} again with this one, or use that one"
        )
        raise ConfigError(message) from error


def open_version(where: str, revision: str | None = None, *, token: str | None = None) -> Version:
    """Find a version; only its manifest is read.

    Args:
        where: folder of a run or of a published dataset (`./runs/NAME`), or a Hub id (`org/name`).
        revision: branch, tag or commit of a Hub id; `main` by default. Resolved to a commit here, once.
        token: of the Hub; HF_TOKEN or the Hub's login by default. Public datasets need none.

    Raises:
        SourceError: nothing there, a Hub id that cannot be reached, or files that no run of this project wrote.
        OutputError: a manifest that this project did not write.
    """
    if is_hub_id(where):
        return _on_the_hub(where, revision, token)
    return open_folder(_folder(where, revision), where)


def open_any(where: str, revision: str | None = None) -> Version | GeneratedVersion:
    """As `open_version`, and the folder of a finished generation, also one inside a curated run.

    Raises:
        SourceError: as `open_version`.
        OutputError: likewise.
    """
    if is_hub_id(where):
        return open_version(where, revision)
    folder = _folder(where, revision)
    manifest = read_either(folder)
    if manifest is None:
        raise SourceError(_no_run(folder, where, "flows.curate or flows.generate"))
    if isinstance(manifest, Manifest):
        return open_folder(folder, where)
    say_foreign(where, foreign_files(files_below(folder, manifest.files), manifest.files))
    return GeneratedVersion(where, None, tables_of(manifest.files), lambda path: folder / path, manifest)


def _folder(where: str, revision: str | None) -> Path:
    if revision is not None:
        message = f"{where} is a folder, so leave out revision {revision!r}"
        raise SourceError(message)
    return Path(where).expanduser()


def open_folder(folder: Path, where: str | None = None) -> Version:
    """The version in a folder. Files among its data that the manifest does not name are told in the log, once.

    Args:
        folder: of a run or of a published dataset.
        where: as the user named it.

    Raises:
        SourceError: no finished run there.
        OutputError: a manifest that this project did not write, or another release of it.
    """
    where = where or str(folder)
    manifest = read_manifest(folder)
    if manifest is None:
        raise SourceError(_no_run(folder, where))
    say_foreign(where, foreign_files(files_below(folder, manifest.files), manifest.files))
    return Version(where, None, tables_of(manifest.files), lambda path: folder / path, manifest)


def _no_run(folder: Path, where: str, of: str = "flows.curate") -> str:
    """What is there instead, and what to name."""
    forms = "a folder is written ./runs/NAME, a dataset on the Hub org/name"
    none = f"{where} holds no finished run of {of} (no {MANIFEST})"
    if not folder.is_dir():
        # What the shipped trainings and comparisons name, and a fresh clone has not.
        made = "; make curate (or python -m flows.curate) makes it" if folder == STARTER else ""
        return f"{none}: {'it is a file' if folder.exists() else 'there is no such folder'}{made}; {forms}"
    for above in folder.resolve().parents[:2]:
        if (above / MANIFEST).is_file():
            return f"{none}, but {above} does: name that folder"
    if (folder / WORK).is_dir():
        return f"{none}: the run in it died or is not done. Run the same {of} again; what it paid for is kept"
    first = "Curate" if of == "flows.curate" else "Curate or generate"
    found = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    what = f"it holds {', '.join(found[:5])}" if found else "it is empty"
    return f"{none}: {what}. {first} first, or name another; {forms}"


def _on_the_hub(repo: str, revision: str | None, token: str | None) -> Version:
    from flows.hub.patience import Patience  # 0.5 s, and only the Hub needs it
    from flows.hub.repository import Hub
    from flows.hub.token import hub_token

    hub = Hub(repo, token=token or hub_token(), patience=Patience(attempts=_ATTEMPTS), error=SourceError)
    try:
        commit = hub.resolve(revision)
    except SourceError as error:
        # A folder in the working directory never takes the Hub's place; but whoever meant one wants to know.
        here = f"; ./{repo} is a folder here: name it so" if Path(repo).is_dir() else f"; a folder is written ./{repo}"
        message = f"{str(error).removesuffix('; a folder is written ./NAME').rstrip('.')}{here}"
        raise SourceError(message) from error
    try:
        manifest = Manifest.model_validate_json(hub.download(commit, MANIFEST).read_bytes())
    except ValidationError as error:
        message = f"{repo} at {commit[:12]}: its {MANIFEST} is none of this version ({error.error_count()} problems)"
        raise SourceError(message) from error
    return Version(repo, commit, tables_of(manifest.files), partial(hub.download, commit), manifest)


def _read(path: Path, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    try:
        if path.suffix == ".parquet":
            file = pq.ParquetFile(path)
            schema = pa.schema([(field.name, _plain(field.type)) for field in file.schema_arrow])
            wanted = schema.names if columns is None else list(columns)
            chosen = pa.schema([schema.field(name) for name in wanted])
            yield chosen.empty_table()
            for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
                yield pa.Table.from_batches([batch]).select(wanted).cast(chosen)
        else:
            with pa.OSFile(str(path)) as raw, pa.ipc.open_stream(raw) as stream:
                wanted = stream.schema.names if columns is None else list(columns)
                yield stream.schema.empty_table().select(wanted)
                for batch in stream:
                    yield pa.Table.from_batches([batch]).select(wanted)
    except (pa.ArrowException, KeyError) as error:
        message = f"{path} cannot be read: {first_line(error).rstrip('.')}"
        raise SourceError(message) from error


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type as a run writes it: Parquet calls what is in a list `element`, Arrow calls it `item`."""
    if pa.types.is_list(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _plain(field.type)) for field in kind])
    return kind
