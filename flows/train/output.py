"""The folder of a training: checkpoints while it runs, the model when it is done, training.json last.

checkpoints/     gone when it is done, unless `keep_checkpoints` says otherwise
model/
metrics.jsonl    a line a step and a measurement
training.html    them as curves
training.json
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from flows.train.record import TrainingRecord
from flows.versions.output_folder import LOCK, WORK, disk_errors, locked, write_text
from flows.versions.run_record import QUARANTINE
from transforms.errors import OutputError

RECORD: Final = "training.json"
MODEL: Final = "model"
METRICS: Final = "metrics.jsonl"
PAGE: Final = "training.html"
CHECKPOINTS: Final = "checkpoints"


def read_record(folder: Path) -> TrainingRecord | None:
    """What a finished training says of itself, None where there is none.

    Raises:
        OutputError: a training.json that this project did not write.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        return TrainingRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        message = f"{path} is not a training of this version ({error.error_count()} problems); choose another "
        raise OutputError(message + "output.dir, or remove the folder") from error


def finished_training(folder: Path, fingerprint: str) -> TrainingRecord | None:
    """The record of the finished training of exactly these inputs, if it lies in `folder`."""
    record = read_record(folder)
    if record is None or record.fingerprint != fingerprint:
        return None
    return record if (folder / MODEL).is_dir() and (folder / METRICS).is_file() else None


@contextmanager
def training_folder(folder: Path, *, fingerprint: str, overwrite: bool, resume: bool) -> Iterator[Path]:
    """Claim `folder` for one training and yield its empty work folder.

    Checkpoints of a training that is not done stay unless `resume` is off; those that a finished one left are no place
    to go on from.

    Raises:
        OutputError: another process is at it, it holds another training, or files that are no training's.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        _refuse_foreign(folder, fingerprint, overwrite=overwrite)
        anew = not resume or (folder / RECORD).is_file()
        with disk_errors(folder):
            if anew:
                shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
            # The record goes first: from here on the folder holds no finished training.
            (folder / RECORD).unlink(missing_ok=True)
            for name in (WORK, MODEL):
                shutil.rmtree(folder / name, ignore_errors=True)
            for name in (METRICS, PAGE, QUARANTINE):
                (folder / name).unlink(missing_ok=True)
            (folder / WORK).mkdir()
            (folder / CHECKPOINTS).mkdir(exist_ok=True)
            yield folder / WORK
            shutil.rmtree(folder / WORK, ignore_errors=True)
        (folder / LOCK).unlink(missing_ok=True)


def publish_training(folder: Path, record: TrainingRecord, page: str) -> None:
    """Move the model up from the work folder, write page and record, and let checkpoints go or leave their models."""
    for name in (MODEL, METRICS, QUARANTINE):
        if (folder / WORK / name).exists():  # only rows have a quarantine
            (folder / WORK / name).replace(folder / name)
    write_text(folder / PAGE, page)
    write_text(folder / RECORD, record.model_dump_json(indent=2) + "\n")
    if record.config.get("keep_checkpoints") is None:
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        return
    from trainers.steps.checkpoints import checkpoints_in, leave_the_model  # with transformers' Trainer

    for checkpoint in checkpoints_in(folder / CHECKPOINTS):
        leave_the_model(checkpoint)


def _refuse_foreign(folder: Path, fingerprint: str, *, overwrite: bool) -> None:
    record = read_record(folder)
    if record is not None and record.fingerprint != fingerprint and not overwrite:
        message = (
            f"{folder} already holds another training ({record.name}, of {record.finished_at}); choose another "
            "--output.dir, or replace it with --output.overwrite true"
        )
        raise OutputError(message)
    names = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
    if record is None and names and CHECKPOINTS not in names:
        message = f"{folder} is not empty and holds no training (found {', '.join(names[:5])}); "
        raise OutputError(message + "choose another --output.dir")
