"""Trainings in several processes, as torchrun starts them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
TRAIN: Final = ("-m", "flows.train")
DYING: Final = (str(ROOT / "tests" / "support" / "dying_training.py"),)


def launched(
    folder: Path, recipe: Any, *, processes: int = 2, program: Sequence[str] = TRAIN, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """`program` with the recipe, in so many processes on the CPU."""
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    keep = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [sys.executable, *launcher, *program, "--config", str(path)],
        cwd=ROOT,
        env={
            **keep,
            "PREFECT_HOME": str(folder / "prefect"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def elsewhere(recipe: Any, folder: Path) -> Any:
    """The recipe with another output folder."""
    return recipe.model_copy(update={"output": recipe.output.model_copy(update={"dir": str(folder)})})
