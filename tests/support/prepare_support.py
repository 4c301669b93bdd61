"""Runs that only truncate, in parts of few pairs: what they leave, and the same in a process of its own.

python tests/support/prepare_support.py RECIPE.json ROWS
"""

import json
import os
import subprocess
import sys
import time
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from flows.curate import loading
from flows.curate.judging import judge_parts
from flows.curate.plan import plan_run
from flows.curate.run import Run
from flows.curate.writing import write_data
from flows.recipe.curation import Recipe
from transforms.tables.parts import rechunk

ROOT = Path(__file__).parents[2]


class Left(NamedTuple):
    """What a run left."""

    version: str
    parts: list[str]  # hashes of the prepared parts, in order
    quarantine: list[str]  # lines
    stages: list[dict[str, Any]]  # what load and preparation recorded
    files: list[str]  # of the shards, with hashes
    others: list[str]  # names in the folder of prepared parts that are no part


def prepare(recipe: Recipe, work: Path, rows: int) -> Left:
    """Prepare and write as a run does, in parts of so many rows."""
    work.mkdir(parents=True)
    run = Run(plan_run(recipe), work)
    loading.rechunk = partial(rechunk, rows=rows)
    try:
        loading.prepare_parts(run, loading.load(run))
    finally:
        loading.rechunk = rechunk
    judge_parts(run, None)
    written = write_data(run)
    paths = run.prepared.paths()
    return Left(
        version=written.version,
        parts=[sha256(path.read_bytes()).hexdigest() for path in paths],
        quarantine=(work / "quarantine.jsonl").read_text().splitlines(),
        stages=[stage.model_dump() for stage in run.stages],
        files=[f"{file.path} {file.sha256}" for file in written.files],
        others=sorted(path.name for path in run.prepared.folder.iterdir() if path not in paths),
    )


class Running:
    """`prepare` in a process of its own."""

    def __init__(self, recipe: Recipe, work: Path, rows: int) -> None:
        self.work = work
        given = work.with_suffix(".json")
        given.parent.mkdir(parents=True, exist_ok=True)
        given.write_text(recipe.model_dump_json())
        command = [sys.executable, __file__, str(given), str(rows)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def wait_for_parts(self, count: int) -> None:
        """Until so many parts are prepared."""
        while len(list(self.work.glob("prepared/part-*.arrow"))) < count:
            assert self.process.poll() is None, self.process.communicate()[1]
            time.sleep(0.01)

    def result(self) -> tuple[Left, str]:
        """What it left, and what it said on stderr."""
        out, err = self.process.communicate()
        assert self.process.returncode == 0, err
        return Left(**json.loads(out.splitlines()[-1])), err


def descendants(pid: int) -> dict[int, str]:
    """Processes below one, with their command lines."""
    parents, names = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                names[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ").strip()
            except OSError:
                continue  # it has ended
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {child: names[child] for child in found - {pid}}


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    given = Path(sys.argv[1])
    left = prepare(Recipe.model_validate_json(given.read_text()), given.with_suffix(""), int(sys.argv[2]))
    sys.stdout.write(json.dumps(left._asdict()) + "\n")
