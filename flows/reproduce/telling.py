"""Tables and figures read from what their steps left, each written as JSON, and the page of all."""

from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from flows.reproduce.output import write_whole
from flows.reproduce.plan import Chosen, Plan, choose
from flows.reproduce.run import Ran
from flows.reproduce.steps import changed_in_words
from flows.versions.fingerprint import code_hash
from transforms.errors import CurationError
from transforms.records.reproduction import Reproduction


@dataclass(frozen=True)
class Told:
    """What came out."""

    found: dict[str, Reproduction]  # PAPER/ENTRY, of those that were asked for
    failed: dict[str, str]  # PAPER/ENTRY → why it cannot be shown
    page: Path


def tell(done: Plan, ran: Ran) -> Told:
    """Read every entry that was asked for and whose steps are there; write them, and a page of all in the folder."""
    from flows.reproduce.pages import write_pages  # with matplotlib

    found: dict[str, Reproduction] = {}
    failed: dict[str, str] = {}
    code = code_hash("flows", "transforms", "trainers")
    for one in done.chosen:
        path = done.places.entry(one.paper, one.entry.id)
        if missing := [name for name in one.steps if name not in ran.done]:
            failed[one.key] = f"step {missing[0]}: {ran.failed[missing[0]]}"
        else:
            try:
                found[one.key] = _read(done, ran, one, code)
            except CurationError as error:
                failed[one.key] = str(error)
        if one.key in failed:
            path.unlink(missing_ok=True)  # of other inputs, and nobody would see that
        else:
            write_whole(path, found[one.key].model_dump_json(indent=2) + "\n")
    shown = _earlier(done, found.keys() | failed.keys()) | found
    order = [f"{name}/{one.id}" for name, paper in done.catalogue.papers.items() for one in paper.entries]
    ordered = [shown[key] for key in order if key in shown]
    page = write_pages(done.places.out, done.catalogue, done.size, ordered, failed)
    return Told(found, failed, page)


def _earlier(done: Plan, but: Set[str]) -> dict[str, Reproduction]:
    """What earlier commands left in the folder, of steps as they lie there and read as they are read now."""
    found = {}
    for one in choose(done.catalogue, done.size):
        steps = {name: known for name in one.steps if (known := done.places.done(name)) and known.finished}
        if one.key in but or len(steps) < len(one.steps):
            continue
        with suppress(FileNotFoundError, ValidationError):
            path = done.places.entry(one.paper, one.entry.id)
            there = Reproduction.model_validate_json(path.read_bytes())
            if there.fingerprint == one.fingerprint(steps):
                found[one.key] = there
    return found


def _read(done: Plan, ran: Ran, one: Chosen, code: str) -> Reproduction:
    from flows.reproduce.results import reproduce_entry  # with pyarrow and scipy

    folders = {name: done.places.step(name) for name in one.steps}
    seconds = {name: ran.done[name].seconds for name in one.steps}
    fingerprint = one.fingerprint(ran.done)
    found = reproduce_entry(one.paper, one.entry, one.line, done.size, folders, seconds, fingerprint)
    said = list(found.rests_on)
    changed = [changed_in_words(path, keys) for name in one.steps for path, keys in done.steps[name].edited.items()]
    if changed:
        said.append(f"changed by hand: {', '.join(changed)}")
    if other := [name for name in one.steps if ran.done[name].code not in ("", code)]:
        said.append(f"run by another version of this code: {', '.join(other)}")
    return found.model_copy(update={"rests_on": said})
