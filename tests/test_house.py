"""Files that one can read: a docstring for each module that is shipped."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = ("flows", "transforms", "trainers", "benchmarks")
FILES = sorted(path for folder in SHIPPED for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_shipped_module_says_what_it_is_in_a_docstring(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_there_are_files_to_look_at():
    assert len(FILES) > 60
