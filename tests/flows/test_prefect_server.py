"""With PREFECT_API_URL set, a run reports to that server: states, tasks, artifacts."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from flows_support import model_folders, pair, sampling_recipe, truncate_recipe

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("prefect-home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/api"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=2)
            break
        except OSError:
            time.sleep(0.5)
    yield url, environment | {"PREFECT_API_URL": url}
    process.terminate()
    process.wait(30)


def ask(url, path, **body):
    request = urllib.request.Request(
        f"{url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


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


@pytest.mark.timeout(400)
def test_a_run_shows_up_with_its_tasks_parameters_funnel_and_result(server, tmp_path):
    url, environment = server
    done = curate(environment, tmp_path, [pair(1), pair(2), pair(1)])
    assert done.returncode == 0, done.stderr[-3000:]
    [run] = ask(url, "flow_runs/filter", flow_runs={"name": {"any_": ["curate unit"]}})
    assert run["state_type"] == "COMPLETED"
    assert run["parameters"]["recipe"]["truncate"]["method"] == "poet"
    tasks = {t["name"].split("-")[0] for t in ask(url, "task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})}
    assert {"load sources", "tokenise and truncate", "write shards", "report"} <= tasks
    artifacts = {a["key"]: a for a in ask(url, "artifacts/filter")}
    funnel = json.loads(artifacts["unit-funnel"]["data"])
    assert [(row["pairs"], row["what"]) for row in funnel] == [
        (3, "came in"),
        (2, "kept"),
        (1, "dropped"),
        (0, "quarantined"),
    ]
    assert "data:image/png;base64" in artifacts["unit-result"]["data"]


@pytest.mark.timeout(400)
def test_a_run_that_cannot_go_on_is_failed_there_and_exits_with_one_message(server, tmp_path):
    url, environment = server
    done = curate(environment, tmp_path, [{"history": "h", "labels": 1}])
    assert done.returncode == 2
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    states = [r["state_type"] for r in ask(url, "flow_runs/filter", flow_runs={"name": {"any_": ["curate unit"]}})]
    assert states.count("FAILED") == 1


@pytest.mark.timeout(400)
def test_an_audit_is_a_flow_with_its_advice_as_an_artifact(server, tmp_path):
    url, environment = server
    rows = [pair(i, chosen=f"the cat sat on the mat {i}") for i in range(4)]
    recipe = sampling_recipe(tmp_path, model_folders(tmp_path / "models"), rows)
    done = command(environment, tmp_path, recipe, "flows.audit", more=["--out", str(tmp_path / "audit"), "--n", "1"])
    assert done.returncode == 0, done.stderr[-3000:]
    assert "POET" in done.stdout
    [run] = ask(url, "flow_runs/filter", flow_runs={"name": {"any_": ["audit unit"]}})
    assert run["state_type"] == "COMPLETED"
    artifacts = {a["key"]: a for a in ask(url, "artifacts/filter")}
    assert "| ratio 0.5 |" in artifacts["unit-audit"]["data"]
    assert (tmp_path / "audit" / "audit.html").is_file()
