"""The folder of an export, which appears whole or not at all, and what is printed of it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from flows.export.export import Choices, write_files
from flows.export.readme import end_of_turn, generation_in_words, in_words, render_readme, threshold_in_words
from flows.recipe.curation import GENERATED_FOLDER
from flows.versions.output_folder import CARD, EXPORTS, LOCK, MANIFEST, disk_errors, locked
from flows.versions.version import GeneratedVersion, Version
from transforms.errors import ConfigError, OutputError
from transforms.records.export import ExportRecord

NUMBERS: Final = "export.json"


def export(version: Version | GeneratedVersion, choices: Choices, out: Path | None) -> tuple[ExportRecord, Path]:
    """Write an export; one that lies there is replaced, and stays where this one fails.

    Args:
        version: of a run, a generation, a published folder or the Hub.
        choices: what is asked for.
        out: the folder; None for the run's own.

    Returns:
        Its numbers, and the folder.

    Raises:
        ConfigError: as `write_files`; a Hub dataset without a folder to write to.
        OutputError: files that no export left there, another process at the run, or the disk.
    """
    if out is None and version.commit is not None:
        message = f"{version.where} is on the Hub; name a folder to write to with --out"
        raise ConfigError(message)
    with staged(version.where, out) as (staging, folder):
        record = write_files(version, choices, staging)
        (staging / CARD).write_text(render_readme(record), encoding="utf-8")
        (staging / NUMBERS).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return record, folder


@contextmanager
def staged(where: str, out: Path | None) -> Iterator[tuple[Path, Path]]:
    """An empty folder to write an export into, and the folder whose place it takes if nothing goes wrong.

    Args:
        where: the run lies that is exported.
        out: the folder; None for the run's own.

    Raises:
        OutputError: as `export`.
    """
    run = None if out else _whose(Path(where).expanduser())
    folder = out.expanduser() if out else Path(where).expanduser() / EXPORTS
    # Whoever makes this run anew removes what is exported of it.
    with locked(run) if run else nullcontext():
        with _whole(folder) as empty:
            yield empty, folder
        if run:
            (run / LOCK).unlink(missing_ok=True)


def print_export(console: Console, record: ExportRecord, folder: Path) -> None:
    """A line a file, the threshold, and what a trainer would do at the end of the responses."""
    table = Table(title=f"rows of {len(record.files)} files in {folder}", title_justify="left", highlight=False)
    for name in ("file", "rows in", "written", "left out", "no end-of-turn"):
        is_text = name in ("file", "left out")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name == "file")
    for file in record.files:
        ends = f"{file.without_end:,} of {file.responses:,}"
        path = file.path or f"{file.layout}, {file.split}: no file"
        table.add_row(path, f"{file.rows_in:,}", f"{file.rows:,}", in_words(file.left_out), ends)
    console.print(table)
    if record.generation:
        console.print(generation_in_words(record.generation).replace("`", ""), highlight=False, markup=False)
    for sentence in threshold_in_words(record.threshold) if record.threshold else ():
        console.print(sentence, highlight=False, markup=False)
    for sentence in end_of_turn(record):
        plain = sentence.replace("**", "").replace("`", "")
        console.print(plain, style="yellow" if "all the same" in plain else "", highlight=False, markup=False)
    console.print(f"what each file is: {folder / CARD}", highlight=False, markup=False)


def _whose(run: Path) -> Path:
    """The folder whose files come and go with those of `run`: a generation may be a part of a curated run."""
    above = run.resolve().parent
    return above if run.resolve().name == GENERATED_FOLDER and (above / MANIFEST).is_file() else run


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` if nothing goes wrong."""
    staging, old = (folder.with_name(f".{folder.name}.{ending}") for ending in ("new", "old"))
    with disk_errors(folder.parent):
        _refuse_others(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in (staging, old):
            shutil.rmtree(left, ignore_errors=True)
        staging.mkdir()
        try:
            yield staging
            for layout in [path for path in staging.iterdir() if path.is_dir() and not any(path.iterdir())]:
                layout.rmdir()
            if folder.exists():
                folder.replace(old)
            staging.replace(folder)
        finally:
            for left in (staging, old):
                shutil.rmtree(left, ignore_errors=True)


def _refuse_others(folder: Path) -> None:
    if folder.is_dir():
        names = sorted(path.name for path in folder.iterdir())
        if not names or NUMBERS in names:
            return
        found = f"is not empty and holds no export (found {', '.join(names[:5])})"
    elif folder.exists():
        found = "is a file"
    else:
        return
    message = f"{folder} {found}; name another folder with --out"
    raise OutputError(message)
