"""How long commands take until they have answered, of this build against another, in one run.

    git worktree add ../old c007df6
    python benchmarks/start.py ../old

Both builds run with this Python, turn by turn, each in output folders, a ledger and a Prefect home of its own; the
models and what was found out about them are in the cache directory as usual. A first run of each is not counted: it
makes what a second one finds. All that is imported is compiled before, as a user's second command finds it, whatever
PYTHONDONTWRITEBYTECODE says here. Wall time is what a user waits, so other work on the machine is in it; the
processor's time stands beside it. `--starter` adds the starter recipe with an empty ledger, minutes a run: the machine
should be quiet.
"""

import argparse
import compileall
import json
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parent.parent
PAIRS: Final = 666
UNSET: Final = ("PREFECT_API_URL", "PYTHONDONTWRITEBYTECODE")
TARGETS: Final = {
    "curate, unchanged": 0.2,
    "explain": 0.3,
    f"curate, {PAIRS} pairs, policy.engine none": 0.35,
    "curate, starter recipe, empty ledger": 0.9,
}


class Seconds(NamedTuple):
    """Of one run of a command, with its children."""

    wall: float
    processor: float


class Build(NamedTuple):
    """A checkout and the folder for what it writes."""

    checkout: Path
    home: Path
    data: Path

    @property
    def run(self) -> Path:
        return self.home / "run"

    def curate(self, folder: Path, ledger: Path) -> list[str]:
        sources = json.dumps([{"kind": "preference", "path": str(self.data)}])
        models = ["--policy.engine", "none", "--reward", "null", "--name", "start"]
        places = ["--output.dir", str(folder), "--ledger", str(ledger)]
        return ["flows.curate", "--sources", sources, *models, *places]

    def timed(self, words: Sequence[str]) -> Seconds:
        """Run `python -m …` to its end.

        Raises:
            RuntimeError: it failed.
        """
        offline = {"HF_HUB_OFFLINE": "1", "PREFECT_HOME": str(self.home / "prefect")}
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.checkout,
            env={key: value for key, value in os.environ.items() if key not in UNSET} | offline,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            message = f"{' '.join(words)} in {self.checkout}: {done.stderr[-2000:]}"
            raise RuntimeError(message)
        return Seconds(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def compile_all(checkouts: Sequence[Path]) -> None:
    """Bytecode of the installed packages and of the builds, where there is none yet: a minute of both cores."""
    packages = [checkout / name for checkout in checkouts for name in ("flows", "transforms", "trainers")]
    for folder in (Path(sysconfig.get_paths()["purelib"]), *packages):
        compileall.compile_dir(folder, quiet=2, workers=0)


def write_pairs(path: Path) -> None:
    """Real responses of the starter data as plain preference pairs."""
    import polars as pl

    responses = pl.read_parquet(ROOT / "data_cards" / "starter" / "responses.parquet").sort("prompt_id", "temperature")
    rows: list[str] = []
    for _, found in responses.group_by("prompt_id", maintain_order=True):
        texts, prompt = found["response"].to_list(), found["prompt"].to_list()[0]
        rows += [
            json.dumps({"prompt": prompt, "chosen": texts[a], "rejected": texts[b]})
            for a, b in ((0, 2), (0, 3), (1, 3))
            if texts[a] != texts[b]
        ]
    path.write_text("\n".join(rows[:PAIRS]) + "\n", encoding="utf-8")


def pair_of(run: Path) -> str:
    """A kept pair's id, by which explain finds it."""
    import pyarrow as pa

    [shard] = sorted((run / "dataset" / "train").glob("*.arrow"))[:1]
    with pa.OSFile(str(shard)) as raw, pa.ipc.open_stream(raw) as stream:
        return str(stream.read_next_batch()["pair_id"][0])


def commands(build: Build, turn: int, *, starter: bool) -> dict[str, list[str]]:
    """What is timed, by name."""
    fresh = build.home / f"turn-{turn}"
    made = build.curate(build.run, build.home / "ledger")
    run = str(build.run)
    found = {
        "curate, unchanged": made,
        "explain": ["flows.explain", run, pair_of(build.run)],
        f"curate, {PAIRS} pairs, policy.engine none": build.curate(fresh / "run", fresh / "ledger"),
        "curate --help": ["flows.curate", "--help"],
        "curate --dry-run": [*build.curate(fresh / "dry", fresh / "ledger"), "--dry-run"],
        "diff": ["flows.diff", run, run],
        "publish --dry-run": ["flows.publish", run, "--repo", "nobody/start", "--dry-run"],
    }
    if starter:
        places = ["--output.dir", str(fresh / "starter"), "--ledger", str(fresh / "starter-ledger")]
        found["curate, starter recipe, empty ledger"] = ["flows.curate", *places]
    return found


def measure(builds: dict[str, Build], rounds: int, *, only: str, starter: bool) -> dict[str, dict[str, list[Seconds]]]:
    """Command → build → its runs."""
    for build in builds.values():
        build.timed(build.curate(build.run, build.home / "ledger"))
    found: dict[str, dict[str, list[Seconds]]] = {}
    for turn in range(rounds):
        every = {name: commands(build, turn, starter=starter) for name, build in builds.items()}
        for command in (name for name in every["new"] if only in name):
            for name in builds if turn % 2 else reversed(builds):
                seconds = builds[name].timed(every[name][command])
                found.setdefault(command, {}).setdefault(name, []).append(seconds)
                print(f"  {command}, {name}: {seconds.wall:.2f} s", file=sys.stderr, flush=True)
    return found


def table(found: dict[str, dict[str, list[Seconds]]]) -> str:
    """Medians, and the ratio of new to old."""
    rows = [
        "| command | old, s | new, s | ratio | target | old, processor s | new, processor s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for command, of in found.items():
        old, new = (
            Seconds(*(statistics.median(column) for column in zip(*of[name], strict=True))) for name in ("old", "new")
        )
        target = f"≤ {TARGETS[command]:g}" if command in TARGETS else ""
        rows.append(
            f"| {command} | {old.wall:.2f} | {new.wall:.2f} | {new.wall / old.wall:.2f} | {target} "
            f"| {old.processor:.2f} | {new.processor:.2f} |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="folder of the other build")
    parser.add_argument("--rounds", type=int, default=3, help="of each command and build")
    parser.add_argument("--only", default="", metavar="WORDS", help="commands with these words in their name")
    parser.add_argument("--starter", action="store_true", help="the starter recipe too, with real models")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        data = Path(folder) / "pairs.jsonl"
        write_pairs(data)
        builds = {
            name: Build(checkout.resolve(), Path(folder) / name, data)
            for name, checkout in (("old", arguments.old), ("new", ROOT))
        }
        compile_all([build.checkout for build in builds.values()])
        for build in builds.values():
            build.home.mkdir()
        found = measure(builds, arguments.rounds, only=arguments.only, starter=arguments.starter)
    print(table(found))


if __name__ == "__main__":
    main()
