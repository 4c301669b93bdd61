"""Break the code in the ways of mutations.yaml, one at a time, and see that the tests notice.

    python tests/mutations/run.py --check               no test runs: every entry still fits the code
    python tests/mutations/run.py --fast                what fast tests must see, one pytest after the other
    python tests/mutations/run.py --only flows/hub/repository.py   one file, or one name

Works on a copy of the files that git knows; the checkout stays as it is. Exit code 0: every mutation was killed;
1: one survived; 2: an entry does not fit, its tests fail without it, or it says nothing for another reason.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import yaml

ROOT: Final = Path(__file__).parents[2]
LIST: Final = Path(__file__).with_name("mutations.yaml")
# pytest ends a test after 600 s, or what its own mark says (900 s at most here). Past this nobody has ended it.
HARD_LIMIT: Final = 1800.0
PYTEST: Final = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")

KILLED: Final = "killed"
TIMED_OUT: Final = "killed by a timeout"
SURVIVED: Final = "SURVIVED"
BROKEN: Final = "broken"
Thing = TypeVar("Thing", bound=Hashable)


@dataclass(frozen=True)
class Mutation:
    """One way to break the code.

    Attributes:
        name: what is broken, as a sentence.
        file: the file, from the repository's root.
        old: a text that stands exactly once in it.
        new: what stands there instead.
        tests: files or ids of tests, at least one of which must fail.
        slow: whether only slow tests see it.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    slow: bool = False

    @property
    def room(self) -> str:
        """The folder of the file."""
        return str(Path(self.file).parent)


@dataclass(frozen=True)
class Outcome:
    """What a run of some tests said: one of the words above, and the test or the error behind it."""

    word: str
    why: str
    seconds: float


