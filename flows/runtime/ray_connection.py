"""A Ray cluster, started on this machine or joined; Ray is imported here, by whoever a recipe asks for it."""

import contextlib
import ctypes
import logging
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Final

from transforms.errors import ConfigError, first_line

# Set before Ray starts anything: no report to its makers, and GPUs stay visible to what asks Ray for none.
_ENVIRONMENT: Final = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# Tries to start a cluster here. Ray 2.60's node aborts where a helper of it, 2 s of Python, is not up within 15 s (a
# constant): on two cores that eighteen processes waited for, four starts of five failed so.
STARTS: Final = 4
KNOCK_SECONDS: Final = 10.0
# Of a cluster here. By default it takes 30 % of the machine's memory, and numbers and batches of requests are small.
_OBJECT_STORE: Final = 256 << 20
logger = logging.getLogger(__name__)


def connect(address: str, *, key: str, otherwise: str, local: Mapping[str, Any] | None = None) -> Any:
    """Ray, connected; as it is where this process is connected already.

    Args:
        address: `local` starts a cluster on this machine, which listens to this machine alone; `auto`, `host:port` and
            `ray://host:port` is one that runs.
        key: of the recipe, for messages.
        otherwise: what to do without Ray, for messages.
        local: options of a cluster that is started here.

    Raises:
        ConfigError: Ray is missing, or there is no cluster at the address.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        message = f"{key} needs Ray, which is not installed: pip install 'preference-curation[ray]', or {otherwise}"
        raise ConfigError(message) from error
    if ray.is_initialized():
        return ray
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "address": address}
    if address == "local":
        options |= {
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE,
            "_node_ip_address": "127.0.0.1",  # whoever reaches a Ray port may run code
            **(local or {}),
        }
    else:
        _knock(address, key, otherwise)
    problem: Exception
    for _ in range(STARTS if address == "local" else 1):
        try:
            _in_a_thread_that_stays(lambda: ray.init(**options))
        except Exception as error:  # noqa: BLE001 - Ray's own, Python's and gRPC's
            problem = error
            _end_half_started(error)
            logger.warning("Ray does not start or answer: %s", first_line(error))
        else:
            return ray
    raise _no_cluster(address, key, otherwise, first_line(problem)) from problem


def _in_a_thread_that_stays(start: Callable[[], Any]) -> None:
    """Start Ray where nothing ends before this process does.

    Linux kills the processes of a cluster here with the *thread* that started them (PR_SET_PDEATHSIG), and the threads
    that ask for replicas end with their stage. A driver whose cluster is gone is ended by Ray, a minute later.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            with _sigterm_kept():
                start()
        except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
            done.set_exception(error)
        else:
            done.set_result(None)
            threading.Event().wait()

    threading.Thread(target=run, name="ray", daemon=True).start()
    done.result()


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Keep what SIGTERM does here. Not in the main thread, where Ray sets a handler of Python, too.

    Ray 2.60 takes the signal in C below Python, prints a stack and aborts (134), so that nobody is told and nothing is
    tidied. Only the main thread may set Python's handlers, hence the C library: a `struct sigaction`, 152 bytes under
    glibc, is read and written back as it is.
    """
    sigaction = ctypes.CDLL(None).sigaction
    kept = (ctypes.c_byte * 1024)()
    sigaction(signal.SIGTERM, None, kept)
    try:
        yield
    finally:
        sigaction(signal.SIGTERM, kept, None)


def _knock(address: str, key: str, otherwise: str) -> None:
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
        raise _no_cluster(address, key, otherwise, first_line(error)) from error


def _no_cluster(address: str, key: str, otherwise: str, why: str) -> ConfigError:
    where, advice = "on this machine", otherwise
    if address != "local":
        where = "that this machine belongs to" if address == "auto" else f"at {address}"
        advice = f"start one there (ray start --head), set the address to local, or {otherwise}"
    return ConfigError(f"{key} has no Ray cluster {where}: {why}. Look into it, or {advice}")


def _end_half_started(error: Exception) -> None:
    """End what a start left running, which takes the next one's time: only the failed call still knows of it."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        end = getattr(frame.f_locals.get("self"), "kill_all_processes", None)
        if end is not None:
            end(check_alive=False, allow_graceful=False)
