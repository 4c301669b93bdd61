"""The licence that a dataset's own card states, for layouts that any owner's set may have."""

import logging
import re
from pathlib import Path
from typing import Any, Final

import fsspec
import yaml

from transforms.sources.about import About
from transforms.sources.options import SourceOptions
from transforms.sources.read import is_hub_id

_FRONT_MATTER: Final = re.compile(r"---\r?\n(?P<yaml>.*?\n)---(?:\r?\n|$)", re.DOTALL)
_LICENCE: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_TERMS_ELSEWHERE: Final = ("other", "unknown")  # the Hub's words for "read the page"
_MOST_BYTES: Final = 1 << 20
logger = logging.getLogger(__name__)


def stated_licence(options: SourceOptions, about: About, revision: str | None) -> str | None:
    """The `license` of README.md in a Hub dataset or a folder, as the Hub's id.

    Args:
        options: of the source; what a recipe says of the licence is its caller's matter.
        about: of its kind. A kind of one public set knows its licence, and its copies need no card.
        revision: the commit that is read, for a Hub dataset.

    Returns:
        None without a card, or where it cannot be read or names no licence: a source is not refused for its card.
    """
    if not about.any_set or about.licence(options.path):
        return None
    try:
        metadata = _front_matter(_card_of(options.path, revision))
    except Exception as error:  # noqa: BLE001 - whatever a remote file system or a stranger's YAML raises
        logger.info("%s: no licence is known, for its card cannot be read: %s", options.path, type(error).__name__)
        return None
    found = metadata.get("license")
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    known = isinstance(found, str) and _LICENCE.fullmatch(found) and found not in _TERMS_ELSEWHERE
    return str(found) if known else None


def _card_of(path: str, revision: str | None) -> str:
    """Text of the card, empty where there is none."""
    if is_hub_id(path):
        folder = f"hf://datasets/{path}" + (f"@{revision}" if revision else "")
    else:
        folder = path if "://" in path else Path(path).expanduser().resolve().as_uri()
    filesystem, place = fsspec.core.url_to_fs(f"{folder.rstrip('/')}/README.md")
    if not filesystem.isfile(place):
        return ""
    with filesystem.open(place, "rb") as raw:
        return str(raw.read(_MOST_BYTES), "utf-8")


def _front_matter(card: str) -> dict[str, Any]:
    found = _FRONT_MATTER.match(card)
    metadata = yaml.safe_load(found["yaml"]) if found else None
    return metadata if isinstance(metadata, dict) else {}
