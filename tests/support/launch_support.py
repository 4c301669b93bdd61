"""Trainings in several processes, as torchrun starts them."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
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
    own = {"PREFECT_HOME": str(folder / "prefect"), "PYTHONPATH": str(ROOT)}
    return torchrun([*program, "--config", str(path)], keep | own | environment, processes=processes, timeout=400)


def in_two(script: str, *arguments: Path | str) -> None:
    """A script of tests/trainers in two processes on the CPU, which must end well."""
    places = [ROOT, ROOT / "tests" / "support", ROOT / "tests" / "trainers"]
    own = {"PYTHONPATH": os.pathsep.join(map(str, places)), "ACCELERATE_USE_CPU": "true"}
    done = torchrun([script, *map(str, arguments)], os.environ | own, processes=2, timeout=800)
    assert done.returncode == 0, done.stderr[-6000:]


def torchrun(
    program: Sequence[str], environment: Mapping[str, str], *, processes: int, timeout: float
) -> "subprocess.CompletedProcess[str]":
    """`program` by torch's launcher, with a thread a process."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [sys.executable, *launcher, *program],
        cwd=ROOT,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def elsewhere(recipe: Any, folder: Path) -> Any:
    """The recipe with another output folder."""
    return recipe.model_copy(update={"output": recipe.output.model_copy(update={"dir": str(folder)})})
