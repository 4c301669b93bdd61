"""A catalogue of a few lines, a stand-in for the commands that its steps run, and for how entries are read."""

import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import flows.reproduce.__main__ as command
from flows.reproduce.catalogue import Catalogue, read_catalogue
from transforms.errors import SourceError
from transforms.records.reproduction import ClaimFound, Reproduction

# pairs → dpo → judged; other stands alone.
STEPS: dict[str, dict[str, Any]] = {
    "pairs": {"run": "flows.curate", "recipe": {"name": "pairs", "output": {"test_size": 0.5}}},
    "dpo": {
        "run": "flows.train",
        "recipe": {"name": "dpo", "dataset": {"path": "{pairs}"}, "file": "{here}/more.yaml"},
        "files": {"more.yaml": {"run": "{pairs}"}},
    },
    "judged": {"run": "flows.decode", "arguments": ["{pairs}", "--policy", "{dpo}/model"]},
    "other": {"run": "flows.audit", "recipe": {"name": "other"}, "arguments": ["--pairs", "8"]},
}
ENTRIES: list[dict[str, Any]] = [
    {"id": "figure-1", "shows": "A drawing [sic].", "nothing": "A drawing."},
    {"id": "table-1", "shows": "Judged policies.", "printed": [{"label": "a", "points": [{"x": "b", "y": 1.5}]}]},
    {"id": "figure-2", "shows": "An audit."},
    {"id": "figure-3", "shows": "Both."},
]
SMALL: dict[str, dict[str, Any]] = {
    "poet/table-1": {"steps": ["judged"], "needs": "what ships", "hours": 0.5},
    "poet/figure-2": {"steps": ["other"], "needs": "what ships"},
    "poet/figure-3": {"cannot": "Needs a GPU.", "needs": "a GPU"},
}
PAPER: dict[str, dict[str, Any]] = {
    "poet/table-1": {"steps": ["judged"], "needs": "an H100", "hours": 40},
    "poet/figure-2": {"cannot": "Nobody has the data.", "needs": "data"},
    "poet/figure-3": {"steps": ["judged"], "needs": "an H100", "hours": 2},
}

# Keeps what it was told in the folder of its step, and a line in `calls`; fails where a file says so.
_COMMAND = """#!{python} -SE
import pathlib, re, sys
home = pathlib.Path({home!r})
words = sys.argv[1:]
recipe = pathlib.Path(words[2])
text = recipe.read_text() if recipe.suffix == ".yaml" else ""
folder = pathlib.Path(words[words.index("--out") + 1] if "--out" in words else re.search("dir: (.*)", text)[1])
with (home / "calls").open("a") as calls:
    calls.write(folder.name + "\\n")
print("a line of", folder.name)
if (home / ("fail-" + folder.name)).exists():
    print("it broke \\x1b[31m here")
    sys.exit(3)
if not (home / ("nothing-" + folder.name)).exists():
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "told.yaml").write_text(text)
"""


def write_catalogue(folder: Path, **files: Any) -> Path:
    """The catalogue's files; `files` by their names without .yaml, `small/dpo` say, take the place of those above."""
    poet = {"paper": "poet", "title": "POET", "source": "arXiv", "known": "all", "entries": ENTRIES}
    content: dict[str, Any] = {"poet": poet, "small": {"entries": SMALL}, "paper": {"entries": PAPER}}
    content |= {f"{size}/{name}": step for size in ("small", "paper") for name, step in STEPS.items()}
    for name, value in (content | files).items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
    return folder


def catalogue(folder: Path, **files: Any) -> Catalogue:
    return read_catalogue(write_catalogue(folder, **files))


class Terminal:
    """`python -m flows.reproduce` in this process, with stand-ins for the commands of steps and the readers."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.home, self.out = home, home / "out"
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.unreadable: set[str] = set()
        self.pages: list[tuple[list[str], dict[str, str]]] = []
        self.change()
        script = home / "python"
        script.write_text(_COMMAND.format(python=sys.executable, home=str(home)))
        script.chmod(0o755)
        monkeypatch.setattr("flows.reproduce.steps.sys", SimpleNamespace(executable=str(script)))
        results = SimpleNamespace(reproduce_entry=self._reproduce)
        monkeypatch.setitem(sys.modules, "flows.reproduce.results", results)
        # The recipes of these steps are nobody's; tests of `check_edited` have real ones.
        monkeypatch.setattr(command, "check_edited", lambda steps: None)
        monkeypatch.setitem(sys.modules, "flows.reproduce.pages", SimpleNamespace(write_pages=self._write_pages))

    def change(self, **files: Any) -> None:
        """Another catalogue from here on."""
        folder = write_catalogue(self.home / "catalogue", **files)
        self._monkeypatch.setattr(command, "read_catalogue", partial(read_catalogue, folder))

    def type(self, *words: str) -> tuple[int, str]:
        """Exit code and what was printed."""
        self._monkeypatch.setattr(sys, "argv", ["flows.reproduce", *words, "--out", str(self.out)])
        self._capsys.readouterr()
        code = command.main()
        return code, self._capsys.readouterr().out

    def calls(self) -> list[str]:
        """The steps whose commands ran since the last look, in order."""
        path = self.home / "calls"
        found = path.read_text().split() if path.is_file() else []
        path.unlink(missing_ok=True)
        return found

    def mark(self, name: str) -> Path:
        """Let a step fail (`fail-STEP`) or leave nothing (`nothing-STEP`)."""
        (self.home / name).touch()
        return self.home / name

    def _reproduce(self, paper, entry, sized, size, folders, seconds, fingerprint):  # type: ignore[no-untyped-def]
        if entry.id in self.unreadable:
            message = "no such number"
            raise SourceError(message)
        assert all(folder.is_dir() for folder in folders.values())
        outcomes = ("holds", "holds", "not told")
        claims = [ClaimFound(says="s", outcome=outcome, found="f") for outcome in outcomes]
        return Reproduction(
            paper=paper, entry=entry.id, size=size, title=entry.shows, x="", y="", printed=[], series=[],
            claims=claims, caveat="", rests_on=sorted(folders), steps=seconds, fingerprint=fingerprint,
        )  # fmt: skip

    def _write_pages(self, out, catalogue, size, found, failed):  # type: ignore[no-untyped-def]
        self.pages.append(([one.entry for one in found], dict(failed)))
        (out / "papers.md").write_text(size)
        return out / "papers.md"
