"""`kill -9` of replicas, of the run and of whole nodes on a Ray cluster, and whether the dataset's version stands.

    python benchmarks/cluster_kill.py
    python benchmarks/cluster_kill.py --replicas 2 --drivers 0 --nodes 1 --heads 0

A cluster of two Ray nodes is started on this machine, a core and a temporary folder each: `ray start --head`, and one
that joins it. A quarter of the starter is curated without Ray on one core first (in float32, so that who computes what
beside whom moves no bit), then on the cluster with a ledger of its own, while one of these is killed by signal 9:

- a *replica* (the actor's process): the run goes on;
- the *driver* (`python -m flows.curate`): the next run goes on from the ledger;
- the *node* that joined (its raylet): the run goes on with what the other has, and another node joins;
- the *head* (its raylet): whether or not the driver ends with it, a new cluster is started, and the next run goes on.

A moment is so many seconds after a new batch came into the ledger, drawn from a seed. At the end: the version against
that of the run without Ray, and what was paid more than once. All Ray of this user on this machine is ended by it.
"""

import argparse
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent
PORT = 26379
STARTER = {"kind": "starter", "path": "data_cards/starter/responses.parquet", "prompts": "test", "weight": 0.25}
RECIPE = {
    "sources": json.dumps([STARTER | {"better": 0.7, "worse": 1.1}]),
    "policy.dtype": "float32",
    "policy.kv_cache_gib": "0.5",
    "reward.dtype": "float32",
    "sampling.batch": "2",
    "sampling.max_new_tokens": "32",
    "reward.batch": "4",
}
CLUSTER = {"address": "auto", "replicas": {"policy": "1:2", "reward": "1:2"}}


class Cluster:
    """Two Ray nodes of one core each on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0
        self.head()

    def head(self) -> None:
        """Start the head, and a node that joins it."""
        self.end()
        self._start("--head", f"--port={PORT}", "--include-dashboard=false")
        self.join()

    def join(self) -> None:
        """Start a node that joins the head."""
        self._start(f"--address=127.0.0.1:{PORT}")

    def raylets(self) -> list[psutil.Process]:
        """The head's, and that of the node that joined last."""
        return sorted(_processes("raylet"), key=lambda one: one.create_time())

    def replicas(self) -> list[psutil.Process]:
        """Actors that hold an engine or load one."""
        return [one for one in _processes("ray::Actor") if one.is_running()]

    def end(self) -> None:
        """Stop whatever runs of it."""
        subprocess.run([_ray(), "stop", "--force"], capture_output=True, check=False, timeout=120)

    def _start(self, *options: str) -> None:
        self._number += 1
        temporary = self._folder / f"n{self._number}"
        command = [
            *(_ray(), "start", *options, "--node-ip-address=127.0.0.1", "--num-cpus=1", "--num-gpus=0"),
            *(f"--temp-dir={temporary}", "--object-store-memory=134217728", "--disable-usage-stats"),
        ]
        for _ in range(4):  # a node aborts where its helper needs more than 15 s to come up
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
            if done.returncode == 0:
                return
            time.sleep(2)
        raise SystemExit(f"Ray does not start: {done.stdout[-800:]} {done.stderr[-800:]}")


def _ray() -> str:
    return str(Path(sys.executable).parent / "ray")


def _processes(name: str) -> list[psutil.Process]:
    found = []
    for one in psutil.process_iter(["name", "cmdline"]):
        command = one.info["cmdline"] or [""]
        if Path(command[0]).name == name or command[0].startswith(name):
            found.append(one)
    return found


def command(folder: Path, name: str, **more: str) -> list[str]:
    """Curate the starter into a folder and a ledger of this name."""
    flags = RECIPE | more | {"output.dir": str(folder / name), "ledger": str(folder / f"ledger-{name}")}
    return [sys.executable, "-m", "flows.curate", *(word for key in flags for word in ("--" + key, flags[key]))]


def manifest(folder: Path, name: str) -> dict[str, Any]:
    """Of a run that has ended."""
    found: dict[str, Any] = json.loads((folder / name / "manifest.json").read_text())
    return found


