"""What a command line calls a version: a folder, or a Hub dataset with its revision."""

from pathlib import Path

from transforms.errors import ConfigError


def place(where: str, revision: str | None) -> tuple[str, str | None]:
    """What `open_version` is asked for: `org/name@revision` in two, and runs/NAME as the folder that it is.

    Raises:
        ConfigError: a revision by name and by flag.
    """
    name, at, inside = where.partition("@")
    if revision is None and Path(where).is_dir():
        return (where if where.startswith((".", "/")) else f"./{where}"), None
    if not at:
        return where, revision
    if revision is not None:
        message = f"{where} names a revision and so does the flag ({revision}); leave one out"
        raise ConfigError(message)
    return name, inside
