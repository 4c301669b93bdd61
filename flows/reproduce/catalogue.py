"""The catalogue read from flows/configs/reproduce, each file held against the others."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from flows.reproduce.config import Entry, Paper, Sized, Sizes, Step
from flows.runtime.config_files import CONFIGS, numbers_of_yaml_1_2, problems_in_words
from transforms.errors import ConfigError
from transforms.records.reproduction import Size

FOLDER: Final = CONFIGS / "reproduce"
SIZES: Final[tuple[Size, ...]] = ("small", "paper")
HERE: Final = "here"
DATA: Final = "data"
NAMED: Final = re.compile(r"\{([a-z0-9-]+)\}")

File = TypeVar("File", bound=BaseModel)

if yaml.__with_libyaml__:

    class _Loader(yaml.CSafeLoader):
        """libyaml's: 1,154 lines in 0.1 s in place of 0.8, which `--list` would take the longer."""

else:

    class _Loader(yaml.SafeLoader):  # type: ignore[no-redef]
        """Where PyYAML was built without libyaml."""


numbers_of_yaml_1_2(_Loader)


@dataclass(frozen=True)
class Catalogue:
    """Everything that can be reproduced."""

    papers: dict[str, Paper]
    sizes: dict[Size, dict[str, Sized]]  # PAPER/ENTRY → how
    steps: dict[Size, dict[str, Step]]  # of the sizes that were asked for
    notes: dict[Size, dict[str, str]] = field(default_factory=dict)  # what many entries need, by name

    def entry(self, paper: str, entry: str) -> Entry:
        """One table or figure.

        Raises:
            ConfigError: there is none of that name; the message names those that there are.
        """
        found = {one.id: one for one in self.paper(paper).entries}
        if entry not in found:
            message = f"{paper} has no {entry!r}{_nearest(entry, found)}; it has {', '.join(found)}"
            raise ConfigError(message)
        return found[entry]

    def paper(self, name: str) -> Paper:
        """One paper.

        Raises:
            ConfigError: as `entry`.
        """
        if name not in self.papers:
            message = f"no paper is called {name!r}{_nearest(name, self.papers)}; there are {', '.join(self.papers)}"
            raise ConfigError(message)
        return self.papers[name]

    def order(self, size: Size, wanted: list[str]) -> list[str]:
        """These steps and those that they build on, each after what it reads."""
        done: list[str] = []
        for name in wanted:
            self._after(size, name, done, ())
        return done

    def _after(self, size: Size, name: str, done: list[str], above: tuple[str, ...]) -> None:
        if name in above:
            message = f"steps of the {size} size read each other in a circle: {' → '.join([*above, name])}"
            raise ConfigError(message)
        if name in done:
            return
        for needed in built_on(self.steps[size][name]):
            self._after(size, needed, done, (*above, name))
        done.append(name)


def built_on(step: Step) -> list[str]:
    """The steps whose folders it names, in order."""
    found: dict[str, None] = {}
    for text in texts([step.recipe, step.arguments, step.files]):
        for name in NAMED.findall(text):
            if name not in (HERE, DATA):
                found[name] = None
    return list(found)


def read_catalogue(folder: Path = FOLDER, *, steps: tuple[Size, ...] = SIZES) -> Catalogue:
    """All papers, and how each entry is redone at both sizes.

    Args:
        folder: of the files.
        steps: sizes whose steps are read and checked too; the papers' size has hundreds, which take a while.

    Raises:
        ConfigError: a file that does not fit, a step that is named and not there, or an entry that has no line at
            some size.
    """
    papers = [_read(Paper, path) for path in sorted(folder.glob("*.yaml")) if path.stem not in SIZES]
    sizes = {size: _read(Sizes, folder / f"{size}.yaml") for size in SIZES}
    found = Catalogue(
        {one.paper: one for one in papers},
        {size: found.entries for size, found in sizes.items()},
        {size: {path.stem: _read(Step, path) for path in sorted((folder / size).glob("*.yaml"))} for size in steps},
        {size: found.notes for size, found in sizes.items()},
    )
    for size in SIZES:
        _check_lines(found, size)
    for size in steps:
        _check_steps(found, size)
    return found


def _check_lines(found: Catalogue, size: Size) -> None:
    measured = {f"{name}/{one.id}" for name, paper in found.papers.items() for one in paper.entries if not one.nothing}
    lines = found.sizes[size]
    if missing := sorted(measured - set(lines)):
        message = f"{size}.yaml has no line for {', '.join(missing)}"
        raise ConfigError(message)
    if foreign := sorted(set(lines) - measured):
        message = f"{size}.yaml has {', '.join(foreign)}, which no paper has"
        raise ConfigError(message)


def _check_steps(found: Catalogue, size: Size) -> None:
    steps = found.steps[size]
    for name, step in steps.items():
        if unknown := [one for one in built_on(step) if one not in steps]:
            message = f"{size}/{name}.yaml reads {', '.join(unknown)}, and no step of that size is called so"
            raise ConfigError(message)
    found.order(size, list(steps))
    for key, line in found.sizes[size].items():
        if unknown := sorted(set(line.reads) - set(steps)):
            message = f"{size}.yaml, {key}: no step is called {', '.join(unknown)}"
            raise ConfigError(message)


def _read(kind: type[File], path: Path) -> File:
    try:
        return kind.model_validate(yaml.load(path.read_text(encoding="utf-8"), _Loader))  # noqa: S506 - a safe one
    except FileNotFoundError as error:
        message = f"{path} is missing"
        raise ConfigError(message) from error
    except yaml.YAMLError as error:
        message = f"{path} is no YAML: {error}"
        raise ConfigError(message) from error
    except ValidationError as error:
        said = problems_in_words(error, lambda place: ".".join(map(str, place)))
        message = f"{path}: {said}"
        raise ConfigError(message) from error


def _nearest(typed: str, known: Iterable[str]) -> str:
    close = get_close_matches(typed, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for one in value.values() for text in texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return []
