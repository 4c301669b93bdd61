"""Checkpoints that are complete or not there, and that only the run that wrote them goes on from."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from transformers.trainer import OPTIMIZER_NAME, SCALER_NAME, SCHEDULER_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from transforms.errors import ConfigError, OutputError

IDENTITY: Final = "run.json"
PARTIAL: Final = ".partial"


@contextmanager
def saving(what: str, folder: Path) -> Iterator[None]:
    """Turn what goes wrong while `what` is written under `folder` into one error; the partial folder is removed."""
    try:
        yield
    # torch.save tells of a full disk by a RuntimeError.
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(folder / PARTIAL, ignore_errors=True)
        free = shutil.disk_usage(folder).free / 2**20
        message = (
            f"cannot save {what} to {folder}: {error} ({free:,.0f} MiB free). Checkpoints that lie there are complete: "
            "make room and run the same command again to go on from the newest"
        )
        raise OutputError(message) from error


def write_identity(folder: Path, identity: Mapping[str, Any]) -> None:
    """Note in a checkpoint whose it is."""
    (folder / IDENTITY).write_text(json.dumps(identity, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def checkpoints_in(folder: Path) -> list[Path]:
    """Those of a training that are complete, from the first step on."""
    steps = {path.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-"): path for path in folder.glob("*/")}
    return [steps[step] for step in sorted(filter(str.isdigit, steps), key=int)]


def leave_the_model(folder: Path) -> None:
    """Take out of a checkpoint what only a training that goes on reads: two thirds of it, pickles all."""
    for path in folder.iterdir():
        if path.name in (OPTIMIZER_NAME, SCHEDULER_NAME, SCALER_NAME) or path.match("rng_state*.pth"):
            path.unlink()


def check_same_run(folder: Path, identity: Mapping[str, Any]) -> None:
    """Raise unless the checkpoint in `folder` is of the run that `identity` describes.

    Raises:
        OutputError: it does not say whose it is.
        ConfigError: it is another run's; names what differs.
    """
    try:
        found = json.loads((folder / IDENTITY).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{folder} is no checkpoint of this project ({IDENTITY}: {error}); remove it, or start without resume"
        raise OutputError(message) from error
    before, now = _flat(found), _flat(dict(identity))
    different = [
        f"{key} was {before.get(key, 'not set')}, is {now.get(key, 'not set')}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if different:
        message = (
            f"{folder} is a checkpoint of other settings: {'; '.join(different)}. Go on with its own settings, choose "
            "another output.dir, or start anew with --output.resume false"
        )
        raise ConfigError(message)


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys, as a recipe's flags are."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
