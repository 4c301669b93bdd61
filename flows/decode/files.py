"""The files of a comparison, and the folders that are not one's."""

from pathlib import Path
from typing import Final

from flows.versions.output_folder import MANIFEST

RESULT: Final = "decode.json"  # written last: it says that the others are there
TABLE: Final = "decode.parquet"
PAGE: Final = "decode.html"
# Of other commands, whose quarantine.jsonl is not this one's to replace or remove.
_OTHERS: Final = (MANIFEST, "evaluation.json")


def of_another_command(folder: Path) -> str | None:
    """The file by which a folder is a run's, a generation's or an evaluation's; None where it is none of these."""
    return next((name for name in _OTHERS if (folder / name).exists()), None)
