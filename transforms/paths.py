"""Where this project keeps what it can make again: converted models, trained reward models, the ledger."""

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """The folder of everything shared by runs: `$PREFERENCE_CURATION_CACHE`, else the user's cache directory.

    Read at each call, so that a test or a run can point it elsewhere. The folder may not exist yet.
    """
    chosen = os.environ.get("PREFERENCE_CURATION_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("preference-curation"))


def ledger_root(wanted: str | None) -> str:
    """Folder or fsspec URL of the ledger: `wanted`, else one below `cache_dir`."""
    return wanted or str(cache_dir() / "ledger")
