"""What a command line asks for: tables and figures, the steps that they need in order, and which are finished."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from flows.reproduce.catalogue import Catalogue
from flows.reproduce.config import Entry, Sized
from flows.reproduce.data import check_data
from flows.reproduce.output import Places, StepDone
from flows.reproduce.steps import ReadyStep, resolve
from transforms.errors import ConfigError
from transforms.records.reproduction import Size


@dataclass(frozen=True)
class Chosen:
    """A table or figure that is to be redone."""

    paper: str
    entry: Entry
    line: Sized
    steps: tuple[str, ...]  # all that it rests on, in order

    @property
    def key(self) -> str:
        """As in the catalogue's files."""
        return f"{self.paper}/{self.entry.id}"

    def fingerprint(self, done: Mapping[str, StepDone]) -> str:
        """Of the inputs of its steps and of how they are read: 64 hex digits."""
        parts = [self.line.model_dump_json(exclude={"notes"}), self.entry.model_dump_json()]
        parts += [done[name].fingerprint for name in self.steps]
        return sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Plan:
    """Everything that is to be done."""

    catalogue: Catalogue
    size: Size
    places: Places
    chosen: tuple[Chosen, ...]
    steps: dict[str, ReadyStep]  # in the order in which they run
    finished: dict[str, StepDone]  # those of them that need not run

    def hours(self, finished: Mapping[str, StepDone]) -> "ToCome":
        """How long what is not finished takes.

        Args:
            finished: steps that need not run.
        """
        of_steps = [self.catalogue.steps[self.size][name].hours for name in self.steps if name not in finished]
        if None not in of_steps:
            return ToCome(sum(hours for hours in of_steps if hours is not None), 0, exact=True)
        waiting = [one.line.hours for one in self.chosen if not finished.keys() >= set(one.steps)]
        return ToCome(sum(hours for hours in waiting if hours is not None), waiting.count(None), exact=False)


class ToCome(NamedTuple):
    """Hours of what is to come, of how many entries nobody knows them, and whether shared steps count once."""

    hours: float
    unknown: int
    exact: bool


def choose(
    catalogue: Catalogue, size: Size, paper: str | None = None, entries: Sequence[str] = ()
) -> tuple[Chosen, ...]:
    """The tables and figures that a command line names.

    Args:
        catalogue: of all there are.
        size: at which they are redone.
        paper: None for all papers.
        entries: of the paper; none for all that can be done.

    Raises:
        ConfigError: there is none of that name, or none of those meant can be done at that size.
    """
    if paper is not None and entries:
        return tuple(_chosen(catalogue, size, paper, one) for one in dict.fromkeys(entries))
    papers = list(catalogue.papers) if paper is None else [catalogue.paper(paper).paper]
    found = tuple(
        _chosen(catalogue, size, name, one.id)
        for name in papers
        for one in catalogue.papers[name].entries
        if why_not(catalogue, size, name, one) is None
    )
    if not found:
        message = f"nothing of {', '.join(papers)} is done at the {size} size; --list --size {size} says why"
        raise ConfigError(message)
    return found


def _chosen(catalogue: Catalogue, size: Size, paper: str, name: str) -> Chosen:
    entry = catalogue.entry(paper, name)
    if (reason := why_not(catalogue, size, paper, entry)) is not None:
        message = f"{paper} {name}: {reason}"
        if entry.nothing is None:
            other: Size = "paper" if size == "small" else "small"
            done = why_not(catalogue, other, paper, entry) is None
            message += f"; it is done with --size {other}" if done else f"; nor is it done with --size {other}"
        raise ConfigError(message)
    line = catalogue.sizes[size][f"{paper}/{name}"]
    return Chosen(paper, entry, line, tuple(catalogue.order(size, line.reads)))


def why_not(catalogue: Catalogue, size: Size, paper: str, entry: Entry) -> str | None:
    """Why a table or figure is not redone at a size; None if it is."""
    if entry.nothing is not None:
        return f"nothing to redo: {entry.nothing.rstrip('.')}"
    cannot = catalogue.sizes[size][f"{paper}/{entry.id}"].cannot
    return None if cannot is None else f"not done at the {size} size: {cannot.rstrip('.')}"


def plan(
    catalogue: Catalogue,
    size: Size,
    chosen: tuple[Chosen, ...],
    out: Path,
    data: Path | None,
    *,
    dry: bool,
    processes: int = 1,
) -> Plan:
    """Every step resolved, in order, and those that are finished.

    Args:
        catalogue: of all there are.
        size: at which it is done.
        chosen: what is asked for.
        out: where everything goes.
        data: what `{data}` stands for.
        dry: nothing will run: steps that read `{data}` are shown without it.
        processes: of a sharded training, one a GPU.

    Raises:
        ConfigError: a step reads `{data}` and none is given, it is no folder, or lacks what is read.
    """
    places = Places(out)
    names = list(dict.fromkeys(name for one in chosen for name in one.steps))
    found = {name: catalogue.steps[size][name] for name in names}
    if not dry or data is not None:
        check_data({(one.paper, one.entry.id): one.steps for one in chosen}, found, data)
    steps: dict[str, ReadyStep] = {}
    finished: dict[str, StepDone] = {}
    for name, step in found.items():
        known = {key: one.fingerprint for key, one in steps.items()}
        steps[name] = resolve(name, step, places, data, known, processes)
        if (done := finished_step(steps[name], places, finished)) is not None:
            finished[name] = done
    return Plan(catalogue, size, places, chosen, steps, finished)


def finished_step(step: ReadyStep, places: Places, finished: Mapping[str, StepDone]) -> StepDone | None:
    """How a step ended, if it did with these inputs and with what now lies in the folders that it read.

    Args:
        step: with its fingerprint.
        places: where it would lie.
        finished: the steps before it that are.
    """
    done = places.done(step.name)
    folder = places.step(step.name)
    if done is None or not done.finished or done.fingerprint != step.fingerprint:
        return None
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    now = {name: finished[name].ended_at if name in finished else None for name in step.built_on}
    return done if now == done.built_on else None
