"""Recipes that somebody changed, read as their commands will read them, before anything runs."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from flows.reproduce.config import Command
from flows.reproduce.steps import ReadyStep
from transforms.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel

_MODULE: Final = "-m"
_TORCHRUN: Final = "torch.distributed.run"


def check_edited(steps: Iterable[ReadyStep]) -> None:
    """Refuse a changed recipe that its command would not take.

    Args:
        steps: resolved.

    Raises:
        ConfigError: of the first that does not fit: the command's own words, the file, and how to get back what was
            there.
    """
    for step in steps:
        if not step.edited:
            continue
        command, argv = command_of(step)
        try:
            configuration(command, argv, later=[path for path in step.texts if path not in step.edited])
        except ConfigError as error:
            files = " and ".join(map(str, step.edited))
            were, them = ("was", "it") if len(step.edited) == 1 else ("were", "them")
            message = f"{error}\n{files} {were} changed by hand; delete {them}, and the original is written again"
            raise ConfigError(message) from error


def command_of(step: ReadyStep) -> tuple[Command, list[str]]:
    """The command of a step and what stands behind it, without torchrun's words."""
    words = list(step.words)
    place = words.index(_MODULE)
    if words[place + 1] == _TORCHRUN:
        place = words.index(_MODULE, place + 1)
    return cast(Command, words[place + 1]), words[place + 2 :]


def configuration(command: Command, argv: Sequence[str], later: Collection[Path] = ()) -> "BaseModel":
    """What a command makes of its command line, by its own configuration.

    Args:
        command: of this project.
        argv: what stands behind it; files that it names are read.
        later: files that are written before the command runs, so that they are not read here.

    Raises:
        ConfigError: it does not fit.
    """
    # A command's configuration takes up to seconds to import, and most runs have no changed recipe.
    from flows.runtime.config_files import CONFIGS, load_config, read_config

    words = list(argv)
    if command == "flows.decode":
        from flows.decode.__main__ import parse

        return parse(words)
    if command == "flows.audit":
        words = _without_settings(words)
    found = load_config(_kind(command), words, default=CONFIGS / "starter.yaml", program=f"python -m {command}")
    if command == "flows.compare":
        from flows.compare.config import ComparisonConfig
        from flows.train.config import TrainingRecipe

        if isinstance(found, ComparisonConfig) and Path(found.training) not in later:
            read_config(TrainingRecipe, Path(found.training), found.changes)
    return found


def _kind(command: Command) -> "type[BaseModel]":
    if command == "flows.train":
        from flows.train.config import TrainingRecipe

        return TrainingRecipe
    if command == "flows.evaluate":
        from flows.evaluate.config import EvaluationConfig

        return EvaluationConfig
    if command == "flows.compare":
        from flows.compare.config import ComparisonConfig

        return ComparisonConfig
    if command == "flows.generate":
        from flows.recipe.generation import Generation

        return Generation
    from flows.recipe.curation import Recipe

    return Recipe  # of flows.curate and flows.audit


def _without_settings(words: list[str]) -> list[str]:
    """An audit's words without the flags that are no keys of its recipe."""
    from transforms.records.audit import AuditSettings

    flags = {"--out", *(f"--{name.replace('_', '-')}" for name in AuditSettings.model_fields)}
    kept: list[str] = []
    left = iter(words)
    for word in left:
        if word in flags:
            next(left, None)
        else:
            kept.append(word)
    return kept
