"""Replicas as Ray actors, each on the machine that has room for it. Core actors, not Ray Data: rounds are the driver's.

An actor is never restarted by Ray: the crew starts another one, and asks its batch again.
"""

import contextlib
import json
import logging
import math
import os
import threading
import time
from typing import Any, Final

from flows.models.crew import ReplicaLostError
from flows.recipe.cluster import ClusterConfig
from flows.replicas.engine import ReplicaSpec
from flows.replicas.messages import error_from_json, error_to_json
from flows.replicas.replica import About, Starting
from flows.replicas.worker import Worker, packages_here
from flows.runtime.ray_connection import connect
from transforms.engines.protocol import Progress
from transforms.errors import EngineError, first_line

_LOOK: Final = 0.5  # seconds between two questions for progress
# Of the driver's, for workers to find the same models and packages.
_PASSED_ON: Final = ("PREFERENCE_CURATION_CACHE", "HF_HOME", "HF_HUB_OFFLINE", "HF_ENDPOINT")

logger = logging.getLogger(__name__)


class Actor:
    """What runs on the cluster: a worker, and what it has finished so far of its batch."""

    def __init__(self, spec: str, packages: dict[str, str]) -> None:
        self._spec, self._packages = spec, packages
        self._worker: Worker | None = None
        self._lock = threading.Lock()
        self._done = [0, 0]

    def load(self) -> str:
        """Load the engine; JSON of where and how long, or of an error."""
        try:
            self._worker = Worker(self._spec, self._packages)
            return json.dumps(self._worker.about())
        except Exception as error:  # noqa: BLE001 - as it is, it might not be known on the other side
            return error_to_json(error)

    def ask(self, requests: bytes) -> bytes:
        """`A` and the answer, or `E` and the error."""
        with self._lock:
            self._done = [0, 0]
        if self._worker is None:
            return b"E" + error_to_json(EngineError("it was asked before it was loaded")).encode()
        try:
            return b"A" + self._worker.answer(requests, self._count)
        except Exception as error:  # noqa: BLE001 - as above
            return b"E" + error_to_json(error).encode()

    def done(self) -> tuple[int, int]:
        """Requests and tokens of the batch that is being answered."""
        with self._lock:
            return self._done[0], self._done[1]

    def _count(self, requests: int, tokens: int) -> None:
        with self._lock:
            self._done[0] += requests
            self._done[1] += tokens


class RayReplica:
    """An actor with one loaded engine. See `Replica`."""

    def __init__(self, name: str, actor: Any) -> None:
        self.name, self._actor = name, actor
        self.about = About("", 0.0)

    def wait_until_loaded(self) -> None:
        """Return once it can be asked; where the cluster has no room for it yet, once it has.

        Raises:
            ModelError: the model cannot be loaded there.
            ReplicaLostError: the actor died meanwhile.
        """
        import ray

        with _lost(self.name):
            text: str = ray.get(self._actor.load.remote())
        found = json.loads(text)
        if "kind" in found:
            raise error_from_json(text, where=self.name)
        self.about = About(f"{found['node']}, process {found['pid']}", found["loading_seconds"])

    def is_alive(self) -> bool:
        """Whether the actor says anything; see `Replica`."""
        try:
            with _lost(self.name):
                return self._done() is not None
        except ReplicaLostError:
            return False

    def ask(self, requests: bytes, progress: Progress, silent_seconds: float) -> bytes:
        """The answer to a batch; see `Replica`."""
        import ray

        with _lost(self.name, self.about.node):
            asked = self._actor.ask.remote(requests)
            seen, heard = (0, 0), time.monotonic()
            while True:
                ready, _ = ray.wait([asked], timeout=_LOOK)
                if ready:
                    break
                done = self._done()
                if done != seen and done is not None:
                    progress(done[0] - seen[0], done[1] - seen[1])
                    seen, heard = done, time.monotonic()
                elif time.monotonic() - heard > silent_seconds:
                    text = f"{self.name} said nothing for {silent_seconds:.0f} s and was ended"
                    raise ReplicaLostError(text, f" ({self.about.node})")
            answer: bytes = ray.get(asked)
            if answer[:1] == b"E":
                raise error_from_json(answer[1:], where=self.name)
            done = self._done() or seen
            progress(done[0] - seen[0], done[1] - seen[1])
        return answer[1:]

    def kill(self) -> None:
        """Kill the actor; it holds nothing else."""
        self.end()

    def end(self) -> None:
        """Kill the actor and what it holds."""
        import ray

        with contextlib.suppress(Exception):  # a cluster that is gone has ended it too
            ray.kill(self._actor, no_restart=True)

    def _done(self) -> tuple[int, int] | None:
        """None where it does not say, as an actor that is stopped."""
        import ray

        try:
            found: tuple[int, int] = ray.get(self._actor.done.remote(), timeout=10 * _LOOK)
        except ray.exceptions.GetTimeoutError:
            return None
        return found


