"""A step of the catalogue as a command that can be run: its recipe, its files and its words, and a fingerprint."""

import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping
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
_MARK: Final = re.compile(r"\A# [^\n]*\n# sha256 (?P<said>[0-9a-f]{64}): [^\n]*\n")


@dataclass(frozen=True)
class ReadyStep:
    """A step with every name in it resolved."""

    name: str
    words: tuple[str, ...]  # behind `python`
    texts: dict[Path, str]  # the files that it reads, as they will lie there
    edited: tuple[Path, ...]  # those that somebody changed, whose text is theirs
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
    written, edited = {}, []
    for path, content in files.items():
        text = marked(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110), shlex.join(words))
        if changed := by_hand(path):
            edited.append(path)
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
    return ReadyStep(name, tuple(words), written, tuple(edited), tuple(on), digest)


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


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _mapped(value: Any, put: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return put(value)
    if isinstance(value, dict):
        return {key: _mapped(one, put) for key, one in value.items()}
    return [_mapped(one, put) for one in value] if isinstance(value, list) else value
