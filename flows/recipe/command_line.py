"""The recipe of a curation from a command line."""

from pathlib import Path

from flows.recipe.curation import Recipe
from flows.runtime.config_files import load_config


def load_recipe(argv: list[str], *, default: Path, program: str) -> Recipe:
    """`load_config` of a curation recipe."""
    about = "Every key of the recipe is a flag; see flows/configs for examples. `--dry-run` prints the cost."
    return load_config(Recipe, argv, default=default, program=program, about=about)
