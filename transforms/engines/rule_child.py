"""Run by rule_process as a process of its own, by the standard library alone: a user's function, called line by line.

stdin   {"function": [path, name, sha256], "memory_mib": n or null, "timeout_s": s}, then {"id": n, "messages": …,
        "response": …} lines
stdout  {"ready": true} or {"error": …}, then {"id": n, "value": x} or {"id": n, "error": …} lines

JSON and no pickle. What the function prints goes nowhere.
"""

import hashlib
import inspect
import json
import math
import numbers
import os
import resource
import signal
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

# A process whose parent is gone ends by itself, so much after its time.
_GRACE_SECONDS: Final = 5.0
_MIB: Final = 1 << 20
_MOST: Final = 1e100  # of a score: sums of squares of more are infinite, and then all scores are ties
_SHOWN: Final = 200  # characters of an error


class _Unusable(Exception):
    """The file, or the function in it."""


def main() -> None:
    """Answer until there is nothing more to read."""
    lines, answers = _own_streams()
    start = json.loads(next(lines))
    try:
        if start["memory_mib"] is not None and sys.platform != "darwin":  # whose processes begin above any limit
            limit = start["memory_mib"] * _MIB
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        function = _function(*start["function"])
        whole = _check_parameters(function)
    except (_Unusable, OSError, ValueError) as error:
        _say(answers, {"error": str(error)})
        return
    _say(answers, {"ready": True})
    for line in lines:
        question = json.loads(line)
        prompt = question["messages"] if whole else _last_user_turn(question["messages"])
        with _alarm(start["timeout_s"] + _GRACE_SECONDS):
            answer = _call(function, prompt, question["response"])
        _say(answers, {"id": question["id"], **answer})


def _own_streams() -> tuple[Iterator[str], TextIO]:
    """stdin and stdout under numbers that no print and no child of the function knows; both lead nowhere after."""
    lines, answers = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    return iter(lines), answers


def _say(answers: TextIO, what: dict[str, Any]) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


def _function(path: str, name: str, sha256: str) -> Callable[..., Any]:
    with open(path, "rb") as file:  # noqa: PTH123  # this process imports what it must
        code = file.read()
    if hashlib.sha256(code).hexdigest() != sha256:
        message = "the file changed since the run began: run the command again"
        raise _Unusable(message)
    # Files beside it may be imported, as if it were run.
    sys.path.insert(0, os.path.dirname(path))  # noqa: PTH120
    module = types.ModuleType("rule")
    module.__file__ = path
    sys.modules["rule"] = module
    try:
        exec(compile(code, path, "exec"), module.__dict__)
    except BaseException as error:  # noqa: BLE001  # whatever a file of strangers does when it is imported
        message = f"importing it ends in {_first_line(error)}"
        raise _Unusable(message) from None
    function = module.__dict__.get(name)
    if not callable(function):
        found = "no such function" if function is None else f"a {type(function).__name__}, which is no function"
        message = f"it has {found}: {name}"
        raise _Unusable(message)
    if inspect.iscoroutinefunction(function):
        message = f"{name} is async; expected a plain function"
        raise _Unusable(message)
    return function  # type: ignore[no-any-return]


def _check_parameters(function: Callable[..., Any]) -> bool:
    """Whether it wants the whole conversation."""
    try:
        signature = inspect.signature(function)
        signature.bind("prompt", "response")
    except (TypeError, ValueError) as error:
        message = f"it cannot be called as score(prompt, response): {error}"
        raise _Unusable(message) from None
    return next(iter(signature.parameters)) == "messages"


def _last_user_turn(messages: list[dict[str, str]]) -> str:
    return next((turn["content"] for turn in reversed(messages) if turn["role"] == "user"), "")


def _call(function: Callable[..., Any], prompt: object, response: str) -> dict[str, Any]:
    try:
        value = function(prompt, response)
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            return {"error": f"it returned {_clip(repr(value))} ({type(value).__name__}), expected a finite number"}
        number = float(value)
    except SystemExit as error:
        return {"error": f"it ended the process: SystemExit({error.code!r})"}
    except BaseException as error:  # noqa: BLE001  # whatever a function of strangers raises is its answer
        return {"error": f"it raised {_first_line(error)}"}
    if not math.isfinite(number):
        return {"error": f"it returned {number}, expected a finite number"}
    if abs(number) > _MOST:
        return {"error": f"it returned {number}, expected a number of at most {_MOST:g} in size"}
    return {"value": number}


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _first_line(error: BaseException) -> str:
    try:
        text = str(error).strip()
    except Exception:  # noqa: BLE001  # an error of strangers may have no words either
        text = ""
    return _clip(f"{type(error).__name__}: {text.splitlines()[0] if text else 'no reason given'}")


def _clip(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


if __name__ == "__main__":
    main()
