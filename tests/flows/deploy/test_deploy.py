"""Registering deployments at a real Prefect server, and a worker that runs one."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from flows_support import pair, truncate_recipe
from prefect_server import running_prefect_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[3]
BLOCK = """
from prefect.blocks.notifications import SlackWebhook
SlackWebhook(url="https://hooks.slack.com/services/x").save("team", overwrite=True)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_prefect_server(tmp_path_factory.mktemp("prefect-home")) as running:
        prefect(running, "work-pool", "create", "curation", "--type", "process")
        yield running


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(truncate_recipe(tmp_path, [pair(1), pair(2)]).model_dump(mode="json")))
    return path


def run(server, *words):
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def prefect(server, *words):
    code, said = run(server, "-m", "prefect", "--no-prompt", *words)
    assert code == 0, said


def deploy(server, recipe, *flags):
    return run(server, "-m", "flows.deploy", str(recipe), *flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cron", "0 3 * * x"], "is no cron schedule; expected five fields"),
        (["--cron", "0 3 * * *", "--timezone", "Mars/Olympus"], "expected a name like Europe/Berlin"),
        (["--pool", "nobodys"], "there is no work pool nobodys: make one with prefect work-pool create"),
        (["--pool", "curation", "--notify", "slack-webhook/nobody"], "there is no notification block slack-webhook/"),
        (["--pool", "curation", "--truncate.method", "poem"], "truncate.method: Input should be"),
    ],
)
def test_nothing_is_registered_where_something_does_not_fit(server, recipe, flags, message):
    code, said = deploy(server, recipe, *flags, "--name", "wrong")
    assert (code, said.count("error:")) == (2, 1), said
    assert message in " ".join(said.split())
    assert "wrong" not in [one["name"] for one in server.ask("deployments/filter")]


def test_a_worker_of_the_pool_runs_it_and_registering_again_replaces_it(server, recipe, tmp_path):
    code, said = run(server, "-c", BLOCK)
    assert code == 0, said
    flags = ["--pool", "curation", "--notify", "slack-webhook/team", "--timeout", "1h", "--retries", "1"]
    for schedule in (["--cron", "0 3 * * *", "--timezone", "Europe/Berlin"], ["--every", "6h"]):
        code, said = deploy(server, recipe, *flags, *schedule)
        assert code == 0, said
    assert "refresh/unit, registered on the work pool curation" in said
    found = server.get("deployments/name/refresh/unit")
    assert [one["schedule"]["interval"] for one in found["schedules"]] == [6 * 3600]
    assert (found["global_concurrency_limit"]["limit"], found["concurrency_options"]["collision_strategy"]) == (
        1,
        "CANCEL_NEW",
    )
    assert found["parameters"]["attempts"] == {"timeout_seconds": 3600, "retries": 1, "delay_seconds": 60}
    [automation] = server.ask("automations/filter")
    assert (automation["name"], automation["enabled"]) == ("refresh/unit failed", True)

    started = server.ask(f"deployments/{found['id']}/create_flow_run")["id"]
    prefect(server, "worker", "start", "--pool", "curation", "--run-once")
    state = server.get(f"flow_runs/{started}")["state"]
    assert (state["type"], state["message"].split(" (")[0]) == ("COMPLETED", "refreshed")
    assert (tmp_path / "out" / "manifest.json").is_file()
    lines = [one["message"] for one in server.ask("logs/filter", logs={"flow_run_id": {"any_": [started]}})]
    assert "looking up sources, models and the last version" in lines


def test_prefect_yaml_is_accepted_as_it_is(server):
    prefect(server, "deploy", "--all")
    found = {one["name"]: one for one in server.ask("deployments/filter")}
    assert (found["starter-daily"]["paused"], found["template"]["paused"]) == (False, True)
    assert found["starter-daily"]["parameters"]["recipe"]["name"] == "starter"
    assert found["template"]["global_concurrency_limit"]["limit"] == 1
