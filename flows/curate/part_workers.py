"""Workers that prepare parts: processes of this machine, or tasks of a Ray cluster. Either may lose one at any time.

Ray's tasks and not Ray Data: what is to be spread are a few numbers. Rows of a Ray Data set would travel twice through
its object store, lose their order, and vanish by the block where `max_errored_blocks` lets a row fail.
"""

import logging
import multiprocessing
import os
import signal
import socket
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol

from flows.curate.part_work import Job, PartCounts, work
from flows.recipe.preparation import PreparationConfig
from transforms.errors import ConfigError, EngineError, first_line

LOSSES: Final = 3  # times that a part is begun again because its worker died
# Tries to start a cluster here. Ray 2.60's node aborts where a helper of it, 2 s of Python, is not up within 15 s (a
# constant): on two cores that eighteen processes waited for, four starts of five failed so.
STARTS: Final = 4
KNOCK_SECONDS: Final = 10.0
logger = logging.getLogger(__name__)


class Done(NamedTuple):
    """A part that a worker has prepared."""

    number: int
    counts: PartCounts


class Workers(Protocol):
    """A few parts at a time, finished in any order."""

    def begin(self, number: int) -> None:
        """Have a part prepared."""

    def next_done(self) -> Done:
        """Wait for one of those that were begun.

        Raises:
            CurationError: as its worker raises it, or its workers died again and again.
        """


@contextmanager
def open_workers(config: PreparationConfig, job: Job) -> Iterator[Workers]:
    """Workers as the recipe asks for, gone at the end.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address.
    """
    opened = _ray_tasks(config, job) if config.on == "ray" else _processes(config, job)
    with opened as workers:
        yield workers


def threads_of(workers: int) -> int:
    """Threads for each of some workers, so that together they take the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // workers)


@contextmanager
def _processes(config: PreparationConfig, job: Job) -> Iterator["_Processes"]:
    workers = _Processes(config.workers, job)
    try:
        yield workers
    finally:
        workers.close()


class _Processes:
    """Processes of this machine. When one dies, Python ends the others; all are started anew."""

    def __init__(self, workers: int, job: Job) -> None:
        self._workers = workers
        self._job = job
        self._losses: dict[int, int] = {}
        self._begun: dict[Future[PartCounts], int] = {}
        self._pool = self._open()

    def begin(self, number: int) -> None:
        try:
            self._begun[self._pool.submit(work, self._job, number)] = number
        except BrokenProcessPool:
            self._start_again()
            self._begun[self._pool.submit(work, self._job, number)] = number

    def next_done(self) -> Done:
        while True:
            finished = next(iter(wait(self._begun, return_when=FIRST_COMPLETED).done))
            try:
                counts = finished.result()
            except BrokenProcessPool:
                self._start_again()
            else:
                return Done(self._begun.pop(finished), counts)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _open(self) -> ProcessPoolExecutor:
        # Not fork, which copies threads' locks; and nobody starts what is never asked.
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, mp_context=spawn, initializer=_end_with_parent)

    def _start_again(self) -> None:
        """Begin what was not finished once more, in new processes.

        Raises:
            EngineError: a part that lost its worker too often.
        """
        self._pool.shutdown(cancel_futures=True)
        lost = {future: number for future, number in self._begun.items() if future.cancelled() or future.exception()}
        for number in lost.values():
            self._losses[number] = self._losses.get(number, 0) + 1
        numbers = sorted(lost.values())
        if hopeless := [number for number in numbers if self._losses[number] > LOSSES]:
            raise _died(hopeless)
        logger.warning("a worker died; %s will be prepared again", _parts(numbers))
        self._pool = self._open()
        for future, number in lost.items():
            del self._begun[future]
            self.begin(number)


def _end_with_parent() -> None:
    """End this worker when the run is gone, however it went; Ctrl-C is the run's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _ray_tasks(config: PreparationConfig, job: Job) -> Iterator["_RayTasks"]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        message = "preparation.on: ray needs Ray, which is not installed: pip install 'preference-curation[ray]'"
        raise ConfigError(message) from error
    if ray.is_initialized():  # somebody else's in this process, who also ends it
        yield _RayTasks(ray, job)
        return
    _connect(ray, config)
    try:
        yield _RayTasks(ray, job)
    finally:
        ray.shutdown()


def _connect(ray: Any, config: PreparationConfig) -> None:
    """Start a cluster on this machine, or join one.

    Raises:
        ConfigError: there is none at the address.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if config.ray_address == "local":
        options |= {
            "address": "local",
            "num_cpus": config.workers,
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
            # Only numbers and counts go through it; by default it takes 30 % of the machine's memory.
            "object_store_memory": 100 << 20,
            # A worker that runs out of memory is started again for ever by default.
            "_system_config": {"task_oom_retries": LOSSES},
        }
    else:
        options["address"] = config.ray_address
        _knock(config.ray_address)
    problem: Exception
    for _ in range(STARTS if config.ray_address == "local" else 1):
        try:
            ray.init(**options)
        except Exception as error:  # noqa: BLE001 - Ray's own, Python's and gRPC's
            problem = error
            _end_half_started(error)
            logger.warning("Ray does not start or answer: %s", first_line(error))
        else:
            return
    raise _no_cluster(config.ray_address, first_line(problem)) from problem


def _knock(address: str) -> None:
    """Refuse an address at which nobody listens: Ray itself asks there for minutes.

    Raises:
        ConfigError: there is nobody.
    """
    host, _, port = address.removeprefix("ray://").rstrip("/").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, first_line(error)) from error


def _no_cluster(address: str, why: str) -> ConfigError:
    where, advice = "on this machine", "prepare without it (preparation.on: processes)"
    if address != "local":
        where, advice = f"at {address}", "start one there (ray start --head), or set preparation.ray_address: local"
    return ConfigError(f"preparation.on: ray has no cluster {where}: {why}. Look into it, or {advice}")


def _end_half_started(error: Exception) -> None:
    """End what a start left running, which takes the next one's time: only the failed call still knows of it."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        end = getattr(frame.f_locals.get("self"), "kill_all_processes", None)
        if end is not None:
            end(check_alive=False, allow_graceful=False)


class _RayTasks:
    """Tasks of a Ray cluster, a CPU each. Ray itself does a task again whose worker or machine is gone."""

    def __init__(self, ray: Any, job: Job) -> None:
        self._ray = ray
        self._job = job
        self._task = ray.remote(num_cpus=1, max_retries=LOSSES)(work)
        self._begun: dict[Any, int] = {}

    def begin(self, number: int) -> None:
        self._begun[self._task.remote(self._job, number)] = number

    def next_done(self) -> Done:
        finished = self._ray.wait(list(self._begun), num_returns=1)[0][0]
        number = self._begun.pop(finished)
        try:
            return Done(number, self._ray.get(finished))
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error  # what the worker raised
        except self._ray.exceptions.RayError as error:
            raise _died([number], first_line(error)) from error


def _died(numbers: list[int], why: str = "") -> EngineError:
    said = f" ({why})" if why else ""
    message = (
        f"preparation: the workers of {_parts(numbers)} died {LOSSES + 1} times{said}. Most often memory is short: set "
        "preparation.workers lower"
    )
    return EngineError(message)


def _parts(numbers: list[int]) -> str:
    return f"part{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
