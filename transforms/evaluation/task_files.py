"""What local tasks of lm-evaluation-harness are made of: a hash over their YAML files and the data that these name."""

import glob
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from transforms.errors import ConfigError

_YAML: Final = (".yaml", ".yml")
_DATA: Final = ("data_files", "data_dir", "dataset_path")  # keys whose texts may name files on this disk
_CHUNK: Final = 1 << 20


class _AnyTag(yaml.SafeLoader):
    """Safe, with `!function module.name` of tasks read as nothing: no code is run for a hash."""


_AnyTag.add_multi_constructor("", lambda _loader, _suffix, _node: None)


def local_tasks_sha256(include_path: str) -> str:
    """sha256 over every file of the folder, and over what data files its YAMLs name elsewhere.

    Files lie where lm_eval finds them: `data_files`, `data_dir` and a `dataset_path` that is a folder, relative to the
    working directory. A file that is not there counts as missing; lm_eval says what it thinks of that.

    Raises:
        ConfigError: no such folder, one without YAML files, or a YAML file that cannot be read.
    """
    folder = Path(include_path).expanduser()
    if not folder.is_dir():
        message = f"tasks.include_path: {include_path} is no folder; expected one with the YAML files of your tasks"
        raise ConfigError(message)
    own = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(folder)))
    recipes = [path for path in own if path.suffix in _YAML]
    if not recipes:
        message = f"tasks.include_path: {include_path} has no YAML file (*.yaml); expected one a task"
        raise ConfigError(message)
    digest = hashlib.sha256()
    for path in own:
        _add(digest, path.relative_to(folder).as_posix(), path)
    elsewhere = _included(recipes)
    for path in elsewhere:
        _add(digest, f"include\0{path}", path)
    recipes += elsewhere
    for name in sorted({name for path in recipes for name in _named(path)}):
        for path in _files(name):
            _add(digest, f"{name}\0{path}", path)
    return digest.hexdigest()


def _included(recipes: Sequence[Path]) -> list[Path]:
    """Files outside that YAMLs take in by `include`, and what these do; relative to the file that names them."""
    seen, left, found = {path.resolve() for path in recipes}, list(recipes), []
    while left:
        path = left.pop()
        content = _read(path)
        names = content.get("include") if isinstance(content, dict) else None
        for name in names if isinstance(names, list) else [names]:
            other = (path.parent / name).resolve() if isinstance(name, str) and "\0" not in name else None
            if other is not None and other not in seen and other.is_file():
                seen.add(other)
                left.append(other)
                found.append(other)
    return sorted(found)


def _add(digest: "hashlib._Hash", name: str, path: Path) -> None:
    digest.update(f"{len(name)}:{name}".encode())
    try:
        with path.open("rb") as stream:
            inside = hashlib.sha256()
            while chunk := stream.read(_CHUNK):
                inside.update(chunk)
    except OSError as error:
        message = f"tasks.include_path: {path} cannot be read: {error.strerror or error}"
        raise ConfigError(message) from error
    digest.update(inside.digest())


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _named(path: Path) -> Iterator[str]:
    """Texts under keys that may name data, wherever they stand."""
    yield from _texts(_read(path), wanted=False)


def _read(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_AnyTag)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"tasks.include_path: {path} is no YAML that can be read: {' '.join(str(error).split())[:300]}"
        raise ConfigError(message) from error


def _texts(value: Any, *, wanted: bool) -> Iterator[str]:
    if isinstance(value, str) and wanted and "\0" not in value and "://" not in value:
        yield value
    elif isinstance(value, dict):
        for key, inside in value.items():
            yield from _texts(inside, wanted=wanted or key in _DATA)
    elif isinstance(value, list):
        for inside in value:
            yield from _texts(inside, wanted=wanted)


def _files(name: str) -> list[Path]:
    """What a text means on this disk: files, those of a folder, or those of a pattern; nothing for a Hub id."""
    found = [Path(one) for one in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207 - absolute patterns too
    folders = [one for one in found if one.is_dir()]
    inside = [path for one in folders for path in sorted(one.rglob("*")) if not _is_hidden(path.relative_to(one))]
    return [path for path in [*found, *inside] if path.is_file()]
