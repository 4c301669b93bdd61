"""A run in the published layout, in a folder of its own, and what it holds in a form that versions are compared by."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from flows.versions.output_folder import CARD, MANIFEST, disk_errors, locked
from flows.versions.version import Version, open_version
from transforms.dataset.published import content_key, is_generated, shard_path, write_manifest, write_parquet
from transforms.dataset.shards import ContentHash, file_sha256
from transforms.errors import ConfigError, OutputError
from transforms.records.manifest import FileRecord, Manifest
from transforms.report.card import render_card, with_configs
from transforms.versions.semver import Contents

STAGING: Final = ".publish"


class Export(NamedTuple):
    """A version as it would be uploaded.

    Attributes:
        folder: holds the files.
        files: all of them with rows and hashes, manifest.json last.
        contents: what it is compared by.
        key: of the content; equal means that nothing is new.
    """

    folder: Path
    files: list[FileRecord]
    contents: Contents
    key: str

    @property
    def mark(self) -> str:
        """The line of a commit's message by which the content is found again."""
        return f"Content key: {self.key}"

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum((self.folder / file.path).stat().st_size for file in self.files)


@contextmanager
def staging(run: Path) -> Iterator[Path]:
    """An empty folder beside the run's files, on the same disk; the run is held for as long.

    Raises:
        OutputError: another process is at the run, or the disk is full.
    """
    if not run.is_dir():
        message = f"{run} is no folder; name one that flows.curate wrote, e.g. runs/starter"
        raise ConfigError(message)
    with locked(run), disk_errors(run):
        folder = run / STAGING
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def export_run(run: Path, folder: Path, repo: str) -> Export:
    """Write the published files of a run.

    Args:
        run: folder of a finished run.
        folder: empty.
        repo: Hub id that it goes to; its card says how to load it from there.

    Raises:
        SourceError: no finished run there, or shards that are not those it wrote.
        ConfigError: a folder that was published already.
        OutputError: a page that was changed after the run.
    """
    version = open_version(str(run.resolve()))
    if any(file.path.endswith(".parquet") for files in version.tables.values() for file in files):
        message = f"{run} is a published version and no run; name the folder that flows.curate wrote"
        raise ConfigError(message)
    files = [file for table in version.tables for file in _export_table(version, table, folder)]
    shards = {file.path for table in version.tables.values() for file in table}
    # What a section `generate` made is a run of its own, with paths of this machine in its manifest: it stays here.
    pages = [page for page in version.manifest.files if page.path not in shards and not is_generated(page.path)]
    files += [_copy_page(run, folder, page) for page in pages if page.path != CARD]
    files += [_write_card(run, folder, page, version.manifest, files, repo) for page in pages if page.path == CARD]
    write_manifest(folder / MANIFEST, version.manifest, files)
    files.append(FileRecord(path=MANIFEST, rows=0, sha256=file_sha256(folder / MANIFEST)))
    contents = contents_of(version)
    return Export(folder, files, contents, content_key(version.manifest, contents.rows))


def contents_of(version: Version) -> Contents:
    """What versions are compared by. Every row is read once, and ids of kept pairs are all that stays.

    Raises:
        SourceError: as `Version.batches`.
    """
    columns, rows, kept = {}, {}, set()
    for table in sorted(version.tables):
        content = None
        for batch in version.batches(table):
            if content is None:
                columns[table] = {field.name: str(field.type) for field in batch.schema}
                content = ContentHash(batch.schema)
            content.update(batch)
            if table in version.splits:
                kept.update(batch["pair_id"].to_pylist())
        if content is not None:
            rows[table] = content.hexdigest()
    return Contents(version.manifest, columns, rows, frozenset(kept))


def _export_table(version: Version, table: str, folder: Path) -> list[FileRecord]:
    shards = list(zip(version.tables[table], version.paths(table), strict=True))
    records = []
    for number, (record, source) in enumerate(shards):
        path = shard_path(table, number, len(shards), is_split=table in version.splits)
        write_parquet(source, folder / path)
        records.append(FileRecord(path=path, rows=record.rows, sha256=file_sha256(folder / path)))
    return records


def _copy_page(run: Path, folder: Path, page: FileRecord) -> FileRecord:
    source, target = _page(run, page), folder / page.path
    if (found := file_sha256(source)) != page.sha256:
        message = f"{source} was changed after the run (sha256 {found[:12]}…, the manifest says {page.sha256[:12]}…)"
        raise OutputError(message)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return page


def _write_card(
    run: Path, folder: Path, page: FileRecord, manifest: Manifest, files: list[FileRecord], repo: str
) -> FileRecord:
    """Anew for the repository; one that somebody changed keeps its words, and names the published files."""
    source, target = _page(run, page), folder / page.path
    published = manifest.model_copy(update={"files": files})
    if file_sha256(source) == page.sha256:
        text = render_card(published, repo=repo)
    else:
        text = with_configs(source.read_text(encoding="utf-8"), published)
    target.write_text(text, encoding="utf-8")
    return page.model_copy(update={"sha256": file_sha256(target)})


def _page(run: Path, page: FileRecord) -> Path:
    source = run / page.path
    if not source.resolve().is_relative_to(run.resolve()) or not source.is_file():
        message = f"{run}: {page.path} is missing; curate again, or restore it"
        raise OutputError(message)
    return source
