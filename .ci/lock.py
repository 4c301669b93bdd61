"""Compiles requirements.lock and requirements-cuda.lock from pyproject.toml: `make lock`.

Each Python is resolved by itself and the answers are merged. uv's universal resolution is one command, but reads the
metadata of one wheel a package: it lost intel-cmplr-lib-ur, which intel-openmp asks for on Linux alone.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = {"cpu": "requirements.lock", "cuda": "requirements-cuda.lock"}
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORM = "x86_64-manylinux_2_28"


def compile_lock(accelerator: str, arguments: Iterable[str] = ()) -> str:
    """The text of a lock; what the present one pins stays pinned unless `--upgrade` is among `arguments`."""
    present = ROOT / LOCKS[accelerator]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lock"
        # Pins of the last Python are preferences of the next one, so that versions differ only where they must.
        out.write_text(present.read_text() if present.is_file() else (ROOT / LOCKS["cpu"]).read_text())
        for python in PYTHONS:
            command = [ROOT / ".venv/bin/uv", "pip", "compile", "pyproject.toml", "--extra", accelerator]
            command += ["--extra", "ray", "--group", "dev", "--python-version", python, "--python-platform", PLATFORM]
            command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "-q", "-o", out]
            subprocess.run([*command, *arguments], cwd=ROOT, check=True)
            found[python] = out.read_text().splitlines()
    return merge(found)


def merge(found: Mapping[str, Iterable[str]]) -> str:
    """One requirement a line; those that not all Pythons need say which ones do.

    Args:
        found: pinned requirements by Python.
    """
    pythons: dict[str, list[str]] = {}
    for python, lines in found.items():
        for line in lines:
            # Any CPU build of this torch will do, also one that a folder of wheels holds under another label.
            pythons.setdefault(re.sub(r"^(torch==[^+]+)\+cpu$", r"\1", line), []).append(python)
    lines = []
    for pin, which in sorted(pythons.items(), key=lambda item: item[0].split("==")):
        marker = " or ".join(f"python_version == '{python}'" for python in which)
        lines.append(pin if len(which) == len(found) else f"{pin} ; {marker}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    chosen, *rest = sys.argv[1:]
    text = compile_lock(chosen, rest)
    (ROOT / LOCKS[chosen]).write_text(text)
