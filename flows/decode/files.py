"""The files of a comparison, and the folders that are not one's."""

import json
from pathlib import Path
from typing import Final

from flows.versions.output_folder import MANIFEST, WORK

RESULT: Final = "decode.json"  # written last: it says that the others are there
TABLE: Final = "decode.parquet"
PAGE: Final = "decode.html"
# Of other commands, whose quarantine.jsonl is not this one's to replace: what each writes when it is done, and by
# which one that is not done is known. A test holds the names against the modules, some of which take seconds to import.
OTHERS: Final = (
    MANIFEST,
    "evaluation.json",
    "training.json",
    "audit.json",
    "comparison.json",
    "shared.json",
    "rounds.json",
    "export.json",
    "diff.json",
    "checkpoints",
    WORK,
)


def of_another_command(folder: Path) -> str | None:
    """What a folder has of a run, a generation, a training or another command; None where it has nothing of them."""
    return next((name for name in OTHERS if (folder / name).exists()), None)


def quarantine_is_ours(folder: Path) -> bool:
    """Whether quarantine.jsonl is of the comparison whose decode.json lies there: one of prompts from sources."""
    if of_another_command(folder) is not None:
        return False
    try:
        earlier = json.loads((folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(earlier, dict) and earlier.get("read") is not None
