"""Whether preparing pairs costs the same a pair, and no more memory, at a million as at 64,000; and by several workers.

    python benchmarks/prepare_scale.py --responses alpacaeval_responses.parquet --pairs 1000000

`--responses` is a Parquet file with instruction, model, response and win_prob. Two responses of one instruction make a
pair; when all pairs are used up, they come again with a number behind the instruction, so that no two are equal, but
every hundredth is the one before it once more: a duplicate to be found. The pairs lie in sixteen files. Load, tokens,
keeps, shards and report run in a process of their own; memory is the sum of the proportional shares (PSS) of that
process and all below it, read four times a second. Shuffled: the rows of each file reversed, and the files in another
order.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from math import inf
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

FILES = 16
REPEATED = 100  # every such pair is the one before it once more
SECONDS = 0.25


def all_pairs(responses: Path, seed: int = 0) -> Iterator[tuple[str, str, str]]:
    """(instruction, chosen, rejected) without end: all pairs that there are, in random order, then again, altered."""
    import polars as pl

    groups = pl.read_parquet(responses).group_by("instruction", maintain_order=True).agg("response", "win_prob")
    found = [
        (instruction, texts[a], texts[b]) if wins[a] > wins[b] else (instruction, texts[b], texts[a])
        for instruction, texts, wins in groups.iter_rows()
        for a, b in combinations(range(len(wins)), 2)
        if wins[a] != wins[b] and texts[a] != texts[b] and texts[a].strip() and texts[b].strip()
    ]
    random.Random(seed).shuffle(found)
    turn = 0
    while True:
        for instruction, chosen, rejected in found:
            yield instruction + (f"\n({turn})" if turn else ""), chosen, rejected
        turn += 1


def write_pairs(responses: Path, count: int, folder: Path) -> None:
    """`count` pairs in sixteen Parquet files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pairs = all_pairs(responses)
    last = next(pairs)
    folder.mkdir()
    size = -(-count // FILES)
    for number in range(FILES):
        wanted = min(size, count - number * size)
        with pq.ParquetWriter(folder / f"{number:02d}.parquet", _schema()) as writer:
            for start in range(0, wanted, 8192):
                rows = []
                for at in range(start, min(start + 8192, wanted)):
                    if (number * size + at) % REPEATED:
                        last = next(pairs)
                    rows.append(dict(zip(("prompt", "chosen", "rejected"), last, strict=True)))
                writer.write_table(pa.Table.from_pylist(rows, schema=_schema()))


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in ("prompt", "chosen", "rejected")])


def shuffle(folder: Path, out: Path) -> None:
    """The same rows, those of each file backwards, in files of other names."""
    import pyarrow.parquet as pq

    out.mkdir()
    for number, path in enumerate(sorted(folder.iterdir())):
        source = pq.ParquetFile(path)
        with pq.ParquetWriter(out / f"{FILES - number:02d}.parquet", source.schema_arrow) as writer:
            for group in reversed(range(source.num_row_groups)):
                table = source.read_row_group(group)
                writer.write_table(table.take(list(range(len(table) - 1, -1, -1))))


def prepare(folder: Path, out: Path, preparation: dict[str, Any]) -> dict[str, Any]:
    """The project's own stages, as a truncate-only run calls them."""
    import polars as pl

    from flows.curate.finish import build_manifest, write_pages
    from flows.curate.judging import judge_parts
    from flows.curate.loading import load, prepare_parts
    from flows.curate.plan import plan_run
    from flows.curate.run import Run
    from flows.curate.writing import write_data
    from flows.recipe.curation import Recipe

    recipe = Recipe.model_validate(
        {
            "name": "benchmark",
            "sources": [{"kind": "preference", "path": str(folder)}],
            "truncate": {"method": "poet"},
            "policy": {"model": "smollm2", "engine": "none"},
            "preparation": preparation,
            "output": {"dir": str(out)},
        }
    )
    plan = plan_run(recipe)
    plan.models.load()
    run = Run(plan, out)
    stages = Stages()
    stored: dict[str, int] = {}
    with stages.measured("load"):
        buckets = load(run)
    stored["buckets"] = _bytes(out)
    with stages.measured("prepare"):
        prepare_parts(run, buckets)
    stored["prepared"] = _bytes(out)  # the buckets are gone
    with stages.measured("judge"):
        judge_parts(run, None)
    stored["judged"] = _bytes(out) - stored["prepared"]
    with stages.measured("write"):
        written = write_data(run)
    stored["written"] = _bytes(out) - stored["prepared"] - stored["judged"]
    with stages.measured("report"):
        write_pages(run, build_manifest(run, written, None), written)
    recorded = {stage.stage: stage.model_dump() for stage in run.stages}
    kept, dropped = sum(written.splits.values()), run.dropped
    quarantined = run.quarantined_on_disk()
    came = sum(record.pairs for record in run.sources)
    return {
        "rows": sum(record.raw_rows for record in run.sources),
        "pairs": came,
        "kept": kept,
        "dropped": dropped,
        "quarantined": quarantined,
        "adds up": kept + sum(dropped.values()) + quarantined == came and recorded["prepare"]["rows_out"] == kept,
        "version": written.version,
        "tokens": int(sum(written.rows.select(pl.col("^.*_tokens$").cast(pl.Int64).sum()).collect().row(0))),
        "seconds": {stage: end - start for stage, (start, end) in stages.clock.items()},
        "cpu": stages.cpu,
        "clock": stages.clock,
        "bytes": stored,
    }


class Stages:
    """When each stage began and ended, and its CPU seconds: of this process and its own ones that have ended."""

    def __init__(self) -> None:
        self.clock: dict[str, tuple[float, float]] = {}
        self.cpu: dict[str, float] = {}

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        start, used = time.monotonic(), _cpu()  # a clock that all processes of a machine share
        yield
        self.clock[stage], self.cpu[stage] = (start, time.monotonic()), _cpu() - used


