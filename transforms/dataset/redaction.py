"""What of a run's settings may leave the machine: a published version tells nothing of folders and credentials."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

_CREDENTIALS: Final = re.compile(r"://[^/@]*@")


def public_path(path: str) -> str:
    """`path` without what strangers should not read: folders of a machine, credentials in a URL."""
    if path.startswith(("/", "~", "file://")):
        return Path(path).name
    if path.startswith("ray://"):
        return "ray://"
    return _CREDENTIALS.sub("://", path)


def numbered_machines(nodes: Sequence[str]) -> list[str]:
    """Where replicas ran, `name (GPU 0), process 7`, without names and processes: `machine 1 (GPU 0)`."""
    names: dict[str, int] = {}
    found = []
    for node in nodes:
        where = node.rpartition(", process")[0] or node
        name, gpus, rest = where.partition(" (GPU")
        number = names.setdefault(name, len(names) + 1)
        found.append(f"machine {number}{gpus}{rest}")
    return found


def public(config: Any) -> Any:
    """A configuration with `public_path` of every text in it."""
    if isinstance(config, dict):
        return {key: public(value) for key, value in config.items()}
    if isinstance(config, list):
        return [public(value) for value in config]
    return public_path(config) if isinstance(config, str) else config
