"""lm-evaluation-harness in an environment of its own: what is installed there, and a run as a child process."""

import codecs
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO, Final

from flows.runtime.progress import Advance, Progress
from transforms.errors import ConfigError, EngineError, without_secrets
from transforms.text import visible_plain

MODULE: Final = "lm_eval"
INSTALL: Final = 'python3 -m venv lm-eval && lm-eval/bin/pip install "lm_eval[hf]"'
# Printed by the Python that is asked; versions there that can change a number.
_PROBE: Final = """
import json, platform
from importlib.metadata import PackageNotFoundError, version
import lm_eval
found = {"python": platform.python_version()}
for name in ("lm_eval", "accelerate", "datasets", "evaluate", "tokenizers", "torch", "transformers"):
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""
_PROBE_SECONDS: Final = 300.0  # a cold disk, a network file system
_NEEDED: Final = ("torch", "transformers", "accelerate")  # of the `hf` backend, and no part of a plain lm_eval
# Variables that would lead another interpreter into this environment, or switch off the bars that are read here.
_NOT_THEIRS: Final = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "TQDM_DISABLE")
_BAR: Final = re.compile(r"^(?P<what>[^|]*?):?\s*\d+%\|[^|]*\|\s*(?P<done>\d+)/(?P<total>\d+)\s*\[")
_BAR_CHARS: Final = 300
_LAST_LINES: Final = 12
_LINE_CHARS: Final = 2_000
_UNKNOWN_TASK: Final = re.compile(r"ValueError: Tasks not found: (?P<names>.*)")  # its line, not the traceback's code
_END_SECONDS: Final = 10.0


def find_python(named: str) -> str:
    """The interpreter that a configuration names, as a path; a link stays one, for it decides the environment.

    Raises:
        ConfigError: there is none.
    """
    if os.sep in named or named.startswith("~"):
        path = Path(named).expanduser().absolute()
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
        found = "a folder" if path.is_dir() else "no program" if path.exists() else "not there"
        message = f"tasks.python: {named} is {found}; expected the python of an environment with lm_eval: {INSTALL}"
        raise ConfigError(message)
    found_path = shutil.which(named)
    if found_path is None:
        message = f"tasks.python: no program {named} in PATH; expected the python of an environment with lm_eval: "
        raise ConfigError(message + INSTALL)
    return found_path


def installed(python: str) -> dict[str, str]:
    """Versions of lm_eval and of what it computes with, where this interpreter finds them.

    Raises:
        ConfigError: lm_eval or its `hf` backend is not there, or it is no Python that answers.
    """
    try:
        done = subprocess.run(
            [python, "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(),
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"tasks.python: {python} did not say in {_PROBE_SECONDS:g} s which lm_eval it has"
        raise ConfigError(message) from error
    except OSError as error:
        message = f"tasks.python: {python} cannot be started: {error.strerror or error}"
        raise ConfigError(message) from error
    install = f'{python} -m pip install "lm_eval[hf]"'
    if done.returncode != 0:
        last = _shown((done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1])
        if "No module named 'lm_eval'" in last:
            message = f"tasks.python: there is no lm_eval in the environment of {python}; install it: {install}"
        else:
            message = f"tasks.python: {python} cannot import lm_eval (exit code {done.returncode}): {last}"
        raise ConfigError(message)
    try:
        found = json.loads(done.stdout.strip().splitlines()[-1])
        versions = {str(name): str(version) for name, version in found.items()}
    except (ValueError, IndexError, AttributeError) as error:
        said = _shown(done.stdout.strip()[-200:])
        message = f"tasks.python: {python} does not answer as a Python does: it printed {said!r}"
        raise ConfigError(message) from error
    if lacking := [name for name in (MODULE, *_NEEDED) if name not in versions]:
        message = f"tasks.python: the environment of {python} lacks {', '.join(lacking)}; install them: {install}"
        raise ConfigError(message)
    return versions


def environment() -> dict[str, str]:
    """Variables of the child: ours, without those that lead into this environment.

    HF_TOKEN is among them, for models and data behind a licence; lm_eval prints none of them.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_THEIRS}
    # Safe path: with -m Python would look for lm_eval's own imports in the folder that the command is run in first.
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1", "PYTHONIOENCODING": "utf-8"}


