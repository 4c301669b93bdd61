"""Trackers that finished runs tell their figures: Weights & Biases, TensorBoard, MLflow and Trackio.

Trainings report while they run, by transformers' own loggers (trainers.steps.reports); this is for runs whose figures
are known at their end. What a tracker needs stands where its own documentation says (WANDB_API_KEY,
MLFLOW_TRACKING_URI, TRACKIO_SPACE_ID); nothing of it is read here.
"""

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flows.runtime.environment import PROJECT
from transforms.choices import Tracker
from transforms.errors import ConfigError, first_line, without_secrets
from transforms.records.manifest import SpendRecord

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

logger = logging.getLogger(__name__)

# Asked for by distribution: W&B leaves a folder `wandb` where it ran, which Python would import as a package.
_PACKAGES: Final[Mapping[Tracker, tuple[str, ...]]] = {
    "wandb": ("wandb",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "mlflow": ("mlflow", "mlflow-skinny"),
    "trackio": ("trackio",),
}
# What MLflow takes in the name of a figure; the others take more.
_NOT_IN_NAMES: Final = re.compile(r"[^0-9A-Za-z_\-. :/]")

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Tracked:
    """What trackers are told of a run.

    Attributes:
        name: the recipe's.
        fingerprint: tells runs of one name apart.
        settings: what was asked for; no addresses, which may hold a password.
        figures: of the whole run.
        steps: figures of each round, in order.
    """

    name: str
    fingerprint: str
    settings: Mapping[str, str | float]
    figures: Figures
    steps: Sequence[Figures] = field(default_factory=tuple)


def check_trackers(report_to: Sequence[Tracker]) -> None:
    """Refuse trackers whose package is not there, before anything else is looked for.

    Raises:
        ConfigError: which one, and how to install it.
    """
    for tracker in report_to:
        if not any(_installed(package) for package in _PACKAGES[tracker]):
            package = _PACKAGES[tracker][0]
            message = (
                f"report_to: {tracker} needs the package {package}, which is not installed: pip install {package}, or "
                f"leave {tracker} out"
            )
            raise ConfigError(message)
        if tracker == "mlflow" and os.environ.get("DISABLE_MLFLOW_INTEGRATION", "").upper() == "TRUE":
            message = "report_to: mlflow is turned off by DISABLE_MLFLOW_INTEGRATION: unset it, or leave mlflow out"
            raise ConfigError(message)


def tensorboard_folder(output: Path, name: str, fingerprint: str) -> Path:
    """Where a run's event files go: beside its output folder, which the next run empties.

    Args:
        output: the output folder.
        name: of the recipe.
        fingerprint: of the run; one that goes on writes to the same folder, a changed one beside it.
    """
    chosen = os.environ.get("TENSORBOARD_LOGGING_DIR")
    root = Path(chosen).expanduser() if chosen else output.parent / "tensorboard"
    return root / name / fingerprint[:8]


def tell_trackers(report_to: Sequence[Tracker], run: Tracked, output: Path) -> None:
    """Tell each tracker of a finished run. One that fails is a warning: the run is there, whoever knows of it.

    Args:
        report_to: trackers, each told once.
        run: what they are told. Its figures are step 0, each of its rounds a step after that.
        output: the run's folder.
    """
    for tracker in dict.fromkeys(report_to):
        try:
            _tell(tracker, run, output)
        except Exception as error:  # noqa: BLE001 - what other people's clients raise has no common class
            logger.warning(
                "%s was not told of %s, which is complete: %s", tracker, run.name, without_secrets(first_line(error))
            )


def flat(name: str, value: Any) -> dict[str, str | float]:
    """A section as `section.key` → value; what is null is left out, and a list is its text."""
    if isinstance(value, dict):
        return {key: one for inner, held in value.items() for key, one in flat(f"{name}.{inner}", held).items()}
    if value is None:
        return {}
    return {name: value if isinstance(value, str | int | float) else str(value)}


def spend_figures(prefix: str, spend: SpendRecord) -> dict[str, float]:
    """An account of model calls as figures: what was made and reused, and what it took."""
    found: dict[str, float] = {
        f"{prefix}/made": spend.generated,
        f"{prefix}/reused": spend.reused,
        f"{prefix}/tokens_made": spend.tokens_generated,
        f"{prefix}/tokens_reused": spend.tokens_reused,
        f"{prefix}/engine_seconds": spend.seconds,
    }
    if spend.seconds > 0:
        found[f"{prefix}/tokens_per_second"] = spend.tokens_generated / spend.seconds
    if spend.price is not None:
        found[f"{prefix}/price"] = spend.price
    return found


def _tell(tracker: Tracker, run: Tracked, output: Path) -> None:
    told = _open(tracker, run, output)
    told.start()
    try:
        if tracker == "tensorboard":
            # Its own way to keep settings makes a second run of them, in a folder named after the time.
            told.log({"settings": "```json\n" + json.dumps(run.settings, indent=2) + "\n```"}, step=0)
        else:
            told.store_init_configuration(dict(run.settings))
        for step, figures in enumerate((run.figures, *run.steps)):
            told.log({_NOT_IN_NAMES.sub("_", name): value for name, value in figures.items()}, step=step)
    finally:
        told.finish()


def _open(tracker: Tracker, run: Tracked, output: Path) -> "GeneralTracker":
    from accelerate import PartialState
    from accelerate.tracking import MLflowTracker, TensorBoardTracker, TrackioTracker, WandBTracker

    PartialState()  # its logger refuses to say anything before
    if tracker == "tensorboard":
        folder = tensorboard_folder(output, run.name, run.fingerprint)
        return TensorBoardTracker(folder.name, logging_dir=folder.parent)
    if tracker == "mlflow":
        return MLflowTracker(PROJECT, run_name=run.name)  # MLFLOW_EXPERIMENT_NAME comes first
    if tracker == "wandb":
        return WandBTracker(os.environ.get("WANDB_PROJECT", PROJECT), name=run.name)
    return TrackioTracker(PROJECT, name=run.name)


def _installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True
