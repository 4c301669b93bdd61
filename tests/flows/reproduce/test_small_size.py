"""Everything that is redone at the small size, run: its steps in order, with tiny models behind the names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import documented_world
import pytest
from documented_world import make_checkout, smollm2_is_tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, shared_server):
    """A folder with the code, small recipes and tiny models, and the environment of a command there."""
    folder = tmp_path_factory.mktemp("checkout")
    make_checkout(folder)
    smollm2_is_tiny(folder / "cache", folder)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PREFECT_"))}
    return folder, kept | {
        "HF_HUB_OFFLINE": "1",  # what is redone at this size needs no network
        "HF_HOME": str(folder / "hf"),
        "PREFECT_API_URL": shared_server.url,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFERENCE_CURATION_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(folder),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "120",
    }


# The command itself, but its steps are run in its process: torch and Prefect are imported once, and not for each.
HERE = """
import contextlib, os, sys
sys.path.insert(0, {support!r})
from reader_process import answer
import flows.reproduce.run as run

def wait(argv, sink):
    with os.fdopen(os.dup(sink), "w") as said, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        return answer({{"argv": argv[2:]}}, {{}})

run._wait = wait
from flows.reproduce.__main__ import main
from flows.runtime.cli import prepare_process, run_command
prepare_process()
run_command(main)
"""


def reproduce(checkout, *words, here=False):
    folder, environment = checkout
    (folder / "reproduce_here.py").write_text(HERE.format(support=str(Path(documented_world.__file__).parent)))
    return subprocess.run(
        [sys.executable, *(["reproduce_here.py"] if here else ["-m", "flows.reproduce"]), *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_entry_of_the_list_has_its_numbers_and_a_second_run_does_nothing(checkout):
    listed = reproduce(checkout, "--list", "--json")
    wanted = [one for one in json.loads(listed.stdout) if one["why_not"] is None]
    assert wanted
    done = reproduce(checkout, "--all", "--size", "small", here=True)
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-3000:]}"
    out = checkout[0] / "runs" / "reproduce" / "small"
    for one in wanted:
        found = json.loads((out / one["paper"] / f"{one['entry']}.json").read_text())
        assert (found["paper"], found["entry"], found["size"]) == (one["paper"], one["entry"], "small")
    assert (out / "papers.md").is_file()
    steps = {path: path.read_bytes() for path in (out / "steps").glob("*.done.json")}
    again = reproduce(checkout, "--all")
    assert again.returncode == 0
    assert {path: path.read_bytes() for path in steps} == steps
