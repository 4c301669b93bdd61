"""The folder of rounds: nothing in it is replaced by other rounds by accident, and rounds.json tells how far they are.

prompts/                  training prompts by part, and held-out prompts
held-out/start, round-1 … answers to held-out prompts with their scores, as flows.generate leaves them
round-1/data              the curated pairs with their card, and generated/ with all responses
round-1/training          the policy, in model/
rounds.json               written after each round
best.json                 which policy is the best, and where it lies
report.html
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson
from pydantic import ValidationError

from flows.versions.output_folder import LOCK, disk_errors, locked, write_bytes, write_text
from transforms.errors import OutputError
from transforms.records.rounds import Rounds

NUMBERS: Final = "rounds.json"
BEST: Final = "best.json"
PAGE: Final = "report.html"


def read_rounds(folder: Path) -> Rounds | None:
    """What the rounds in a folder say of themselves, None where there are none.

    Raises:
        OutputError: a rounds.json that this project did not write.
    """
    path = folder / NUMBERS
    if not path.is_file():
        return None
    try:
        return Rounds.model_validate_json(path.read_bytes())
    except ValidationError as error:
        message = f"{path} is not of this version ({error.error_count()} problems); choose another --output.dir, or "
        raise OutputError(message + "remove the folder") from error


@contextmanager
def rounds_folder(folder: Path, *, fingerprint: str, overwrite: bool) -> Iterator[None]:
    """Claim `folder` for one sequence of rounds. Each step in it knows by itself whether it is done already.

    Raises:
        OutputError: another process is at it, it holds other rounds, or files that are none's.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        found = read_rounds(folder)
        if found is None:
            names = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
            if names:
                message = f"{folder} is not empty and holds no rounds (found {', '.join(names[:5])}); choose another "
                raise OutputError(message + "--output.dir")
        elif found.fingerprint != fingerprint and not overwrite:
            message = (
                f"{folder} holds rounds of another recipe, other models or another version of this code "
                f"({found.name}, {len(found.rounds)} rounds); choose another --output.dir, or replace them with "
                "--output.overwrite true"
            )
            raise OutputError(message)
        yield
        (folder / LOCK).unlink(missing_ok=True)


def claim(folder: Path, found: Rounds) -> None:
    """Say whose the folder is, before anything lies in it."""
    write_text(folder / NUMBERS, found.model_dump_json(indent=2) + "\n")


def write_rounds(folder: Path, found: Rounds, page: str, *, best: int, model: str) -> None:
    """The page and the best policy, then the numbers.

    Args:
        folder: of the rounds.
        found: what they say.
        page: report.html.
        best: number of the round with the best policy, 0 for the start.
        model: its folder or Hub id.
    """
    write_text(folder / PAGE, page)
    write_bytes(folder / BEST, orjson.dumps({"round": best, "model": model}, option=orjson.OPT_INDENT_2) + b"\n")
    write_text(folder / NUMBERS, found.model_dump_json(indent=2) + "\n")
