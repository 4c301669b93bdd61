"""A step of the catalogue as a command that can be run: its recipe, its files and its words, and a fingerprint."""

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import yaml

from flows.reproduce.catalogue import DATA, HERE, NAMED, built_on, texts
from flows.reproduce.config import Step
from flows.reproduce.output import Places, as_named, write_whole

# Commands that take the folder as a flag of their own; the others have it in their recipe.
_OUT: Final = ("flows.audit", "flows.decode")
# Of a recipe, and written by what lies there: `overwrite` turns true once a step of ours is done.
_OF_THE_FOLDER: Final = ("output.dir", "output.overwrite")
_MISSING: Final = object()  # a key that is not there, which null is not
_KEYS_SHOWN: Final = 8  # of a changed file; a recipe that was replaced differs in all
_MARK: Final = re.compile(r"\A# [^\n]*\n# sha256 (?P<said>[0-9a-f]{64}): [^\n]*\n")


@dataclass(frozen=True)
class ReadyStep:
    """A step with every name in it resolved."""

    name: str
    words: tuple[str, ...]  # behind `python`
    texts: dict[Path, str]  # the files that it reads, as they will lie there
    edited: dict[Path, tuple[str, ...]]  # those that somebody changed, whose text is theirs, and which keys differ
    built_on: tuple[str, ...]
    fingerprint: str  # 64 hex digits

    @property
    def shown(self) -> str:
        """The command as one types it."""
        return shlex.join(["python", *self.words])

    @property
    def argv(self) -> list[str]:
        """The command as this process starts it."""
        return [sys.executable, *self.words]

    def write(self) -> None:
        """Put its files where the command looks for them."""
        for path, text in self.texts.items():
            write_whole(path, text)


def resolve(
    name: str, step: Step, places: Places, data: Path | None, fingerprints: Mapping[str, str], processes: int = 1
) -> ReadyStep:
    """A step as a command.

    Args:
        name: of the step.
        step: what the catalogue says of it.
        places: where everything goes.
        data: what `{data}` stands for; where it is None, `{data}` is left as it is.
        fingerprints: of the steps that it builds on.
        processes: of a sharded training, one a GPU; no part of the fingerprint, as the training is the same.
    """
    on = built_on(step)
    known = {HERE: as_named(places.files(name))} | {one: as_named(places.step(one)) for one in on}
    if data is not None:
        known[DATA] = as_named(data)

    def put(text: str) -> str:
        return NAMED.sub(lambda match: known.get(match[1], match[0]), text)

    folder = as_named(places.step(name))
    files = {places.files(name) / file: _mapped(content, put) for file, content in step.files.items()}
    words = [*_launcher(step, processes), "-m", step.run]
    if step.recipe is not None:
        recipe = _mapped(step.recipe, put)
        # What somebody ran by hand from this recipe its command takes as finished or refuses, and never replaces.
        ours = places.done(name) is not None
        if step.run != "flows.decode":  # its folder is a key of its own, and the flag below says it
            recipe["output"] = {**(recipe.get("output") or {}), "dir": folder, "overwrite": ours}
        files[places.recipe(name)] = recipe
        words.append(str(places.recipe(name)))
    words += map(put, step.arguments)
    if step.run in _OUT:
        words += ["--out", folder]
    elif step.recipe is None:
        words += ["--output.dir", folder, "--output.overwrite", str(places.done(name) is not None).lower()]
    written: dict[Path, str] = {}
    edited: dict[Path, tuple[str, ...]] = {}
    for path, content in files.items():
        text = marked(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110), shlex.join(words))
        if changed := by_hand(path):
            of_folder = _OF_THE_FOLDER if path == places.recipe(name) else ()
            edited[path] = tuple(key for key in changed_keys(content, changed) if key not in of_folder)
        written[path] = changed or text
    # Not the paths: the same steps in a folder that was moved are the same.
    content = {
        "run": step.run,
        "recipe": step.recipe,
        "arguments": step.arguments,
        "files": step.files,
        "edited": {str(path.relative_to(places.out)): written[path] for path in edited},
        "built_on": {one: fingerprints[one] for one in on},
        "data": str(data.resolve()) if data is not None and reads_data(step) else None,
    }
    digest = sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
    return ReadyStep(name, tuple(words), written, edited, tuple(on), digest)


def _launcher(step: Step, processes: int) -> list[str]:
    if not sharded(step) or processes == 1:
        return []
    # torchrun by its module's name: the one of this interpreter.
    return ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]


def sharded(step: Step) -> bool:
    """Whether it is a training that is meant for several GPUs, which `--processes` starts."""
    return step.run == "flows.train" and "shard" in (step.recipe or {}).get("memory", {})


def reads_data(step: Step) -> bool:
    """Whether `{data}` stands in it."""
    return any(DATA in NAMED.findall(text) for text in texts([step.recipe, step.arguments, step.files]))


def marked(body: str, command: str) -> str:
    """A file of ours, with what tells later whether somebody changed it."""
    head = f"# Of python {' '.join(command.splitlines())}\n"
    return f"{head}# sha256 {_digest(body)}: without a change it is written anew; changed, it is kept.\n{body}"


def by_hand(path: Path) -> str | None:
    """The text of a file that somebody changed since it was written here, or that is not ours; else None."""
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    mark = _MARK.match(text)
    return None if mark and _digest(text[mark.end() :]) == mark["said"] else text


def changed_in_words(path: Path, keys: Sequence[str]) -> str:
    """`pairs.yaml (sampling.n, truncate.method)`; the name alone where no key differs, as after a comment."""
    if not keys:
        return path.name
    more = f" and {len(keys) - _KEYS_SHOWN} more" if len(keys) > _KEYS_SHOWN else ""
    return f"{path.name} ({', '.join(keys[:_KEYS_SHOWN])}{more})"


def changed_keys(ours: Any, text: str) -> tuple[str, ...]:
    """The dotted keys in which a changed file differs from what would be written; a list's items have their number.

    Args:
        ours: what would be written.
        text: of the file. Where it is no YAML nothing is named: its command refuses it.
    """
    try:
        theirs = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: `2020-13-45`, a day that there is not
        return ()
    return tuple(_different(ours, theirs, ()))


def _different(ours: Any, theirs: Any, place: tuple[str, ...]) -> Iterator[str]:
    if isinstance(ours, list) and isinstance(theirs, list):
        ours, theirs = ({str(at): one for at, one in enumerate(side)} for side in (ours, theirs))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys([*ours, *theirs]):
            yield from _different(ours.get(key, _MISSING), theirs.get(key, _MISSING), (*place, str(key)))
    elif ours != theirs or isinstance(ours, bool) != isinstance(theirs, bool):  # 1 equals True
        yield ".".join(place) or "everything"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _mapped(value: Any, put: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return put(value)
    if isinstance(value, dict):
        return {key: _mapped(one, put) for key, one in value.items()}
    return [_mapped(one, put) for one in value] if isinstance(value, list) else value
