"""`python -m flows.data_cards`: the generated parts of data_cards/sources, from the sources' own code.

`--check` writes nothing, prints what differs and exits with 1; `make check` runs it.
"""

import argparse
import sys
from difflib import unified_diff
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from flows.reference.keys import keys
from flows.runtime.cli import prepare_process, run_command
from transforms.errors import ConfigError
from transforms.sources.adapter import SourceKind
from transforms.sources.kinds import KINDS
from transforms.sources.options import SourceOptions
from transforms.sources.pages import facts, raw_rows, renewed

FOLDER: Final = Path(__file__).parents[2] / "data_cards" / "sources"


def main() -> int:
    """Renew the pages, or print how they differ from the code."""
    parser = argparse.ArgumentParser(prog="python -m flows.data_cards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page differs")
    check = parser.parse_args().check
    stale = outdated(FOLDER)
    if check:
        for path, text in stale.items():
            sys.stdout.writelines(_difference(path, text))
        return 1 if stale else 0
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
    found = f"{len(stale)} of {len(KINDS)} pages renewed" if stale else f"{len(KINDS)} pages are up to date"
    Console(soft_wrap=True).print(found, highlight=False)
    return 0


def outdated(folder: Path) -> dict[Path, str]:
    """Pages whose generated parts are not what the code says, with the text that they should have.

    Raises:
        ConfigError: a kind without a page, a page without a kind, or a page without its markers.
    """
    names = {path.stem for path in folder.glob("*.md")}
    if alone := sorted(KINDS.keys() - names):
        message = f"{folder} has no page {alone[0]}.md: copy skywork.md to it, and say what is by hand anew"
        raise ConfigError(message)
    if odd := sorted(names - KINDS.keys()):
        message = f"{folder}/{odd[0]}.md is of no source kind: it is missing in transforms/sources/kinds/__init__.py"
        raise ConfigError(message)
    stale = {}
    for name, kind in KINDS.items():
        path = folder / f"{name}.md"
        page = path.read_text(encoding="utf-8")
        wanted = renewed(page, _parts(kind), name=path.name)
        if wanted != page:
            stale[path] = wanted
    return stale


def _parts(kind: SourceKind[Any]) -> dict[str, str]:
    return {"facts": facts(kind), "row": raw_rows(kind), "options": _options(kind)}


def _options(kind: SourceKind[Any]) -> str:
    """The kind's own keys, with those whose default it changes, as a table; the others by name."""
    shared = set(keys(SourceOptions))
    own = [key for key in keys(kind.options) if key not in shared and key.name != "kind"]
    rows = [f"| `{key.name}` | {key.kind} | {key.default} | {key.meaning} |" for key in own]
    table = ["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows, ""] if own else []
    others = [f"`{key.name}`" for key in keys(SourceOptions) if key.name not in {one.name for one in own}]
    more = f"{'And those' if own else 'Those'} of every source ([meanings](../../docs/reference/sources.md)):"
    return "\n".join([*table, f"{more} {', '.join(others)}."])


def _difference(path: Path, text: str) -> list[str]:
    before = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return list(unified_diff(before, text.splitlines(keepends=True), str(path), "as the code says"))


if __name__ == "__main__":
    prepare_process()
    run_command(main)