def read_mutations(path: Path = LIST) -> list[Mutation]:
    """The list.

    Raises:
        TypeError: an entry has a key that there is not, or lacks one.
    """
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [Mutation(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]


def misfits(mutations: Sequence[Mutation], root: Path = ROOT) -> list[str]:
    """What of the list does not fit the tree, a line each; told from the texts of the files alone."""
    found = [f"{name}: {count} entries have this name" for name, count in _repeated(m.name for m in mutations)]
    found += [
        f"{file}, {old!r}: {count} entries make the same of it"
        for (file, old, _), count in _repeated((m.file, m.old, m.new) for m in mutations)
    ]
    for mutation in mutations:
        found += [f"{mutation.name}: {problem}" for problem in _problems(mutation, root)]
    return found


def uncompiled(mutations: Sequence[Mutation], root: Path = ROOT) -> list[str]:
    """Those that are no Python any more, a line each: that a file cannot be imported is no honest kill."""
    found = []
    for mutation in mutations:
        path = root / mutation.file
        if path.suffix == ".py":
            text = path.read_text(encoding="utf-8").replace(mutation.old, mutation.new)
            try:
                compile(text, mutation.file, "exec")
            except SyntaxError as error:
                found.append(f"{mutation.name}: {mutation.file} does not compile with it: {error}")
    return found


def _repeated(things: Iterable[Thing]) -> list[tuple[Thing, int]]:
    return [(thing, count) for thing, count in Counter(things).items() if count > 1]


def _problems(mutation: Mutation, root: Path) -> Iterator[str]:
    path = root / mutation.file
    if not path.is_file():
        yield f"there is no file {mutation.file}"
    elif (count := path.read_text(encoding="utf-8").count(mutation.old)) != 1:
        yield f"`old` stands {count} times in {mutation.file}, expected once"
    elif mutation.old == mutation.new:
        yield "`new` is what `old` is"
    if not mutation.tests:
        yield "names no test"
    for test in mutation.tests:
        file, *inside = test.split("::")
        if not (root / file).is_file():
            yield f"there is no test file {file}"
        elif inside and f"def {inside[-1].partition('[')[0]}(" not in (root / file).read_text(encoding="utf-8"):
            yield f"there is no test {test}"


@contextmanager
def copied_tree(root: Path = ROOT) -> Iterator[Path]:
    """A copy of the files that git knows, without its history: what a mutation writes stays in there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        tree = Path(folder) / "tree"
        for name in filter(None, listed.split("\0")):
            if (root / name).is_file():  # git lists what was removed and is not committed yet
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, tree / name)
        yield tree


@contextmanager
def applied(mutation: Mutation, tree: Path) -> Iterator[None]:
    """The tree with one mutation in it, for as long as the block runs."""
    path = tree / mutation.file
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


def run_tests(tree: Path, tests: Sequence[str], *, slow: bool) -> Outcome:
    """Run tests until the first that fails."""
    # No bytecode: a file that changes twice in a second at the same size would be taken from the cache.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    command = [*PYTEST, "-x", "-m", "slow" if slow else "not slow", *tests]
    start = time.monotonic()
    # Not a pipe: a server that a broken run left behind would hold its end, and be waited for.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(
            command, cwd=tree, env=environment, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait(HARD_LIMIT)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
        finally:
            _end_group(process)
        said.seek(0)
        output = said.read()
    seconds = time.monotonic() - start
    if not ended:
        return Outcome(BROKEN, f"nothing ended it within {HARD_LIMIT:.0f} s", seconds)
    if process.returncode not in (0, 1):
        return Outcome(BROKEN, _why(output), seconds)
    if process.returncode == 0:
        return Outcome(SURVIVED, "", seconds)
    word = TIMED_OUT if "Failed: Timeout" in output else KILLED
    return Outcome(word, _why(output), seconds)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """What a broken run left behind is of its session, and goes with it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _why(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return (said or lines or [""])[-1][:300]


def collects(tree: Path, tests: Sequence[str], *, slow: bool) -> str | None:
    """What keeps tests from being collected, None if nothing does."""
    command = [*PYTEST, "--collect-only", "-m", "slow" if slow else "not slow", *tests]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else _why(done.stdout) or done.stderr.strip()[-300:]


def check(mutations: Sequence[Mutation], root: Path = ROOT) -> int:
    """Say what does not fit; no test is run. The exit code."""
    found = misfits(mutations, root) or uncompiled(mutations, root)
    if not found:
        for slow in (False, True):
            tests = sorted({test for mutation in mutations if mutation.slow == slow for test in mutation.tests})
            if tests and (problem := collects(root, tests, slow=slow)):
                found.append(problem)
    _say("\n".join(found) if found else f"{len(mutations)} mutations fit")
    return 2 if found else 0


def run(mutations: Sequence[Mutation], root: Path = ROOT) -> int:
    """Run the tests of each mutation, and once without any. The exit code."""
    if found := misfits(mutations, root) or uncompiled(mutations, root):
        _say("\n".join(found))
        return 2
    outcomes: dict[Mutation, Outcome] = {}
    sound: dict[tuple[bool, tuple[str, ...]], Outcome] = {}
    with copied_tree(root) as tree:
        for number, mutation in enumerate(mutations, 1):
            asked = mutation.slow, mutation.tests
            if asked not in sound:
                sound[asked] = run_tests(tree, mutation.tests, slow=mutation.slow)
            if sound[asked].word == SURVIVED:
                with applied(mutation, tree):
                    outcome = run_tests(tree, mutation.tests, slow=mutation.slow)
            else:
                outcome = Outcome(BROKEN, f"the tests fail without it: {sound[asked].why}", 0)
            outcomes[mutation] = outcome
            _say(f"{number:>3} {outcome.word} in {outcome.seconds:.0f} s: {mutation.file}: {mutation.name}")
            if outcome.why:
                _say(f"    {outcome.why}")
    _say(table(outcomes))
    return exit_code(outcomes.values())


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """1 where a mutation survived; 2 where one says nothing and none survived."""
    words = {outcome.word for outcome in outcomes}
    return 1 if SURVIVED in words else 2 if BROKEN in words else 0


def table(outcomes: dict[Mutation, Outcome]) -> str:
    """Counts by room, then every mutation that was not killed."""
    words = (KILLED, TIMED_OUT, SURVIVED, BROKEN)
    counts = Counter((mutation.room, outcome.word) for mutation, outcome in outcomes.items())
    rooms = sorted({room for room, _ in counts})
    wide = max(map(len, [*rooms, "all"]))
    lines = ["", f"{'':{wide}}  " + "  ".join(words)]
    lines += [f"{room:{wide}}  " + "  ".join(f"{counts[room, word]:>{len(word)}}" for word in words) for room in rooms]
    totals = Counter(outcome.word for outcome in outcomes.values())
    lines.append(f"{'all':{wide}}  " + "  ".join(f"{totals[word]:>{len(word)}}" for word in words))
    lines += [
        f"{outcome.word}: {mutation.file}: {mutation.name}" + (f" ({outcome.why})" if outcome.why else "")
        for mutation, outcome in outcomes.items()
        if outcome.word in (SURVIVED, BROKEN)
    ]
    return "\n".join(lines)


def chosen(mutations: Sequence[Mutation], arguments: argparse.Namespace) -> list[Mutation]:
    """The entries that the flags ask for."""
    return [
        mutation
        for mutation in mutations
        if (arguments.only is None or mutation.name in arguments.only or mutation.file in arguments.only)
        and (arguments.room is None or mutation.file.startswith(arguments.room))
        and (arguments.slow is None or mutation.slow == arguments.slow)
    ]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python tests/mutations/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="NAME|FILE", help="entries of this name, or of this file")
    parser.add_argument("--room", metavar="PREFIX", help="entries whose file begins so, as transforms/engines")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--fast", dest="slow", action="store_false", default=None, help="those that fast tests see")
    kind.add_argument("--slow", dest="slow", action="store_true", help="those that only slow tests see; they take long")
    parser.add_argument("--check", action="store_true", help="run no test: does every entry fit the code")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copy and the tests at work go, too
    mutations = chosen(read_mutations(), arguments)
    if not mutations:
        parser.error("no entry of the list is asked for")
    return check(mutations) if arguments.check else run(mutations)


if __name__ == "__main__":
    sys.exit(main())
