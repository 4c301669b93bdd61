"""A user's function, called in processes of its own: one that hangs or dies takes its answer with it and nothing else.

It runs as the user who runs this: its time and memory are limited, what it may read, write and send is not.
"""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Timer
from typing import Any, Final, NamedTuple

from transforms.engines.protocol import LOCAL, ModelIdentity, Progress, no_progress
from transforms.errors import ConfigError, EngineError
from transforms.text import one_line, visible_plain

_CHILD: Final = Path(__file__).with_name("rule_child.py")
# Imports of the user's file take what they take (torch: 10 s and more on a busy machine), but not forever.
_START_SECONDS: Final = 120.0
_SHOWN: Final = 300
# Names of variables that hold secrets, and values that are addresses with a password.
_SECRET_NAME: Final = re.compile(r"TOKEN|KEY|SECRET|PASS|CREDENTIAL|AUTH|COOKIE|PRIVATE|DSN|CONNECTION_STRING", re.I)
_SECRET_VALUE: Final = re.compile(r"://[^/\s@]*:[^/\s@]*@")
# A process a core is enough.
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class RuleFunction(NamedTuple):
    """A function in a file, as it was when it was looked for."""

    path: str  # absolute
    name: str
    sha256: str  # of the file; what it imports from other files is not seen
    timeout_s: float
    memory_mib: int | None

    @property
    def identity(self) -> ModelIdentity:
        """What fixes its answers: the file's bytes, and which function of them."""
        fingerprint = hashlib.sha256(f"{self.sha256}:{self.name}".encode()).hexdigest()
        return ModelIdentity(self.name, LOCAL, fingerprint, "float64", "rule")


class RuleQuestion(NamedTuple):
    """A response to score after its prompt."""

    request_id: str
    messages: Sequence[Mapping[str, str]]  # role and content of each turn
    response: str


def find_rule(function: str, *, timeout_s: float, memory_mib: int | None) -> RuleFunction:
    """The function that `path/to/file.py:name` means. The file is hashed and not run.

    Raises:
        ConfigError: there is no such file.
    """
    path, _, name = function.rpartition(":")
    try:
        code = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path that none can be
        why = getattr(error, "strerror", None) or error
        message = f"the rule {function} cannot be read: {why}. Expected path/to/file.py:name"
        raise ConfigError(message) from error
    return RuleFunction(str(Path(path).resolve()), name, hashlib.sha256(code).hexdigest(), timeout_s, memory_mib)


def check_rule(rule: RuleFunction) -> None:
    """Import the file in a process of its own, so that what is wrong with it is said before anything is done.

    Raises:
        ConfigError: it cannot be imported, or there is no function in it that takes a prompt and a response.
    """
    _Process(rule).stop()


class RuleProcesses:
    """Processes that call a function, at most one a core; a process that is lost is started anew."""

    def __init__(self, rule: RuleFunction) -> None:
        self._rule = rule
        self._all: list[_Process] = []

    def score(self, questions: Sequence[RuleQuestion], progress: Progress = no_progress) -> list[float | str]:
        """A finite number for each question, in their order; a string says why there is none.

        Raises:
            ConfigError: the file changed, or a process cannot be started any more.
            EngineError: the same, for lack of memory or processes.
        """
        wanted = min(_cores(), len(questions))
        while len(self._all) < wanted:
            self._all.append(_Process(self._rule))
        free: SimpleQueue[_Process] = SimpleQueue()
        for process in self._all:
            free.put(process)

        def one(question: RuleQuestion) -> float | str:
            process = free.get()
            try:
                return process.call(question)
            finally:
                free.put(process)

        found = []
        with ThreadPoolExecutor(max(wanted, 1)) as pool:
            for score in pool.map(one, questions):
                found.append(score)
                progress(1, 0)  # here, as it knows nothing of threads
        return found

    def close(self) -> None:
        """End all processes."""
        while self._all:
            self._all.pop().stop()


class _Process:
    """One child. Its group is its own, so that what it started ends with it."""

    def __init__(self, rule: RuleFunction) -> None:
        self._rule = rule
        self._sent = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._start()

    def call(self, question: RuleQuestion) -> float | str:
        """What the function says of one response; a string says why it says nothing."""
        if self._child is None:
            self._start()
        self._sent += 1
        said = {"id": self._sent, "messages": list(question.messages), "response": question.response}
        answer, in_time = self._exchange(said, self._rule.timeout_s)
        if answer is not None and answer.get("id") == self._sent:
            if not in_time:  # it answered, and was ended right after
                self.stop()
            error = answer.get("error")
            return float(answer["value"]) if error is None else one_line(visible_plain(str(error)), _SHOWN)
        code = self.stop()
        if not in_time:
            return f"it took longer than timeout_s: {self._rule.timeout_s:g}"
        if answer is not None:
            return "its process wrote an answer to another question"
        return f"its process ended: {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"

    def stop(self) -> int:
        """End the process with all that it started; its exit code."""
        child, self._child = self._child, None
        if child is None:
            return 0
        _kill(child)  # one that has ended keeps its exit code, and its group its number until it is waited for
        if child.stdin is not None and child.stdout is not None:
            child.stdout.close()
            with contextlib.suppress(OSError):  # a line that it never read
                child.stdin.close()
        return child.wait()

    def _start(self) -> None:
        try:
            self._child = subprocess.Popen(  # our own file, with the interpreter that runs this
                [sys.executable, "-I", str(_CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(os.environ),
                start_new_session=True,
            )
        except OSError as error:
            message = f"no process can be started for the rule {self._shown}: {error.strerror or error}"
            raise EngineError(message) from error
        rule = self._rule
        start = {
            "function": [rule.path, rule.name, rule.sha256],
            "memory_mib": rule.memory_mib,
            "timeout_s": rule.timeout_s,
        }
        answer, in_time = self._exchange(start, _START_SECONDS)
        if answer == {"ready": True}:
            return
        code = self.stop()
        if answer is not None and "error" in answer:
            why = one_line(visible_plain(str(answer["error"])), _SHOWN)
        elif not in_time:
            why = f"importing it takes longer than {_START_SECONDS:g} s"
        else:
            why = f"importing it ends the process with exit code {code}; is memory_mib: {rule.memory_mib} enough?"
        message = f"the rule {self._shown} cannot be used: {why}"
        raise ConfigError(message)

    @property
    def _shown(self) -> str:
        return f"{Path(self._rule.path).name}:{self._rule.name}"

    def _exchange(self, said: dict[str, Any], seconds: float) -> tuple[dict[str, Any] | None, bool]:
        """A line there and one back; None where the process is gone, and whether it ended within its time."""
        child = self._child
        if child is None or child.stdin is None or child.stdout is None:
            return None, True
        fired = False

        def end() -> None:
            nonlocal fired
            fired = True
            _kill(child)

        timer = Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            child.stdin.write(json.dumps(said).encode() + b"\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except OSError:
            line = b""
        finally:
            timer.cancel()
            timer.join()
        try:
            answer = json.loads(line)
        except ValueError:
            return None, not fired
        return (answer if isinstance(answer, dict) else None), not fired


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables without what looks like a secret."""
    kept = {
        name: value
        for name, value in variables.items()
        if not _SECRET_NAME.search(name) and not _SECRET_VALUE.search(value)
    }
    return kept | _ONE_THREAD


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """The whole group: the child may have started others, and they may live on without it."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        child.kill()