def _cpu() -> float:
    mine, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return mine.ru_utime + mine.ru_stime + ended.ru_utime + ended.ru_stime


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Memory:
    """The proportional shares of a process and of all below it together, a few times a second; KiB."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: list[tuple[float, int, int]] = []  # (when, the process's own, of those below it)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def peak(self, start: float = -inf, end: float = inf) -> dict[str, float]:
        """The most between two times, of each kind by itself; MiB."""
        seen = [(own, below) for when, own, below in self._seen if start <= when <= end] or [(0, 0)]
        return {
            "all": max(own + below for own, below in seen) / 1024,
            "run": max(own for own, _ in seen) / 1024,
            "workers": max(below for _, below in seen) / 1024,
        }

    def _watch(self) -> None:
        while not self._ended.wait(SECONDS):
            own = _share(self._pid)
            below = sum(map(_share, _family(self._pid) - {self._pid}))
            self._seen.append((time.monotonic(), own, below))


def _family(pid: int) -> set[int]:
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _share(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def in_process_of_its_own(folder: Path, where: Path, preparation: dict[str, Any]) -> dict[str, Any]:
    """`prepare` in a new interpreter, with its seconds and peak memory."""
    environment = {**os.environ, "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    with tempfile.TemporaryDirectory(dir=where) as out:
        command = [sys.executable, __file__, "--measure", json.dumps(preparation), "--files", str(folder)]
        child = subprocess.Popen(
            [*command, "--out", out], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        memory = Memory(child.pid)
        said, errors = child.communicate()
        memory.end()
    if child.returncode:
        raise SystemExit(f"{preparation} failed:\n{errors[-3000:]}")
    figures: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    by_stage = {stage: memory.peak(*clock)["all"] for stage, clock in figures["clock"].items()}
    return figures | {"MiB": memory.peak(), "MiB by stage": by_stage}


def show(name: str, figures: dict[str, Any]) -> None:
    seconds, pairs = figures["seconds"], figures["pairs"]
    whole = sum(seconds.values())
    stages = " · ".join(f"{stage} {spent:,.0f} s" for stage, spent in seconds.items())
    stored = " · ".join(f"{stage} {size / pairs:,.0f}" for stage, size in figures["bytes"].items())
    print(f"{name}\n  {pairs / whole:,.0f} pairs/s in {whole:,.0f} s ({stages})")
    peaks = figures["MiB"]
    by_stage = " · ".join(f"{stage} {peak:,.0f}" for stage, peak in figures["MiB by stage"].items())
    print(
        f"  {peaks['all']:,.0f} MiB at most ({by_stage}); the run's own process {peaks['run']:,.0f}, "
        f"those below it {peaks['workers']:,.0f}"
    )
    used = " · ".join(f"{stage} {1000 * spent / pairs:.3f}" for stage, spent in figures["cpu"].items())
    print(f"  CPU milliseconds a pair, Ray's own processes left out: {used}")
    print(
        f"  {figures['rows']:,} rows, {pairs:,} pairs = {figures['kept']:,} kept + {figures['dropped']} + "
        f"{figures['quarantined']:,} quarantined: {'adds up' if figures['adds up'] else 'DOES NOT ADD UP'}"
    )
    print(f"  {figures['tokens'] / pairs:,.0f} tokens a pair; bytes a pair: {stored}   version {figures['version']}")
    sys.stdout.flush()


def report(responses: Path, small: int, large: int, where: Path, runs: list[str]) -> None:
    """Make the pairs, prepare them in each way, compare; memory with the small run of the same way."""
    ways: dict[str, dict[str, Any]] = {
        "alone": {},
        "shuffled": {},
        "processes": {"workers": 2},
        "ray": {"workers": 2, "on": "ray"},
    }
    with tempfile.TemporaryDirectory(dir=where) as folder:
        given = {count: Path(folder) / str(count) for count in (small, large)}
        for count, path in given.items():
            write_pairs(responses, count, path)
        versions: dict[str, str] = {}
        ratios: dict[str, float] = {}
        bases: dict[str, float] = {}
        lost = False
        for name in runs:
            way = json.dumps(ways[name])
            if way not in bases:
                base = in_process_of_its_own(given[small], where, ways[name])
                show(f"{small:,} pairs, {name}", base)
                bases[way] = base["MiB"]["all"]
            files = given[large]
            if name == "shuffled":
                files = Path(folder) / "shuffled"
                shuffle(given[large], files)
            figures = in_process_of_its_own(files, where, ways[name])
            show(f"{large:,} pairs, {name}", figures)
            lost |= not figures["adds up"]
            versions[name], ratios[name] = figures["version"], figures["MiB"]["all"] / bases[way]
        said = " · ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
        print(f"memory at {large:,} / {small:,} pairs: {said}   (target ≤ 1.2)")
        equal = len(set(versions.values())) == 1
        print(f"versions of {', '.join(versions)}: {'equal' if equal else 'NOT EQUAL'}")
        if not equal or lost:
            raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--responses", type=Path, help="Parquet file of responses to make pairs of")
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=64_000, help="what memory is compared with")
    parser.add_argument("--runs", nargs="+", default=["alone", "shuffled", "processes", "ray"])
    parser.add_argument("--where", type=Path, default=Path(tempfile.gettempdir()), help="disk: 60 KB a pair at most")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--files", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        figures = prepare(arguments.files, arguments.out, json.loads(arguments.measure))
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    if arguments.responses is None:
        parser.error("--responses is needed")
    report(arguments.responses, arguments.small, arguments.pairs, arguments.where, arguments.runs)


if __name__ == "__main__":
    main()