class Killed:
    """The run on the cluster, started again whenever it ended before its time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ledger = folder / "ledger-killed"
        self._log = (folder / "killed.log").open("a")
        self._environment = os.environ | {"RAY_ADDRESS": f"127.0.0.1:{PORT}"}
        self.starts = 0
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        self.starts += 1
        return subprocess.Popen(
            command(self._folder, "killed", cluster=json.dumps(CLUSTER)),
            cwd=ROOT,
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def parts(self) -> int:
        """Batches in the ledger."""
        return len(list(self._ledger.rglob("part-*")))

    def wait_for_batch(self) -> bool:
        """Return when another batch came into the ledger; False where the run has ended well before."""
        before = self.parts()
        while self.parts() == before:
            if self.process.poll() == 0:
                return False
            if self.process.poll() is not None:
                raise SystemExit(f"the run ended: {(self._folder / 'killed.log').read_text()[-1500:]}")
            time.sleep(0.1)
        return True

    def again(self) -> None:
        """Kill the driver if it lives, and run on."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = self._start()

    def ended(self, seconds: float) -> bool:
        """Whether the driver ends by itself within so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=seconds)
        return self.process.poll() is not None


def hit(kind: str, run: Killed, cluster: Cluster, chance: random.Random) -> str:
    """Kill one of a kind; what it was."""
    if kind == "driver":
        run.again()
        return "the driver"
    if kind == "replica":
        living = cluster.replicas()
        while not living and run.process.poll() is None:
            time.sleep(0.2)
            living = cluster.replicas()
        one = chance.choice(living)
        one.kill()
        return f"replica {one.pid} of {len(living)}"
    raylets = cluster.raylets()
    if kind == "node":
        raylets[-1].kill()
        time.sleep(5)
        cluster.join()
        return f"the node that joined (raylet {raylets[-1].pid}); another one has joined"
    raylets[0].kill()
    by_itself = run.ended(60)
    cluster.head()
    run.again()
    return f"the head (raylet {raylets[0].pid}); the driver {'ended with it' if by_itself else 'lived on for 60 s'}"


def moments(arguments: argparse.Namespace) -> Iterator[str]:
    """Kinds, the rare ones spread among the others."""
    kinds = {
        "replica": arguments.replicas,
        "driver": arguments.drivers,
        "node": arguments.nodes,
        "head": arguments.heads,
    }
    spread = [((number + 0.5) / count, kind) for kind, count in kinds.items() for number in range(count)]
    return (kind for _, kind in sorted(spread))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=10)
    parser.add_argument("--drivers", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    # Where a token lies in the home folder, Ray's head asks for it and a node that joins does not show it.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    folder = Path(tempfile.mkdtemp(prefix="rk"))  # Ray's sockets allow paths of 107 characters
    cluster = None
    try:
        start = time.monotonic()
        alone = os.environ | {"OMP_NUM_THREADS": "1"}
        line = ["taskset", "-c", str(min(os.sched_getaffinity(0))), *command(folder, "alone")]
        subprocess.run(line, cwd=ROOT, check=True, capture_output=True, env=alone)
        print(f"without Ray, on one core: {time.monotonic() - start:.0f} s", flush=True)
        cluster = Cluster(folder)
        start = time.monotonic()
        run = Killed(folder)
        for number, kind in enumerate(moments(arguments), 1):
            if not run.wait_for_batch():
                print(f"the run ended before kill {number}", flush=True)
                break
            time.sleep(chance.uniform(0, 4))
            where = f"{run.parts()} batches in the ledger"
            print(f"kill {number:>2}, {where}: {hit(kind, run, cluster, chance)}", flush=True)
        if run.process.wait() != 0:
            raise SystemExit(f"the run ended: {(folder / 'killed.log').read_text()[-1500:]}")
        print(f"on the cluster: {time.monotonic() - start:.0f} s, {run.starts} starts of the driver")
        report(folder)
    finally:
        if cluster is not None:
            cluster.end()
        shutil.rmtree(folder, ignore_errors=True)


def report(folder: Path) -> None:
    """Versions, and what was paid for more than once."""
    expected, found = manifest(folder, "alone"), manifest(folder, "killed")
    print(f"version equal: {found['version'] == expected['version']} ({found['version']}, {expected['version']})")
    for stage in ("completions", "scores"):
        spend, alone = found[stage], expected[stage]
        print(f"{stage}: {spend['requests']} requests of {alone['requests']} alone, {spend['unanswered']} unanswered")
    records = [json.loads(line) for path in folder.glob("ledger-killed/**/interrupted.jsonl") for line in path.open()]
    paid = sum(one["requests"] for one in records)
    print(f"batches asked again after a driver's end: {len(records)} ({paid} requests)")
    lost = [one for stage in ("completions", "scores") for one in found[stage]["replicas"] if one["lost"]]
    print(f"replicas lost in the last run: {len(lost)}")


if __name__ == "__main__":
    main()
