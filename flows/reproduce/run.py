"""The steps run, each as a process of its own; one that fails stops only those that build on it."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from flows.reproduce.output import Places, StepDone
from flows.reproduce.plan import Plan, ToCome
from flows.reproduce.steps import ReadyStep
from flows.runtime.cli import Terminated
from flows.versions.fingerprint import code_hash
from transforms.text import visible_plain

TAIL: Final = 15  # lines of a log that are shown of a step that failed
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_GRACE: Final = 60.0  # seconds that a command has for its end: it writes what it has paid for to the ledger


@dataclass
class Ran:
    """What became of the steps."""

    done: dict[str, StepDone]
    failed: dict[str, str] = field(default_factory=dict)  # step → why, in a line


def run_steps(plan: Plan, say: Callable[[str], None], say_failed: Callable[[str, str], None]) -> Ran:
    """Run what is not finished, in order.

    Args:
        plan: the steps; its folder is held by this process.
        say: a line of progress.
        say_failed: what failed, and the end of its log.
    """
    ran = Ran(dict(plan.finished))
    for number, (name, step) in enumerate(plan.steps.items(), 1):
        place = f"step {number} of {len(plan.steps)}  {name}"
        if name in plan.finished:
            say(f"{place}  finished before, in {seconds_in_words(plan.finished[name].seconds)}")
            continue
        if missing := [one for one in step.built_on if one not in ran.done]:
            ran.failed[name] = f"not run: it reads {', '.join(missing)}, which failed"
            say(f"{place}  {ran.failed[name]}")
            continue
        log = plan.places.log(name)
        say(f"{place}  {step.shown}")
        for path in step.edited:
            say(f"    {path} was changed by hand, and is used as it is")
        code, done = _run(step, plan.places, ran.done)
        if code == 0 and plan.places.step(name).is_dir():
            ran.done[name] = done
            say(f"    {seconds_in_words(done.seconds)}; to come: {to_come_in_words(plan.hours(ran.done))}")
            continue
        why = f"{_end_in_words(code)}; its log is {log}"
        ran.failed[name] = why
        say_failed(f"step {name} failed: {why}", tail(log))
    return ran


def seconds_in_words(seconds: float) -> str:
    """`41 s`, `12 min`, `3.4 h` or `42 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36000 else f"{seconds / 3600:.0f} h"


def to_come_in_words(found: ToCome) -> str:
    """Of an estimate, and of how many entries have none."""
    about = "about" if found.exact else "at most about"
    parts = [f"{about} {seconds_in_words(found.hours * 3600)}"] if found.hours else []
    parts += [f"{found.unknown} without an estimate"] if found.unknown else []
    return ", and ".join(parts) or "nothing"


def tail(log: Path) -> str:
    """The end of a log; what it holds of strangers' texts cannot write to the terminal."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        return visible_plain("".join(deque(lines, TAIL))).rstrip()


def _run(step: ReadyStep, places: Places, done: dict[str, StepDone]) -> tuple[int, StepDone]:
    """Its exit code, and the record that is kept of it also where it is stopped."""
    start = time.monotonic()
    before = places.done(step.name)
    # A try with these inputs that did not come to its end: what it paid for is not paid again, so its time counts.
    earlier = before.seconds if before and not before.finished and before.fingerprint == step.fingerprint else 0.0
    built_on = {name: done[name].ended_at for name in step.built_on}
    project = code_hash("flows", "transforms", "trainers")

    def note(*, finished: bool) -> StepDone:
        seconds = earlier + time.monotonic() - start
        ended_at = datetime.now(UTC).isoformat()
        found = StepDone(
            fingerprint=step.fingerprint,
            finished=finished,
            seconds=seconds,
            ended_at=ended_at,
            built_on=built_on,
            code=project,
        )
        places.note(step.name, found)
        return found

    note(finished=False)  # from here on its folder holds nothing finished, however this process ends
    step.write()
    log = places.log(step.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    code = None
    try:
        with log.open("w", encoding="utf-8") as sink:
            sink.write(f"{step.shown}\n")
            sink.flush()
            code = _wait(step.argv, sink.fileno())
    finally:
        found = note(finished=code == 0 and places.step(step.name).is_dir())
    return code, found


def _wait(argv: list[str], sink: int) -> int:
    # A log is wider than a terminal, and is read while it is written.
    environment = {"COLUMNS": "120", "PYTHONUNBUFFERED": "1"} | os.environ
    # In this process's group: Ctrl-C reaches it without us, and so does the end of a terminal.
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=sink,
        stderr=subprocess.STDOUT,
        env=environment,
        preexec_fn=_end_with_us(),
    ) as process:
        try:
            return process.wait()
        except (KeyboardInterrupt, Terminated) as stopped:
            if isinstance(stopped, KeyboardInterrupt):
                _ends_within(process, 10)
            if process.poll() is None:
                process.terminate()
                if not _ends_within(process, _GRACE):
                    process.kill()
            raise


def _end_with_us() -> Callable[[], object] | None:
    """What a process does first so that it ends where this one is killed: else another run would find it at work."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # found before the fork, behind which little is safe
    return partial(prctl, _PR_SET_PDEATHSIG, signal.SIGTERM)


def _ends_within(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end_in_words(code: int) -> str:
    if code == 0:
        return "it ended without an error and left no folder"
    return f"exit code {code}" if code > 0 else f"it was killed by signal {-code}"