def run_harness(command: Sequence[str], log: Path, progress: Progress) -> None:
    """Run lm_eval to its end; its bars are bars here, and all else that it prints goes into a file without secrets.

    Args:
        command: the program and its arguments; no shell reads them.
        log: file for what it prints.
        progress: shows its bars.

    Raises:
        EngineError: it failed, with its exit code and last lines.
        ConfigError: it knows no such task.
    """
    last: deque[str] = deque(maxlen=_LAST_LINES)
    child = _start(command)
    try:
        with log.open("w", encoding="utf-8") as file, _Bars(progress) as bars:
            for line in _lines(child):
                if match := _BAR.match(line[:_BAR_CHARS]):
                    bars.show(match["what"].strip(), int(match["done"]), int(match["total"]))
                elif line.strip():
                    shown = _shown(line)
                    file.write(shown + "\n")
                    if set(shown.strip()) - {"^", "~"}:  # what a traceback underlines takes the place of what it says
                        last.append(shown)
        code = child.wait()
    finally:
        _end(child)
    if code != 0:
        raise _failure(command[0], code, list(last), log)


def _start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,  # its data loaders end with it
        )
    except OSError as error:
        message = f"lm_eval cannot be started by {command[0]}: {error.strerror or error}"
        raise EngineError(message) from error


def _lines(child: "subprocess.Popen[bytes]") -> Iterator[str]:
    """What it prints, by lines; each state of a bar, behind a carriage return, is one."""
    output: IO[bytes] | None = child.stdout
    if output is None:
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while chunk := os.read(output.fileno(), 1 << 16):
        *whole, rest = re.split(r"[\r\n]", rest + decoder.decode(chunk))
        yield from whole
        rest = rest[-1_000_000:]  # of a line without an end
    yield rest


class _Bars(AbstractContextManager["_Bars"]):
    """The bars of the child, one at a time as it shows them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._open: AbstractContextManager[Advance] | None = None
        self._advance: Advance | None = None
        self._what = ("", 0)
        self._done = 0

    def show(self, what: str, done: int, total: int) -> None:
        """A bar of theirs has come so far."""
        if not what:  # contexts of a task: too short to be shown, and as many as there are tasks
            return
        if (what, total) != self._what or done < self._done:
            self._close()
            unit = "requests" if what.endswith("requests") else "steps"
            self._open = self._progress.bar(f"{MODULE}: {_shown(what)}", unit=unit, total=total)
            self._advance = self._open.__enter__()
            self._what, self._done = (what, total), 0
        if self._advance is not None and done > self._done:
            self._advance(done - self._done)
            self._done = done

    def __exit__(self, *_error: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = self._advance = None


def _failure(python: str, code: int, last: list[str], log: Path) -> EngineError | ConfigError:
    unknown = next((match for line in last if (match := _UNKNOWN_TASK.fullmatch(line))), None)
    if unknown:
        return ConfigError(
            f"tasks.names: lm_eval knows no task {unknown['names']}; `{python} -m lm_eval ls tasks` lists those "
            "that it has, and tasks.include_path names a folder with your own"
        )
    how = f"exit code {code}"
    if code < 0:
        how = signal.Signals(-code).name if -code in {one.value for one in signal.Signals} else f"signal {-code}"
        how += ": out of memory?" if -code == signal.SIGKILL else ""
    said = "\n".join(f"  {line}" for line in last) or "  nothing"
    return EngineError(f"lm_eval failed ({how}). Its last lines, of {log}:\n{said}")


def _shown(line: str) -> str:
    """A line of the child as a log and a terminal may hold it."""
    return visible_plain(without_secrets(line))[:_LINE_CHARS]


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End the child with all that it started, wherever this process was stopped."""
    if child.returncode is None:  # not waited for, so the number of its group is its own still
        _signal(child, signal.SIGTERM)
        until = time.monotonic() + _END_SECONDS
        while time.monotonic() < until and not os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            time.sleep(0.05)
        _signal(child, signal.SIGKILL)
        child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _signal(child: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
