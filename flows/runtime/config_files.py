"""Configurations of commands: a YAML file, any key of it as a flag on top, one clear error for what does not fit."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, CliSettingsSource, PydanticBaseSettingsSource, SettingsError

from transforms.errors import ConfigError

CONFIGS: Final = Path(__file__).parents[1] / "configs"
_NOT_PARSED: Final = "error parsing CLI: "
_UNKNOWN: Final = re.compile(r"unrecognized arguments: (.*)", re.DOTALL)
_FLAG_OF: Final = re.compile(r"(?:field \"|encountered for )([\w.]+)")

Config = TypeVar("Config", bound=BaseModel)


def load_config(
    kind: type[Config], argv: list[str], *, default: Path, program: str, about: str = "Every key of the file is a flag."
) -> Config:
    """The configuration of a command line: a YAML file and any of its keys as flags on top.

    Args:
        kind: the model that it must fit.
        argv: `[FILE] [--output.dir DIR] [--truncate.method ratio] …`, any key of the model; the file may stand first
            or behind `--config`.
        default: the YAML file where none is named.
        program: shown by --help.
        about: likewise.

    Raises:
        ConfigError: a file that is missing or no mapping, two files, an unknown key or flag, or a value that does not
            fit.
    """
    path, rest = _take_config(argv, default)
    content = _read_yaml(path, default.parent)

    class Command(kind, BaseSettings):  # type: ignore[misc, valid-type]
        __doc__ = about

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            flags = CliSettingsSource[Any](
                settings_cls,
                cli_parse_args=rest,
                cli_prog_name=f"{program} [FILE]",
                cli_exit_on_error=False,
                cli_enforce_required=False,
                cli_hide_none_type=True,
            )
            # The environment is left out: a variable called NAME is no recipe key.
            return flags, init_settings

    try:
        merged = Command(**content)
        return kind.model_validate(merged.model_dump())
    except SettingsError as error:  # a flag of a whole section that is no JSON, or one that there is not
        if unknown := _UNKNOWN.search(str(error)):
            raise ConfigError(_explain_unknown(unknown[1], kind, program)) from error
        if str(error).startswith(_NOT_PARSED):
            raise ConfigError(str(error).removeprefix(_NOT_PARSED + "argument ")) from error
        found = _FLAG_OF.search(str(error))
        flag = f"--{found[1]}" if found else "a flag"
        message = (
            f"{flag} is no JSON: {error.__cause__ or error}; expected JSON, or one of its keys as {flag}.KEY VALUE"
        )
        raise ConfigError(message) from error
    except ValidationError as error:
        raise ConfigError(_explain(error, f"{path} with the flags" if rest else str(path), kind)) from error


def read_config(
    kind: type[Config], path: Path, changes: Mapping[str, Any], *, shipped_in: Path | None = None
) -> Config:
    """The configuration of a YAML file, some of its keys changed.

    Args:
        kind: the model that it must fit.
        path: of the file.
        changes: nested as in the file; a mapping changes keys of a mapping, anything else takes a key's place.
        shipped_in: folder of examples, which are named where there is no such file; None for those beside it.

    Raises:
        ConfigError: as `load_config`.
    """
    try:
        return kind.model_validate(_merged(_read_yaml(path, shipped_in or path.parent), changes))
    except ValidationError as error:
        raise ConfigError(_explain(error, str(path), kind)) from error


def problems_in_words(
    error: ValidationError, key: Callable[[tuple[int | str, ...]], str], *, found: bool = True
) -> str:
    """All that does not fit a model, in a line.

    Args:
        error: of the model.
        key: what a place in it is called, nothing for the whole.
        found: whether values are shown; of what is wrong with several keys together none is, it says them itself.
    """
    lines = []
    for problem in error.errors(include_url=False):
        name, said = key(problem["loc"]), problem["msg"].removeprefix("Value error, ")
        shown = f" (found {problem['input']!r})" if found and name else ""
        lines.append(f"{name}: {said}{shown}" if name else f"{said}{shown}")
    return "; ".join(lines)


def _take_config(argv: list[str], default: Path) -> tuple[Path, list[str]]:
    if argv and not argv[0].startswith("-"):
        first, rest = Path(argv[0]), argv[1:]
        if "--config" in (word.partition("=")[0] for word in rest):
            message = f"two files: {first} and that of --config; name one of them"
            raise ConfigError(message)
        return first, rest
    rest = list(argv)
    for place, word in enumerate(rest):
        if word == "--config" or word.startswith("--config="):
            _, joined, value = word.partition("=")
            if not joined:
                if place + 1 == len(rest):
                    message = "--config needs a file"
                    raise ConfigError(message)
                value = rest.pop(place + 1)
            rest.pop(place)
            return Path(value), rest
    return default, rest


def _read_yaml(path: Path, shipped_in: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError as error:
        message = f"there is no recipe {path}{_shipped(shipped_in)}"
        raise ConfigError(message) from error
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or a day that no month has
        message = f"{path} cannot be read as YAML: {error}"
        raise ConfigError(message) from error
    if content is None:
        message = f"{path} is empty, expected a mapping of recipe keys"
        raise ConfigError(message)
    if not isinstance(content, dict):
        message = f"{path} holds a {type(content).__name__}, expected a mapping of recipe keys"
        raise ConfigError(message)
    return content


def _shipped(folder: Path) -> str:
    """The examples in a folder of ours; any other one holds files of the user."""
    names = sorted(path.name for path in folder.glob("*.yaml"))
    return (
        f"; shipped ones: {', '.join(names)} in {folder}" if names and folder.resolve().is_relative_to(CONFIGS) else ""
    )


def numbers_of_yaml_1_2(loader: type[Any]) -> None:
    """Let a loader of PyYAML, which is of 1.1 and makes 68 of `1:8`, read as numbers only what 1.2 does."""

    def number(self: Any, node: yaml.ScalarNode) -> Any:
        if ":" in node.value:
            return node.value
        return self.construct_yaml_int(node) if node.tag.endswith("int") else self.construct_yaml_float(node)

    for kind in ("int", "float"):
        loader.add_constructor(f"tag:yaml.org,2002:{kind}", number)


class _Loader(yaml.SafeLoader):
    """YAML whose numbers have no colons."""


numbers_of_yaml_1_2(_Loader)


def _merged(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(content)
    for key, value in changes.items():
        inside = merged.get(key)
        merged[key] = _merged(inside, value) if isinstance(inside, Mapping) and isinstance(value, Mapping) else value
    return merged


def _explain(error: ValidationError, recipe: str, kind: type[BaseModel]) -> str:
    """One line a problem: key, what was found, what was expected, and the nearest key for a typo."""
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            typed = str(problem["loc"][-1])
            hint = _nearest(typed, _keys_at(kind, problem["loc"][:-1])) or _nearest(typed, _known_keys(kind))
            hint = "; it is a key of another section" if hint == f"; did you mean {typed}?" else hint
            lines.append(f"{key}: no such key{hint}")
        elif problem["type"] == "missing":
            lines.append(f"{key}: missing")
        elif problem["type"] == "union_tag_not_found":
            lines.append(f"{key}.{_tag(problem)}: missing; one of {', '.join(_kinds_at(kind, problem['loc']))}")
        elif problem["type"] == "union_tag_invalid":
            tag, kinds = str(problem["ctx"]["tag"]), _kinds_at(kind, problem["loc"])
            lines.append(f"{key}.{_tag(problem)}: there is no {tag!r}{_nearest(tag, kinds)}; one of {', '.join(kinds)}")
        else:
            said = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "tuple_type":  # YAML and JSON have lists
                said = "expected a list"
            found = repr(problem["input"])
            shown = found if len(found) <= 80 else found[:77] + "…"
            # What is wrong with several keys together says their names and values itself.
            lines.append(f"{key}: {said} (found {shown})" if key else said)
    return f"the recipe {recipe} does not fit:\n  " + "\n  ".join(lines)


def _explain_unknown(arguments: str, kind: type[BaseModel], program: str) -> str:
    """What was not understood on a command line, and the nearest key for a typo."""
    typed = arguments.split()[0]
    if not typed.startswith("-"):
        return f"{typed} is no flag: expected one file, before all flags, and then --key value; {program} --help"
    hint = _nearest(typed.partition("=")[0].lstrip("-"), list(_flags(kind)))
    return f"there is no flag {typed}{hint}; {program} --help lists them"


def _flags(model: type[BaseModel], section: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield section + name
        for inner in (field.annotation, *get_args(field.annotation)):  # a section may be optional
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _flags(inner, f"{section}{name}.")


def _tag(problem: ErrorDetails) -> str:
    """The key that tells the members of a union apart; pydantic quotes it."""
    return str(problem["ctx"]["discriminator"]).strip("'")


def _nearest(typed: str, known: Sequence[str]) -> str:
    close = get_close_matches(typed, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _models_at(model: type[BaseModel], place: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """The models that may stand at a place of an error, in which the kind of a source is a part of its own."""
    models = [model]
    for part in place:
        fields = [one.model_fields[part].annotation for one in models if part in one.model_fields]
        if fields:
            models = [inner for field in fields for inner in _models_in(field)]
        elif isinstance(part, str):
            models = [one for one in models if part in _kinds(one)]
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()


def _kinds_at(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    return [kind for one in _models_at(model, place) for kind in _kinds(one)]


def _keys_at(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    return [key for one in _models_at(model, place) for key in one.model_fields]


def _known_keys(model: type[BaseModel]) -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        keys.append(name)
        for kind in (field.annotation, *get_args(field.annotation)):  # a section may be optional
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys += _known_keys(kind)
    return keys