class RayCluster:
    """Starts actors. See `Place`.

    Args:
        spec: what each loads.
        config: of the recipe.

    Raises:
        ConfigError: Ray is missing, or there is no cluster at the address.
    """

    def __init__(self, spec: ReplicaSpec, config: ClusterConfig) -> None:
        ray = _connect(config)
        self._spec = spec
        self._options = _options(ray, spec, config)
        self._starting: Starting[RayReplica] = Starting()

    def start(self, number: int) -> RayReplica:
        """Start and load one; see `Place`."""
        import ray

        name = f"{self._spec.role}-{number}"
        with _lost(name):
            actor = ray.remote(Actor).options(**self._options).remote(self._spec.to_json(), packages_here())
        return self._starting.load(RayReplica(name, actor))

    def close(self) -> None:
        """End those that are being started."""
        self._starting.kill()


def _connect(config: ClusterConfig) -> Any:
    """Once a process; Ray ends its cluster with it."""
    return connect(config.address, key=f"cluster.address: {config.address}", otherwise="leave cluster out")


def room(config: ClusterConfig, gpus: int) -> int:
    """Replicas that the cluster, as it is now, holds at once.

    Args:
        config: of the recipe.
        gpus: of one replica, where there are any.
    """
    nodes = [node["Resources"] for node in _connect(config).nodes() if node["Alive"]]
    each = _gpus(nodes, config, gpus)
    return sum(
        int(min(node.get("CPU", 0) // config.cpus_per_replica, node.get("GPU", 0) // each if each else math.inf))
        for node in nodes
    )


def _gpus(nodes: list[dict[str, float]], config: ClusterConfig, gpus: int) -> float:
    if config.gpus_per_replica is not None:
        return config.gpus_per_replica
    return float(gpus) if any(node.get("GPU") for node in nodes) else 0.0


def _options(ray: Any, spec: ReplicaSpec, config: ClusterConfig) -> dict[str, Any]:
    """What Ray keeps for a replica.

    Raises:
        ConfigError: no machine of the cluster has so much.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = _gpus(nodes, config, spec.gpus)
    cpus = config.cpus_per_replica
    if not any(node.get("GPU", 0) >= gpus and node.get("CPU", 0) >= cpus for node in nodes):
        most = ", ".join(f"{node.get('GPU', 0):g} GPUs and {node.get('CPU', 0):g} CPUs" for node in nodes) or "nothing"
        logger.warning(
            "a replica of the %s needs %g GPUs and %d CPUs, and the machines of the cluster have %s: it waits for one "
            "that has",
            spec.role,
            gpus,
            cpus,
            most,
        )
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    if not gpus:
        passed |= {"OMP_NUM_THREADS": str(cpus), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    return {
        "num_cpus": cpus,
        "num_gpus": gpus,
        "max_restarts": 0,
        "max_concurrency": 2,  # a batch, and the question how far it is
        "runtime_env": {"env_vars": passed},
    }


class _lost(contextlib.AbstractContextManager[None]):
    """Whatever Ray raises inside is a replica that is lost."""

    def __init__(self, name: str, where: str = "") -> None:
        self._name, self._where = name, where

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        import ray

        if isinstance(error, ray.exceptions.RayError):
            at = f" ({self._where})" if self._where else ""
            brief = f"{self._name} died: {type(error).__name__}"
            raise ReplicaLostError(brief, f"{at}: {first_line(error)}") from error
