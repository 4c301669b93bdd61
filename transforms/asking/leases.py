"""Leases on a ledger's batches: which run is paying for one now, so that runs that share a ledger share the work too.

A lease is the batch's `started-<batch>.json`, made so that one run alone can make it, and renewed while its engine
works. One whose run is gone is anybody's: at once where that run was on this machine, and after LEASE_SECONDS without
a renewal where it was elsewhere. No two machines' clocks are compared: who waits watches for a change by its own.

Two runs may still pay for one batch: where a file system cannot make a file for one alone, or where a run slept for
longer than its lease. The ledger then keeps the answers that came first.
"""

import contextlib
import json
import os
import platform
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import fsspec

# Three renewals may fail to come, by a busy disk or a store that answers slowly, before others take a batch.
LEASE_SECONDS: Final = 90.0
_RENEWALS: Final = 3
# Seconds. A process's beginning is counted from the machine's, which moves when its clock is set.
_SAME_PROCESS: Final = 5.0

Taken = Literal["new", "left", "held"]


class Leases:
    """The leases of one ledger's folder.

    Args:
        fs: of the folder.
        folder: where the leases lie.
        seconds: without a renewal, after which a lease of another machine has ended.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        fs: fsspec.AbstractFileSystem,
        folder: str,
        *,
        seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fs, self._folder, self._seconds, self._clock = fs, folder, seconds, clock
        self._mine = uuid.uuid4().hex
        self._held: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, tuple[str, float]] = {}  # a lease of another machine: its text, and since when
        self._lock = threading.Lock()
        self._renewing = False
        _LIVE.add(self)

    def take(self, name: str, requests: int) -> Taken:
        """Lease a batch, if nobody has it.

        Args:
            name: of the batch.
            requests: in it, for who reads the file.

        Returns:
            `new`: it is ours. `left`: it is ours, and a run that is gone had begun to pay for it. `held`: another has
            it.
        """
        note = {"requests": requests, "at": time.time(), "lease": self._mine, **_here()}
        path = self._path(name)
        while True:
            if self._create(path, note):
                self._hold(name, note)
                return "new"
            text = self._read(path)
            if text is None:
                continue  # given back between the two
            if not self._is_over(name, text):
                return "held"
            self._replace(path, note)
            if self._is_mine(path):  # of two that take it at once, the later one has it
                self._hold(name, note)
                return "left"
            return "held"

    def give_back(self, name: str) -> None:
        """End a lease: its batch is kept, or its engine has failed."""
        self.let_go(name)
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm(self._path(name))

    def let_go(self, name: str) -> None:
        """No longer renew a lease, and leave its file, for the next run to see that the batch was begun."""
        with self._lock:
            self._held.pop(name, None)

    def holds(self, path: str) -> bool:
        """Whether the lease in this file is one of these."""
        with self._lock:
            return any(self._path(name) == path for name in self._held)

    def _hold(self, name: str, note: dict[str, Any]) -> None:
        with self._lock:
            self._held[name] = note
            self._seen.pop(name, None)
            if self._renewing:
                return
            self._renewing = True
        threading.Thread(target=_renew_all, args=(weakref.ref(self), self._seconds / _RENEWALS), daemon=True).start()

    def renew(self) -> bool:
        """Write every held lease anew; False once there is none, and nobody has to come again."""
        with self._lock:  # so that none comes back after it was given back
            for name, note in self._held.items():
                note["at"] = time.time()
                with contextlib.suppress(OSError):  # the next one may come through
                    self._replace(self._path(name), note)
            self._renewing = bool(self._held)
            return self._renewing

    def _is_over(self, name: str, text: str) -> bool:
        """Whether the run that made a lease is gone, or has not renewed it for too long."""
        note: dict[str, Any] = {"place": ""}  # of a file that is torn
        with contextlib.suppress(json.JSONDecodeError):
            note = json.loads(text)
        if "place" not in note:
            return True  # by a release that knew no leases
        if note["place"] == _place():
            return not self._is_alive(name, note)
        before, since = self._seen.setdefault(name, (text, self._clock()))
        if before != text:
            self._seen[name] = text, self._clock()
            return False
        return self._clock() - since >= self._seconds

    def _is_alive(self, name: str, note: dict[str, Any]) -> bool:
        if note.get("pid") == os.getpid():
            return any(one.holds(self._path(name)) for one in _LIVE if one is not self)
        began = _began(int(note["pid"]))
        return began is not None and abs(began - note.get("began", 0.0)) < _SAME_PROCESS

    def _is_mine(self, path: str) -> bool:
        text = self._read(path)
        return text is not None and self._mine in text

    def _create(self, path: str, note: dict[str, Any]) -> bool:
        """Whether the file was not there and is now."""
        data = json.dumps(note).encode()
        try:
            if is_local(self._fs):
                self._link(path, data)
            else:  # stores that can, make it for one alone
                self._fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        return self._is_mine(path)

    def _link(self, path: str, data: bytes) -> None:
        """Make a local file that is whole from its first moment, if it is not there."""
        temporary = Path(self._write_temporary(data))
        try:
            Path(path).hardlink_to(temporary)
        except FileExistsError:
            raise
        except OSError:  # a disk without links
            with Path(path).open("xb") as sink:
                sink.write(data)
        finally:
            temporary.unlink()

    def _replace(self, path: str, note: dict[str, Any]) -> None:
        self._fs.mv(self._write_temporary(json.dumps(note).encode()), path)

    def _write_temporary(self, data: bytes) -> str:
        path = f"{self._folder}/tmp-{uuid.uuid4().hex}"
        self._fs.pipe_file(path, data)
        return path

    def _read(self, path: str) -> str | None:
        try:
            return str(self._fs.cat_file(path).decode(errors="replace"))
        except FileNotFoundError:
            return None

    def _path(self, name: str) -> str:
        return f"{self._folder}/started-{name}.json"


_LIVE: "weakref.WeakSet[Leases]" = weakref.WeakSet()


def _renew_all(leases: "weakref.ref[Leases]", seconds: float) -> None:
    """Until none is held, or whoever held them is gone."""
    while True:
        time.sleep(seconds)
        found = leases()
        if found is None or not found.renew():
            return
        del found


def _began(pid: int) -> float | None:
    """When a process of this machine began, so that another one with its number is told from it; None: it is gone."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def _here() -> dict[str, Any]:
    """This process, and the machine and process namespace that its number means something in."""
    return {"place": _place(), "pid": os.getpid(), "began": _began(os.getpid())}


@cache
def _place() -> str:
    parts = [platform.node()]
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.is_file():
        parts += [boot.read_text().strip(), str(namespace.readlink())]
    return " ".join(parts)


def is_local(fs: fsspec.AbstractFileSystem) -> bool:
    """Whether its files lie on this machine's disks."""
    return "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))
