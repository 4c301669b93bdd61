"""Files that one can read: short files, short functions, a docstring for each module."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = ("flows", "transforms", "trainers", "benchmarks")
FILES = sorted(path for folder in (*SHIPPED, "tests") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_file_has_at_most_300_lines_functions_of_at_most_60_and_a_docstring(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    folder = path.relative_to(ROOT).parts[0]
    assert ast.get_docstring(tree) or folder == "tests"  # the names of tests are sentences
    assert len(text.splitlines()) <= 300
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_there_are_files_to_look_at():
    assert len(FILES) > 60
