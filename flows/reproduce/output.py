"""The folder of a reproduction: what lies where, who is at work in it, and which steps are finished.

recipes/STEP.yaml       what a step's command is told
files/STEP/             YAML files that its recipe names
steps/STEP/             what it left
steps/STEP.done.json    what it was made of, and its seconds
logs/STEP.log           what its command said
PAPER/ENTRY.json        a table or figure
papers.md               all of them
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from flows.versions.output_folder import LOCK, disk_errors, locked
from transforms.errors import OutputError
from transforms.records.manifest import Record
from transforms.records.reproduction import Size

DONE: Final = ".done.json"
SIZE: Final = ".size"


class StepDone(Record):
    """A step that ran, to its end or not."""

    fingerprint: str
    finished: bool
    seconds: float  # of this and of earlier tries that were stopped or failed; one that was killed is not counted
    ended_at: str
    built_on: dict[str, str]  # step whose folder it read → when that one had ended
    code: str = ""  # of this project's, when it ran


@dataclass(frozen=True)
class Places:
    """The paths below a reproduction's folder."""

    out: Path

    def recipe(self, step: str) -> Path:
        """Of a step."""
        return self.out / "recipes" / f"{step}.yaml"

    def files(self, step: str) -> Path:
        """What `{here}` means."""
        # Not in its own folder: a command refuses one that holds files which no run of its own left.
        return self.out / "files" / step

    def step(self, step: str) -> Path:
        """What `{NAME}` means."""
        return self.out / "steps" / step

    def log(self, step: str) -> Path:
        """What its command says."""
        return self.out / "logs" / f"{step}.log"

    def entry(self, paper: str, entry: str) -> Path:
        """A table or figure."""
        return self.out / paper / f"{entry}.json"

    def done(self, step: str) -> StepDone | None:
        """How a step ended last; None where it did not, or by another version of this project."""
        try:
            return StepDone.model_validate_json(self._done(step).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def note(self, step: str, done: StepDone) -> None:
        """Keep how a step ended."""
        write_whole(self._done(step), done.model_dump_json(indent=2) + "\n")

    def _done(self, step: str) -> Path:
        return self.out / "steps" / f"{step}{DONE}"


def as_named(path: Path) -> str:
    """A path in a recipe, so that no relative one is taken for a name on the Hub."""
    return str(path) if path.is_absolute() else f"./{path}"


def write_whole(path: Path, text: str) -> None:
    """Replace a file, whole or not at all; its folder is made."""
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        with temporary.open("w", encoding="utf-8") as sink:
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)


@contextmanager
def claimed(out: Path, size: Size) -> Iterator[Places]:
    """Hold the folder of a reproduction for this process; `check_size` is the caller's.

    Raises:
        OutputError: another process is at work in it, or it cannot be written.
    """
    if out.exists() and not out.is_dir():
        message = f"{out} is a file; name a folder with --out"
        raise OutputError(message)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(locked(out))
        except OutputError as error:
            message = f"another reproduction is at work in {out}; wait for it, or choose another folder with --out"
            raise OutputError(message) from error
        write_whole(out / SIZE, f"{size}\n")
        yield Places(out)
        with suppress(FileNotFoundError):
            (out / LOCK).unlink()


def check_size(out: Path, size: Size) -> None:
    """Steps of both sizes have the same names, and one must not replace the other's.

    Raises:
        OutputError: the folder is of the other size.
    """
    path = out / SIZE
    found = path.read_text(encoding="utf-8").strip() if path.is_file() else size
    if found != size:
        message = f"{out} holds the {found} size, and --size is {size}; choose another folder with --out"
        raise OutputError(message)
