"""Files are left unread by what their text says of marks, so that must be right."""

import pytest
from marked_files import LONG, MarkedFile, rank

ONE = "import pytest\n\n@pytest.mark.slow\ndef test_a(): ...\n\ndef test_b(): ...\n"
ALL = "pytestmark = pytest.mark.slow  # simulates\n"
LIST = 'pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Use \'content")]\n'
LINES = "pytestmark = [\n    pytest.mark.timeout(9),\n    pytest.mark.slow,\n    pytest.mark.vllm,\n]\n"
FIXTURES = 'pytestmark = pytest.mark.usefixtures("x")\n\n\n@pytest.mark.slow\ndef test_a(): ...\n'


@pytest.fixture
def marked(tmp_path):
    def of(text):
        path = tmp_path / f"test_{abs(hash(text))}.py"
        path.write_text(text)
        return MarkedFile.of(path)

    return of


@pytest.mark.parametrize(
    ("text", "on_all", "on_any"),
    [
        ("def test_a(): ...\n", set(), set()),
        (ONE, set(), {"slow"}),
        (ALL, {"slow"}, {"slow"}),
        (LIST, {"slow"}, {"slow"}),
        (LINES, {"slow", "vllm"}, {"slow", "vllm"}),
        (FIXTURES, set(), {"slow"}),
    ],
)
def test_marks_of_all_tests_and_of_any_are_told_apart(marked, text, on_all, on_any):
    assert marked(text) == (on_all, on_any)


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        ("def test_a(): ...\n", {"slow"}),
        (ONE, set()),
        (ALL, {"not slow"}),
        (LINES, {"not slow"}),
    ],
)
def test_a_file_is_left_unread_where_no_test_of_it_would_be_run(marked, text, unread):
    asked = ("slow", "not slow", "slow and not vllm", "not (slow)", "")
    assert {expression for expression in asked if marked(text).is_of_no_use(expression)} == unread


def test_a_mark_that_the_text_does_not_show_is_complained_of(marked):
    assert marked("from marks import slow\n").complaint({"slow", "timeout"}) == (
        "has the mark slow, but its file does not write pytest.mark.slow"
    )
    assert marked(ONE).complaint({"slow"}) is None


def test_a_mark_that_only_the_text_shows_is_complained_of(marked):
    assert marked(ALL).complaint({"parametrize"}) == "has no mark slow, but its file's pytestmark does"
    assert marked(ALL).complaint({"parametrize", "slow"}) is None


def test_vllm_comes_first_then_what_takes_long_and_fast_files_last(tmp_path):
    fast = "def test_a(): ...\n"
    names = {"test_a.py": LINES, f"{LONG[0]}.py": ALL, f"{LONG[-1]}.py": ALL, "test_b.py": ONE, "test_c.py": fast}
    for name, text in names.items():
        (tmp_path / name).write_text(text)
    assert [rank(tmp_path / name) for name in names] == [-1, 0, len(LONG) - 1, len(LONG), len(LONG) + 1]


def test_every_file_that_takes_long_is_there(request):
    there = {path.stem for path in (request.config.rootpath / "tests").rglob("test_*.py")}
    assert set(LONG) <= there
