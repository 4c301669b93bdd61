"""The picture of the rooms shows the imports that are there, and an import that runs back up cannot be drawn."""

import re

import pytest

from flows.reference.rooms import draw, read_package
from transforms.errors import ConfigError

FILES = {
    "house/attic/__init__.py": "",
    "house/attic/window.py": "from house.hall import door\nfrom house.cellar import wine\n",
    "house/hall/__init__.py": "",
    "house/hall/door.py": "def enter():\n    from house.cellar.wine import drink\n",
    "house/hall/mat.py": "import house.hall.door\nfrom house import shared\n",
    "house/cellar/__init__.py": "",
    "house/cellar/wine.py": "import json\n",
    "house/cellar/old/__init__.py": "",
    "house/cellar/old/wine.py": "from house.cellar import wine\n",
    "house/shared.py": "",
}


@pytest.fixture
def root(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_imports_between_rooms_are_found_also_inside_functions_and_rooms_within_rooms_count_as_one(root):
    package = read_package("house", root)
    assert package.imports == {"attic": {"hall", "cellar"}, "hall": {"cellar"}, "cellar": set()}
    assert package.files == {"attic": 1, "hall": 2, "cellar": 3}


def test_a_room_stands_above_what_it_imports_and_implied_arrows_are_left_out(root):
    picture = draw([read_package("house", root)])
    heights = dict(re.findall(r'<text x="\d+" y="(\d+)">(\w+)</text>', picture))
    by_height = [heights[height] for height in sorted(heights, key=int)]
    assert by_height == ["attic", "hall", "cellar"]
    assert picture.count("<path class") == 2  # attic → hall → cellar, and not attic → cellar
    assert draw([read_package("house", root)]) == picture


def test_rooms_that_import_each_other_are_an_error_that_names_them(root):
    (root / "house/cellar/wine.py").write_text("from house.attic import window\n")
    with pytest.raises(ConfigError, match=r"rooms of house import each other: .*attic.*expected imports one way"):
        read_package("house", root)
