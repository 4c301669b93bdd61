"""The folder of a comparison: a training each as flows.train leaves it, what it was judged, the page, the numbers last.

trainings/raw-8-steps-seed-0/   training.json, training.html, metrics.jsonl, model/
judged/raw-8-steps-seed-0.json  what that model says of every held-out pair
judged/raw-8-steps-seed-0.answers.json  and whose answers won, its own or those of the model that it started from
answers/raw-8-steps-seed-0/     the generation of both, as flows.generate leaves it
comparison.html
comparison.json
shared.json                     what all trainings here have in common
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from flows.versions.output_folder import LOCK, disk_errors, locked, write_text
from transforms.errors import OutputError
from transforms.records.comparison import Comparison

NUMBERS: Final = "comparison.json"
PAGE: Final = "comparison.html"
SHARED: Final = "shared.json"
TRAININGS: Final = "trainings"
JUDGED: Final = "judged"
_ANSWERED: Final = ".answers.json"  # behind a training's name
ANSWERS: Final = "answers"


def answers_path(folder: Path, training: str) -> Path:
    """Where a comparison keeps who won against the model of a training."""
    return folder / JUDGED / f"{training}{_ANSWERED}"


def training_of(path: Path) -> str:
    """The training that `answers_path` is of. Its name may have dots: `ratio-0.5-8-steps-seed-0`."""
    return path.name.removesuffix(_ANSWERED)


def finished_comparison(folder: Path, fingerprint: str) -> Comparison | None:
    """The comparison of exactly these inputs, if it lies in `folder` and nothing in it failed.

    Raises:
        OutputError: a comparison.json that this project did not write.
    """
    path = folder / NUMBERS
    if not path.is_file() or not (folder / PAGE).is_file():
        return None
    try:
        found = Comparison.model_validate_json(path.read_bytes())
    except ValidationError as error:
        message = f"{path} is not a comparison of this version ({error.error_count()} problems); choose another "
        raise OutputError(message + "--output.dir, or remove the folder") from error
    return found if found.fingerprint == fingerprint and not found.failures else None


@contextmanager
def comparison_folder(folder: Path, *, shared: str, overwrite: bool) -> Iterator[None]:
    """Claim `folder` for one comparison. Trainings stay as long as what they share is the same.

    So more seeds, variants or budgets can be added to a comparison, and it pays for those only.

    Args:
        folder: made if it is not there.
        shared: fingerprint of what all trainings have in common: run, model, recipe and code.
        overwrite: whether other trainings may go.

    Raises:
        OutputError: another process is at it, it holds another comparison, or files that are none's.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        claim = _claim(folder)
        if claim is None:
            _refuse_foreign(folder)
        elif claim != shared:
            if not overwrite:
                message = (
                    f"{folder} holds a comparison of other trainings (another run, model, recipe or version of this "
                    "code); choose another --output.dir, or replace it with --output.overwrite true"
                )
                raise OutputError(message)
            for name in (TRAININGS, JUDGED, ANSWERS):
                shutil.rmtree(folder / name, ignore_errors=True)
        for name in (NUMBERS, PAGE):
            (folder / name).unlink(missing_ok=True)
        write_text(folder / SHARED, json.dumps({"shared": shared}) + "\n")
        (folder / JUDGED).mkdir(exist_ok=True)
        yield
        (folder / LOCK).unlink(missing_ok=True)


def _claim(folder: Path) -> str | None:
    path = folder / SHARED
    if not path.is_file():
        return None
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["shared"])
    except (ValueError, KeyError, TypeError) as error:
        message = f"{path} is not of this project; choose another --output.dir, or remove the folder"
        raise OutputError(message) from error


def _refuse_foreign(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if names:
        message = f"{folder} is not empty and holds no comparison (found {', '.join(names[:5])}); choose another "
        raise OutputError(message + "--output.dir")
