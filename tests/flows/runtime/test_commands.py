"""Every command answers --help at once, and says what is wrong with its arguments in one message."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from flows_support import pair, truncate_recipe

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
MODELS = {"vllm", "torch", "transformers", "datasets"}
SERVER = {"prefect.server.api.server", "sqlalchemy"}
PANDAS = "pandas.core.api"  # an import of `pandas` is listed also where it was refused
HEAVY = MODELS | SERVER | {"prefect.settings", "scipy", "matplotlib", PANDAS, "openai"}


def command(name, *flags, importtime=False, **environment):
    options = ["-X", "importtime"] if importtime else []
    return subprocess.run(
        [sys.executable, *options, "-m", f"flows.{name}", *flags],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")} | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def imported(done):
    """What a command imported, of `-X importtime`."""
    return {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


COMMANDS = sorted(path.parent.name for path in (ROOT / "flows").glob("*/__main__.py"))


def test_every_command_is_here():
    assert {"curate", "starter", "train"} <= set(COMMANDS)
    assert len(COMMANDS) >= 14


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_heavy(name):
    done = command(name, "--help", importtime=True)
    assert done.returncode == 0
    assert "usage: python -m flows." in done.stdout
    assert not HEAVY & imported(done)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A recipe of a finished run, its folder, and the environment that it was made in."""
    home = tmp_path_factory.mktemp("finished")
    recipe = truncate_recipe(home, [pair(number) for number in range(6)])
    (home / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    environment = {"PREFECT_HOME": str(home / "prefect"), "PREFERENCE_CURATION_CACHE": str(home / "cache")}
    done = command("curate", "--config", str(home / "recipe.yaml"), **environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return home / "recipe.yaml", Path(recipe.output.dir), environment


def test_an_unchanged_rerun_imports_no_model_library_no_prefect_and_no_figures(finished):
    recipe, _, environment = finished
    done = command("curate", "--config", str(recipe), importtime=True, **environment)
    assert "Nothing changed since" in done.stdout
    assert not (HEAVY | {"huggingface_hub"}) & imported(done)


def test_a_run_without_models_imports_none_and_leaves_prefects_server_to_its_process(finished, tmp_path):
    recipe, _, environment = finished
    done = command(
        "curate", "--config", str(recipe), "--output.dir", str(tmp_path / "run"), importtime=True, **environment
    )
    assert done.returncode == 0
    modules = imported(done)
    assert "prefect.flow_engine" in modules  # it is a run of Prefect's all the same
    assert not (MODELS | SERVER | {"scipy", PANDAS, "openai", "huggingface_hub"}) & modules


def test_a_dry_run_that_samples_nothing_imports_nothing_heavy(finished, tmp_path):
    recipe, _, environment = finished
    flags = ["--config", str(recipe), "--output.dir", str(tmp_path / "run"), "--dry-run"]
    done = command("curate", *flags, importtime=True, **environment)
    assert "policy.engine is none" in done.stdout
    assert not HEAVY & imported(done)


def test_explain_reads_a_run_without_transformers(finished):
    _, folder, environment = finished
    [shard] = (folder / "dataset" / "train").glob("*.arrow")
    with pa.OSFile(str(shard)) as raw, pa.ipc.open_stream(raw) as stream:
        pair_id = stream.read_next_batch()["pair_id"][0].as_py()
    done = command("explain", str(folder), pair_id, importtime=True, **environment)
    assert f"pair {pair_id} of unit" in done.stdout
    assert not HEAVY & imported(done)


def test_diff_and_a_dry_run_of_publish_import_no_model_library_and_no_prefect(finished):
    _, folder, environment = finished
    done = command("diff", str(folder), str(folder), importtime=True, **environment)
    assert done.stdout.startswith("Equal: ")
    assert not (HEAVY - {"scipy"}) & imported(done)
    done = command("publish", str(folder), "--repo", "org/name", "--dry-run", importtime=True, **environment)
    assert "Dry run: nothing was sent." in done.stdout
    assert not (HEAVY - {"scipy"}) & imported(done)


def test_a_run_is_in_prefects_database_with_its_tasks(finished):
    _, _, environment = finished
    database = sqlite3.connect(Path(environment["PREFECT_HOME"]) / "prefect.db")
    assert database.execute("select state_type from flow_run where name = 'curate unit'").fetchone() == ("COMPLETED",)
    tasks = {name for (name,) in database.execute("select name from task_run")}
    assert tasks == {"load sources", "tokenise and truncate", "write shards", "report"}


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("audit", ["--n", "0"], "--n 0: Input should be greater than or equal to 1"),
        ("audit", ["--pairs", "1"], "--pairs 1: Input should be greater than or equal to 2"),
        ("audit", ["--curve-tokens", "3"], "--curve-tokens 3: Input should be greater than or equal to 4"),
        ("audit", ["--policy.engine", "none"], "an audit samples and scores"),
        ("audit", ["no-such.yaml"], "there is no recipe no-such.yaml"),
        ("evaluate", ["no-such.yaml"], "there is no recipe no-such.yaml"),
        ("compare", ["no-such.yaml"], "there is no recipe no-such.yaml"),
        ("compare", ["--seeds", "1"], "seeds: Input should be greater than or equal to 2"),
        ("explain", ["/nowhere", "abcdef"], "/nowhere holds no finished run"),
        ("diff", ["/nowhere", "/nowhere"], "/nowhere holds no finished run"),
        ("diff", ["org/name@v1", "org/name", "--revision-a", "v2"], "names a revision and so does the flag"),
        ("decode", ["/nowhere", "--policy", "./x"], "/nowhere holds no finished run"),
        (
            "decode",
            ["runs/x", "--policy", "./x", "--temperature", "0"],
            "--temperature: expected a number above 0",
        ),
        ("refresh", ["no-such.yaml"], "there is no recipe no-such.yaml"),
        ("refresh", ["--repo", "starter"], "repo: String should match pattern"),
        ("deploy", ["no-such.yaml"], "there is no recipe no-such.yaml"),
        ("deploy", ["--repo", "starter"], "repo: String should match pattern"),
        ("deploy", ["--every", "6"], "--every 6: expected a number and s, m, h or d"),
        ("deploy", ["--timeout", "0h"], "--timeout 0h: expected a number and s, m, h or d"),
        ("deploy", ["--retries", "-1"], "--retries -1: expected 0 to 50"),
        ("deploy", [], "a schedule needs a Prefect server that stays"),
        ("curate", ["--sampling.first", "9"], "first: 9 is more than n: 6"),
        ("curate", ["--proxy", '{"error": 0.7}'], "proxy.error: Input should be less than 0.5"),
    ],
)
def test_a_wrong_argument_is_one_message_and_exit_code_2(name, flags, message):
    done = command(name, *flags)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
