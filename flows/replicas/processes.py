"""Replicas as processes of this machine, each on GPUs of its own, or on a share of the cores where there are none."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Final

from flows.models.crew import ReplicaLostError
from flows.replicas.engine import ReplicaSpec
from flows.replicas.messages import error_from_json
from flows.replicas.replica import About, Starting
from flows.replicas.worker import packages_here
from flows.versions.fingerprint import ROOT
from transforms.engines.protocol import Progress
from transforms.errors import ConfigError, EngineError

_SHOWN: Final = 300  # characters of what a process that died said last
_LOOK: Final = 1.0  # seconds


class ProcessReplica:
    """A process with one loaded engine. See `Replica`.

    Args:
        name: for messages.
        spec: what it loads.
        cores: it computes on; all by default.
        gpus: their numbers; None leaves what the driver sees.

    Raises:
        ModelError: the model cannot be loaded.
        ReplicaLostError: the process died while it loaded.
    """

    def __init__(self, name: str, spec: ReplicaSpec, *, cores: list[int], gpus: str | None) -> None:
        self.name = name
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        ours, theirs = socket.socketpair()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        if gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpus
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.replicas.process_worker", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                env=environment,
                start_new_session=True,  # Ctrl-C is the driver's to hear
            )
        self._connection = Connection(ours.detach())
        start = {"spec": spec.to_json(), "packages": packages_here(), "cores": cores}
        self.about = About("", 0.0)
        try:
            self._tell(b"S" + json.dumps(start).encode())
        except BaseException:  # nobody else has it to end
            self.end()
            raise

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def wait_until_loaded(self) -> None:
        """Return once it can be asked.

        Raises:
            ModelError: the model cannot be loaded.
            ReplicaLostError: the process died meanwhile.
        """
        found = json.loads(self._hear(b"U", lambda _requests, _tokens: None, None))
        self.about = About(f"{found['node']}, process {found['pid']}", found["loading_seconds"])

    def is_alive(self) -> bool:
        """Whether its process is there; see `Replica`."""
        return self._process.poll() is None

    def ask(self, requests: bytes, progress: Progress, silent_seconds: float) -> bytes:
        """The answer to a batch; see `Replica`."""
        self._tell(b"R" + requests)
        return self._hear(b"A", progress, silent_seconds)

    def kill(self) -> None:
        """Kill it and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, 9)

    def end(self) -> None:
        """Kill it and what it started, and let its socket and log go."""
        self.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._connection.close()
        self._said.close()

    def _tell(self, message: bytes) -> None:
        try:
            self._connection.send_bytes(message)
        except OSError as error:
            raise self._lost() from error

    def _hear(self, wanted: bytes, progress: Progress, silent_seconds: float | None) -> bytes:
        """What comes behind the letter `wanted`; progress is passed on until then."""
        heard = time.monotonic()
        while True:
            try:
                # In steps: a process that was started by this one may hold the socket open when it is dead.
                if not self._connection.poll(_LOOK):
                    if self._process.poll() is not None and not self._connection.poll():
                        raise self._lost()
                    if silent_seconds is not None and time.monotonic() - heard > silent_seconds:
                        text = f"{self.name} said nothing for {silent_seconds:.0f} s and was ended"
                        raise ReplicaLostError(text, f" ({self.about.node})")
                    continue
                message = self._connection.recv_bytes()
            except (EOFError, OSError) as error:
                raise self._lost() from error
            heard = time.monotonic()
            kind, rest = message[:1], message[1:]
            if kind == b"P":
                progress(*json.loads(rest))
            elif kind == wanted:
                return rest
            elif kind == b"E":
                raise error_from_json(rest, where=self.name)
            else:
                text = f"{self.name} sent a message {kind!r}, expected {wanted!r}"
                raise EngineError(text)

    def _lost(self) -> ReplicaLostError:
        try:
            code = self._process.wait(timeout=_LOOK)
        except (subprocess.TimeoutExpired, OSError):
            code = None
        how = "it does not answer" if code is None else f"exit code {code}" if code >= 0 else f"signal {-code}"
        return ReplicaLostError(f"{self.name} died: {how}", f" (process {self.pid}){self._last_words()}")

    def _last_words(self) -> str:
        try:
            size = self._said.seek(0, os.SEEK_END)
            self._said.seek(max(0, size - 4096))
            lines = self._said.read().decode(errors="replace").strip().splitlines()
        except ValueError:  # it was ended by us
            return ""
        return f"; it said last: {lines[-1].strip()[:_SHOWN]}" if lines else ""


class ThisMachine:
    """Starts replicas as processes. See `Place`.

    Args:
        spec: what each loads.
        count: replicas, among which GPUs or cores are shared out.

    Raises:
        ConfigError: fewer GPUs than they need.
    """

    def __init__(self, spec: ReplicaSpec, count: int) -> None:
        self._spec = spec
        self._cores, self._gpus = _cores(count), None
        gpus = _visible_gpus()
        if gpus:
            self._cores, self._gpus = [[] for _ in range(count)], _shares(spec, gpus, count)
        self._starting: Starting[ProcessReplica] = Starting()

    def start(self, number: int) -> ProcessReplica:
        """Start and load one; see `Place`."""
        gpus = None if self._gpus is None else self._gpus[number]
        name = f"{self._spec.role}-{number}"
        return self._starting.load(ProcessReplica(name, self._spec, cores=self._cores[number], gpus=gpus))

    def close(self) -> None:
        """End those that are being started."""
        self._starting.kill()


def _cores(count: int) -> list[list[int]]:
    """A share of the cores for each replica; with more replicas than cores they take turns on them."""
    if not hasattr(os, "sched_getaffinity"):
        return [[] for _ in range(count)]
    all_ = sorted(os.sched_getaffinity(0))
    each = max(1, len(all_) // count)
    return [[all_[(number * each + at) % len(all_)] for at in range(each)] for number in range(count)]


def _shares(spec: ReplicaSpec, gpus: list[str], count: int) -> list[str]:
    if len(gpus) < spec.gpus * count:
        message = (
            f"{spec.role}: {count} replicas of {spec.gpus} GPUs each need {spec.gpus * count}, and this machine shows "
            f"{len(gpus)}. Lower data_parallel or tensor_parallel"
        )
        raise ConfigError(message)
    return [",".join(gpus[number * spec.gpus : (number + 1) * spec.gpus]) for number in range(count)]


def _visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES of a replica may name; without torch, which would take memory of each."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() and name.strip() != "-1"]
    if not Path("/proc/driver/nvidia/gpus").is_dir():
        return []
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.split()
