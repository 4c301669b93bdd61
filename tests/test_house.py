"""A house that one finds one's way in: every module says what it is, and every room lists its files."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("flows", "transforms", "trainers")
FILES = sorted(path for folder in (*PACKAGES, "benchmarks") for path in (ROOT / folder).rglob("*.py"))
ROOMS = sorted(path.parent for package in PACKAGES for path in (ROOT / package).rglob("__init__.py"))


def docstring(path):
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def named(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_shipped_module_says_what_it_is_in_a_docstring(path):
    assert docstring(path)


@pytest.mark.parametrize("room", [room for room in ROOMS if named(room) not in PACKAGES], ids=named)
def test_a_room_lists_its_files_in_reading_order_each_once(room):
    listed = Counter(re.findall(r"^ *(\w+)  +\S", docstring(room / "__init__.py"), re.MULTILINE))
    files = [path.stem for path in room.glob("*.py") if path.name != "__init__.py"]
    folders = [path.parent.name for path in room.glob("*/__init__.py")]
    assert listed == Counter([*files, *folders])


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_names_all_its_rooms(package):
    words = re.findall(r"\w+", docstring(ROOT / package / "__init__.py"))
    assert {path.parent.name for path in (ROOT / package).glob("*/__init__.py")} <= set(words)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_lies_outside_the_rooms_but_what_all_of_them_share(package):
    shared = {"transforms": {"choices", "errors", "paths", "precision", "text"}}
    loose = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    assert loose == shared.get(package, set())


def test_there_are_files_to_look_at():
    assert len(FILES) > 60
    assert len(ROOMS) > 30
