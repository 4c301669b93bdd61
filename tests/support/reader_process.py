"""Run by documented_world.Reader: JSON lines in, each a command or a block of Python; exit code and output out."""

import contextlib
import io
import json
import runpy
import sys
import traceback
import warnings
from typing import Any


def answer(question: dict[str, Any], pages: dict[str, dict[str, Any]]) -> int:
    try:
        if "argv" in question:
            sys.argv = question["argv"]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # runpy: the module is imported already
                runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            exec(compile(question["code"], question["page"], "exec"), pages.setdefault(question["page"], {}))
    except SystemExit as done:
        return int(done.code or 0)
    except BaseException:  # noqa: BLE001  # whatever a command ends with is the answer
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    answers, pages = sys.stdout, dict[str, dict[str, Any]]()
    for line in sys.stdin:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = answer(json.loads(line), pages)
        answers.write(json.dumps({"code": code, "output": said.getvalue()}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
