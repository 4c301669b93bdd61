"""With PREFECT_API_URL set, a run reports to that server: states, tasks, artifacts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from flows_support import model_folders, pair, sampling_recipe, truncate_recipe
from prefect_server import running_prefect_server

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_prefect_server(tmp_path_factory.mktemp("prefect-home")) as running:
        yield running


def curate(environment, tmp_path, rows):
    return command(environment, tmp_path, truncate_recipe(tmp_path, rows), "flows.curate", "--config")


def command(environment, tmp_path, recipe, module, *flags, more=()):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    return subprocess.run(
        [sys.executable, "-m", module, *flags, str(path), *more],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_a_run_shows_up_with_its_tasks_parameters_funnel_and_result(server, tmp_path):
    done = curate(server.environment, tmp_path, [pair(1), pair(2), pair(1)])
    assert done.returncode == 0, done.stderr[-3000:]
    [run] = server.ask("flow_runs/filter", flow_runs={"name": {"any_": ["curate unit"]}})
    assert run["state_type"] == "COMPLETED"
    assert run["parameters"]["recipe"]["truncate"]["method"] == "poet"
    tasks = {t["name"].split("-")[0] for t in server.ask("task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})}
    assert {"load sources", "tokenise and truncate", "write shards", "report"} <= tasks
    artifacts = {a["key"]: a for a in server.ask("artifacts/filter")}
    funnel = json.loads(artifacts["unit-funnel"]["data"])
    assert [(row["pairs"], row["what"]) for row in funnel] == [
        (3, "came in"),
        (2, "kept"),
        (1, "dropped"),
        (0, "quarantined"),
    ]
    assert "data:image/png;base64" in artifacts["unit-result"]["data"]


def test_a_run_that_cannot_go_on_is_failed_there_and_exits_with_one_message(server, tmp_path):
    done = curate(server.environment, tmp_path, [{"history": "h", "labels": 1}])
    assert done.returncode == 2
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    states = [r["state_type"] for r in server.ask("flow_runs/filter", flow_runs={"name": {"any_": ["curate unit"]}})]
    assert states.count("FAILED") == 1


def test_an_audit_is_a_flow_with_its_advice_as_an_artifact(server, tmp_path):
    rows = [pair(i, chosen=f"the cat sat on the mat {i}") for i in range(4)]
    recipe = sampling_recipe(tmp_path, model_folders(tmp_path / "models"), rows)
    done = command(
        server.environment, tmp_path, recipe, "flows.audit", more=["--out", str(tmp_path / "audit"), "--n", "1"]
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "POET" in done.stdout
    [run] = server.ask("flow_runs/filter", flow_runs={"name": {"any_": ["audit unit"]}})
    assert run["state_type"] == "COMPLETED"
    artifacts = {a["key"]: a for a in server.ask("artifacts/filter")}
    assert "| ratio 0.5 |" in artifacts["unit-audit"]["data"]
    assert (tmp_path / "audit" / "audit.html").is_file()
