"""Runs the shell of docs/how-to/clusters with stand-ins for what it starts, which write down how they were called."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml
from docs_support import ROOT

FILES: Final = ROOT / "docs/how-to/clusters"
# Each writes a line NAME<tab>ARGUMENT<tab>… ; what runs for long waits to be ended, and says so. A line is one write:
# what ends and what is started at that moment write side by side.
_NOTE: Final = 'printf -v line "\\t%s" "$@"; echo "$(basename "$0")$line" >> "$CALLS"\n'
_STAYS: Final = """trap 'echo "$(basename "$0")-ended" >> "$CALLS"; kill %1; exit 0' TERM
echo "$(basename "$0")-up" >> "$CALLS"
sleep 60 &
wait
"""
_PYTHON: Final = """case "$*" in
    *flows.curate*) eval "${CURATES:-true}" ;;
    *wait_for_nodes.py*) until [ "$(grep -c -e -up "$CALLS")" -ge "${UP:-$2}" ]; do /bin/sleep 0.02; done ;;
    -c*) echo 0123abcd ;;
esac
"""
STAND_INS: Final = {
    "srun": f'case "$*" in *"ray start"*) {_STAYS} ;; esac\n',
    "ray": f'case "$*" in *--block*) {_STAYS} ;; esac\n',
    "scontrol": 'if [ "$1" = show ]; then printf "%s\\n" node7 node8; fi\n',
    "hostname": "echo 192.0.2.7 192.0.3.7\n",
    "python": _PYTHON,
    "nvidia-smi": "printf 'GPU %s\\n' 0 1 2 3\n",
    "hf": "true\n",
    "make": "true\n",
    "cp": "true\n",
    "sleep": 'exec /bin/sleep "${SLEEPS:-$1}"\n',
}


class Shell:
    """A checkout with stand-ins in its environment, and the calls that were made.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls_file = folder / "calls"
        (folder / ".venv/bin").mkdir(parents=True)
        for name, text in STAND_INS.items():
            path = folder / ".venv/bin" / name
            path.write_text(f"#!/usr/bin/env bash\n{'' if name == 'sleep' else _NOTE}{text}")
            path.chmod(0o755)
        (folder / ".venv/bin/activate").write_text(f'PATH="{folder}/.venv/bin:$PATH"\n')

    def start(self, script: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Bash with a script and nothing else of this environment than PATH and HOME."""
        return subprocess.Popen(
            ["bash", "-c", script, "script", *arguments],
            cwd=self.folder,
            env={
                "PATH": f"{self.folder}/.venv/bin:{os.environ['PATH']}",
                "HOME": str(self.folder),
                "CALLS": str(self.calls_file),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, script: str, *arguments: str, **environment: str) -> tuple[int, str]:
        """Exit code and output."""
        process = self.start(script, *arguments, **environment)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def calls(self, name: str) -> list[list[str]]:
        """Arguments of each call of a stand-in, in order."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [words[1:] for words in (line.split("\t") for line in lines) if words[0] == name]

    def curations(self) -> list[list[str]]:
        """What flows.curate was given, in each call."""
        return [words[2:] for words in self.calls("python") if words[:2] == ["-m", "flows.curate"]]


def sbatch() -> str:
    return (FILES / "curate.sbatch").read_text()


def sbatch_options() -> dict[str, str]:
    """Those in the file; one without a value has an empty one."""
    found = re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", sbatch(), re.MULTILINE)
    return dict(found)


def hf_jobs() -> str:
    return (FILES / "hf_jobs.sh").read_text()


def hf_job() -> str:
    """What the job runs, in a folder of the test."""
    [text] = re.findall(r"<<'JOB'\n(.*?)^JOB$", hf_jobs(), re.MULTILINE | re.DOTALL)
    return text


def skypilot() -> dict[str, Any]:
    task: dict[str, Any] = yaml.safe_load((FILES / "skypilot.yaml").read_text())
    return task


def kubernetes(kind: str) -> dict[str, Any]:
    """The one document of a kind."""
    [found] = [one for one in yaml.safe_load_all((FILES / "kuberay.yaml").read_text()) if one["kind"] == kind]
    document: dict[str, Any] = found
    return document
