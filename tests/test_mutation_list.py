"""The list of mutations fits the code that it breaks, and its runner tells what is seen from what is not."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

RUNNER = Path(__file__).parent / "mutations" / "run.py"


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    """The script, which is in no package."""
    spec = importlib.util.spec_from_file_location("mutation_runner", RUNNER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_entry_stands_once_in_its_file_and_names_tests_that_there_are(runner):
    assert runner.misfits(runner.read_mutations()) == []


CODE = "def double(number):\n    return 2 * number\n"
TESTS = """
import pytest
from code_under_test import double


def test_double():
    assert double(3) == 6


def test_zero():
    assert double(0) == 0


def test_it_is_wrong_whatever_the_code():
    assert double(1) == 3


@pytest.mark.slow
def test_patience():
    assert double(5) == 10
"""


@pytest.fixture
def tree(tmp_path):
    """A repository of one function and its tests."""
    (tmp_path / "code_under_test.py").write_text(CODE)
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\nmarkers =\n    slow: takes long\n")
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def entry(runner, name, old, new, *tests, **more):
    return runner.Mutation(name, "code_under_test.py", old, new, tests, **more)


def test_what_does_not_fit_is_said_by_the_entrys_name(runner, tree):
    mutations = [
        entry(runner, "twice", "number", "x", "test_it.py"),
        entry(runner, "gone", "3 * number", "x", "test_it.py::test_one"),
        entry(runner, "idle", "2 *", "2 *", "test_me.py"),
        entry(runner, "untested", "return", "raise"),
        runner.Mutation("nowhere", "other.py", "a", "b", ("test_it.py::test_zero",)),
        runner.Mutation("nowhere", "other.py", "a", "b", ("test_it.py::test_zero[0]",)),
    ]
    assert runner.misfits(mutations, tree) == [
        "nowhere: 2 entries have this name",
        "other.py, 'a': 2 entries make the same of it",
        "twice: `old` stands 2 times in code_under_test.py, expected once",
        "gone: `old` stands 0 times in code_under_test.py, expected once",
        "gone: there is no test test_it.py::test_one",
        "idle: `new` is what `old` is",
        "idle: there is no test file test_me.py",
        "untested: names no test",
        "nowhere: there is no file other.py",
        "nowhere: there is no file other.py",
    ]
    broken = entry(runner, "unreadable", "return 2", "return return 2", "test_it.py")
    [problem] = runner.uncompiled([broken], tree)
    assert problem.startswith("unreadable: code_under_test.py does not compile with it: invalid syntax")


def test_the_table_counts_by_folder_and_names_what_was_not_killed(runner):
    outcomes = {
        runner.Mutation("one", "flows/hub/repository.py", "a", "b", ("t.py",)): runner.Outcome(
            "killed", "FAILED t.py", 1.0
        ),
        runner.Mutation("two", "flows/hub/repository.py", "a", "c", ("t.py",)): runner.Outcome("SURVIVED", "", 2.0),
        runner.Mutation("three", "trainers/rewards/head.py", "a", "b", ("t.py",)): runner.Outcome(
            "broken", "no tests ran", 0
        ),
    }
    assert runner.table(outcomes).splitlines() == [
        "",
        "                  killed  killed by a timeout  SURVIVED  broken",
        "flows/hub              1                    0         1       0",
        "trainers/rewards       0                    0         0       1",
        "all                    1                    0         1       1",
        "SURVIVED: flows/hub/repository.py: two",
        "broken: trainers/rewards/head.py: three (no tests ran)",
    ]
    killed, survived, broken = outcomes.values()
    found = [runner.exit_code(some) for some in ([killed], [killed, broken], [broken, survived])]
    assert found == [0, 2, 1]


@pytest.mark.slow
def test_a_mutation_is_killed_survives_or_says_nothing(runner, tree, capsys):
    mutations = [
        entry(runner, "seen", "2 *", "3 *", "test_it.py::test_double"),
        entry(runner, "not imported", "def double", "def triple", "test_it.py::test_double"),
        entry(runner, "unseen", "2 *", "4 *", "test_it.py::test_zero"),
        entry(runner, "unsound", "2 *", "6 *", "test_it.py::test_it_is_wrong_whatever_the_code"),
    ]
    assert runner.run(mutations, tree) == 1
    said = [line for line in capsys.readouterr().out.splitlines() if " code_under_test.py: " in line]
    assert [(line.split()[1], line.rpartition(": ")[2]) for line in said[:4]] == [
        ("killed", "seen"),
        ("broken", "not imported"),
        ("SURVIVED", "unseen"),
        ("broken", "unsound"),
    ]
    assert (tree / "code_under_test.py").read_text() == CODE


@pytest.mark.slow
def test_a_test_that_pytest_ends_for_its_time_is_told_apart(runner, tree):
    (tree / "pytest.ini").write_text("[pytest]\npythonpath = .\ntimeout = 1\nmarkers =\n    slow: takes long\n")
    hangs = entry(runner, "hangs", "return 2", "while True: pass\n    return 2", "test_it.py::test_zero")
    with runner.applied(hangs, tree):
        assert runner.run_tests(tree, hangs.tests, slow=False).word == "killed by a timeout"
    assert runner.run_tests(tree, hangs.tests, slow=False).word == "SURVIVED"
