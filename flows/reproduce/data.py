"""The folder of `--data`: which entries read it, what they read of it, and whether that is there."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from flows.reproduce.catalogue import texts
from flows.reproduce.config import Step
from flows.reproduce.steps import reads_data
from transforms.errors import ConfigError

_PATH: Final = re.compile(r"\{data\}/([^\s,{}]+)")


def paths_read(steps: Iterable[Step]) -> list[str]:
    """What steps read of the folder, as paths below it, each once."""
    found = (text for step in steps for text in texts([step.recipe, step.arguments, step.files]))
    return list(dict.fromkeys(path for text in found for path in _PATH.findall(text)))


def check_data(entries: Mapping[tuple[str, str], Iterable[str]], steps: Mapping[str, Step], data: Path | None) -> None:
    """A folder for the entries that read one, with what they read.

    Args:
        entries: (PAPER, ENTRY) → the names of its steps.
        steps: by name.
        data: the folder of `--data`; None where none is named.

    Raises:
        ConfigError: it is not named, not there, or lacks paths that are read.
    """
    if data is not None and not data.is_dir():
        message = f"--data {data} is no folder"
        raise ConfigError(message)
    problems = []
    for (paper, entry), names in entries.items():
        readers = [steps[name] for name in names if reads_data(steps[name])]
        paths = paths_read(readers)
        if data is None and readers:
            held = f" with {', '.join(paths)}" if paths else ""
            problems.append(
                f"{paper} {entry} needs --data DIR{held}, which is not with this project; --list {paper} {entry} says "
                "what it is"
            )
        elif data is not None and (missing := [path for path in paths if not _there(data, path)]):
            problems.append(
                f"{paper} {entry} reads {', '.join(str(data / path) for path in missing)}, and there is no such path; "
                f"--list {paper} {entry} says what it is"
            )
    if problems:
        raise ConfigError("; ".join(problems))


def _there(data: Path, path: str) -> bool:
    if any(sign in path for sign in "*?["):
        return any(data.glob(path))
    return (data / path).exists()
