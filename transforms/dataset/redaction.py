"""What of a run's settings may leave the machine: a published version tells nothing of folders and credentials."""

import re
from pathlib import Path
from typing import Any, Final

_CREDENTIALS: Final = re.compile(r"://[^/@]*@")


def public_path(path: str) -> str:
    """`path` without what strangers should not read: folders of a machine, credentials in a URL."""
    if path.startswith(("/", "~", "file://")):
        return Path(path).name
    return _CREDENTIALS.sub("://", path)


def public(config: Any) -> Any:
    """A configuration with `public_path` of every text in it."""
    if isinstance(config, dict):
        return {key: public(value) for key, value in config.items()}
    if isinstance(config, list):
        return [public(value) for value in config]
    return public_path(config) if isinstance(config, str) else config
