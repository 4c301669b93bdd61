"""`python -m flows.reference`: docs/reference and the picture of the rooms, from the code that they describe.

`--check` writes nothing and fails where a page is not what the code says; `make check` runs that as a test.
"""

import argparse
from pathlib import Path
from typing import Final

from rich.console import Console

from flows.runtime.cli import prepare_process, run_command
from transforms.errors import ConfigError

FOLDER: Final = Path(__file__).parents[2] / "docs" / "reference"


def main() -> int:
    """Write the pages, or say which are out of date."""
    parser = argparse.ArgumentParser(prog="python -m flows.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is out of date")
    check = parser.parse_args().check
    written = everything()
    stale = out_of_date(written, FOLDER)
    if check and stale:
        message = f"{', '.join(stale)} in {FOLDER}: not what the code says; run python -m flows.reference and commit"
        raise ConfigError(message)
    for name in stale:
        (FOLDER / name).write_text(written[name], encoding="utf-8")
    found = f"{len(stale)} of {len(written)} pages renewed" if stale else f"{len(written)} pages are up to date"
    Console(soft_wrap=True).print(found, highlight=False)
    return 0


def everything() -> dict[str, str]:
    """What is made from the code: name below docs/reference → text."""
    from flows.reference.pages import pages  # the register of objectives needs torch
    from flows.reference.rooms import PICTURE, picture

    return pages() | {f"../{PICTURE}": picture()}


def out_of_date(written: dict[str, str], folder: Path) -> list[str]:
    """Names of the pages whose file in `folder` is missing or another."""
    return [
        name
        for name, text in written.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]


if __name__ == "__main__":
    prepare_process()
    run_command(main)
