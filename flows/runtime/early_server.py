"""The temporary server of a new run, started before the recipe is parsed: the imports for that take a second."""

from pathlib import Path
from typing import Final

import yaml

from flows.runtime.environment import set_environment
from flows.runtime.temporary_server import start_server

_CONFIGS: Final = Path(__file__).parents[1] / "configs"
_MANIFEST: Final = "manifest.json"
_NO_RUN: Final = {"--help", "-h", "--dry-run"}


def start_server_early(argv: list[str]) -> None:
    """Start it where it is sure that a run is to be made: nothing finished lies in the output folder.

    Args:
        argv: of `python -m flows.curate`. What is wrong with it is said by who parses it.
    """
    folder = _output_folder(argv)
    if folder is None or (folder / _MANIFEST).exists():
        return
    set_environment()
    start_server()


def _output_folder(argv: list[str]) -> Path | None:
    """Where the run goes; None where that takes a closer look."""
    named = {"--output.dir": "", "--config": str(_CONFIGS / "starter.yaml")}
    if argv and not argv[0].startswith("-"):
        named["--config"], argv = argv[0], argv[1:]
    words = iter(argv)
    for word in words:
        flag, joined, value = word.partition("=")
        if word in _NO_RUN or flag == "--output":
            return None
        if flag in named:
            named[flag] = value if joined else next(words, "")
    if named["--output.dir"]:
        return Path(named["--output.dir"])
    try:
        recipe = yaml.safe_load(Path(named["--config"]).read_text(encoding="utf-8"))
        return Path(recipe["output"]["dir"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):  # ValueError: 2024-02-30, which is no date
        return None
