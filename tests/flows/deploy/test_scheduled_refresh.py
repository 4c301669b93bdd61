"""A deployment on a real Prefect server, refreshed with new rows, without any, and killed in the middle.

Counted are the requests that the policy's server got, what the ledger gave again, and what lies on the Hub.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from flows_support import model_folders, pair, sampling_recipe, write_rows
from loopback_hub import loopback_hub
from policy_server import running_policy_server
from prefect_server import PrefectServer, eventually, running_prefect_server
from tests_support import tiny_tokenizer

from flows.versions.output_folder import read_manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[3]
TOKEN = "hf_thisTokenMustNotBeSeenAnywhere"
WEBHOOK = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
CustomWebhookNotificationBlock(name="hook", url=sys.argv[1], json_data={"text": "{{subject}} {{body}}"}).save("team")
"""


class Refreshes:
    """A served deployment, and its runs."""

    def __init__(self, prefect: PrefectServer, process: subprocess.Popen[bytes], name: str) -> None:
        self.prefect, self.process = prefect, process
        self.deployment = eventually(lambda: prefect.get(f"deployments/name/refresh/{name}"), seconds=240)

    def start(self) -> str:
        return self.prefect.ask(f"deployments/{self.deployment['id']}/create_flow_run")["id"]

    def state(self, run: str) -> tuple[str, str]:
        """Name and message of a run's state, once it is over."""

        def over():
            state = self.prefect.get(f"flow_runs/{run}")["state"]
            return state if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

        state = eventually(over, seconds=240)
        return state["name"], state["message"]

    def kill_the_running_one(self) -> None:
        for status in Path("/proc").glob("[0-9]*/status"):
            if f"\nPPid:\t{self.process.pid}\n" in status.read_text():
                os.kill(int(status.parent.name), signal.SIGKILL)

    def artifact(self, key: str) -> str:
        return self.prefect.get(f"artifacts/{key}/latest")["data"]


@contextmanager
def served(prefect: PrefectServer, recipe: Path, environment: dict[str, str], *flags: str) -> Iterator[Refreshes]:
    command = [sys.executable, "-m", "flows.deploy", str(recipe), *flags]
    with (recipe.parent / "deploy.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            yield Refreshes(prefect, process, "unit")
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def webhook(heard: list[str]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            heard.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(204)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def rows(count):
    return [pair(number, chosen=f"the cat sat on the mat {number}") for number in range(count)]


def paid(refreshes):
    table = json.loads(refreshes.artifact("unit-paid"))
    return {row["what"]: (row["made now"], row["from the ledger"]) for row in table}


def an_answer_of_its_own(choice):
    # Two equal completions of a pair would be one reward.
    digits = f"{choice['token_ids'][0] % 10**5:05d}"
    choice["token_ids"] = [*tiny_tokenizer().encode(digits, add_special_tokens=False), 2]


def write_recipe(folder, policy):
    models = model_folders(folder / "models")
    recipe = sampling_recipe(
        folder,
        models,
        rows(6),
        policy={"model": "org/policy", "engine": "server", "url": policy.url},
        tokenizer=str(models[0]),
        # A batch a request: what a killed run had paid is then known to the last one.
        sampling={"n": 2, "max_new_tokens": 6, "batch": 1},
        consistency={"threshold": 0.01},
    )
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    return path


def test_new_rows_no_change_killed_and_on_from_there(tmp_path):
    heard: list[str] = []
    with (
        running_prefect_server(tmp_path / "prefect") as prefect,
        loopback_hub(TOKEN) as hub,
        running_policy_server() as policy,
        webhook(heard) as hook,
    ):
        policy.patch = an_answer_of_its_own
        path = write_recipe(tmp_path, policy)
        environment = prefect.environment | {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(tmp_path / "hf"),
            "THE_HUBS_TOKEN": TOKEN,
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",  # seconds until a run is begun, for 10
        }
        subprocess.run([sys.executable, "-c", WEBHOOK, hook], env=environment, check=True, timeout=120)
        flags = ("--repo", "org/unit", "--token-env", "THE_HUBS_TOKEN", "--cron", "0 3 1 1 *")
        with served(prefect, path, environment, *flags, "--notify", "custom-webhook/team") as refreshes:
            # New rows: 6 pairs, each with one cut side of 2 completions, and 2 full responses.
            name, message = refreshes.state(refreshes.start())
            assert (name, message.split(" (")[0]) == ("Completed", "published v1.0.0"), message
            assert (len(policy.bodies), paid(refreshes)) == (12, {"completions": (12, 0), "rewards": (24, 0)})
            first = read_manifest(tmp_path / "out")
            assert first.counts.pairs == 6

            # No change.
            name, message = refreshes.state(refreshes.start())
            assert (name, message) == ("Completed", f"no change since {first.finished_at} (version {first.version})")
            assert (len(policy.bodies), paid(refreshes)) == (12, {"completions": (0, 0), "rewards": (0, 0)})
            assert len(hub.repos["org/unit"].commits) == 2  # the empty one and v1.0.0

            # Four rows more; killed when 3 of their 8 completions are paid.
            write_rows(tmp_path / "rows.jsonl", rows(10))
            policy.hold_after = 15
            running = refreshes.start()
            eventually(lambda: len(policy.bodies) == 16, seconds=240)
            assert refreshes.state(refreshes.start()) == ("Cancelled", "Deployment concurrency limit reached.")
            refreshes.kill_the_running_one()
            name, message = refreshes.state(running)
            assert (name, message.split(".")[0]) == ("Crashed", "Process exited with status code: -9")
            assert list(hub.repos["org/unit"].tags) == ["v1.0.0"]
            assert read_manifest(tmp_path / "out") == first
            eventually(lambda: heard)
            assert "refresh unit of deployment unit ended as Crashed" in heard[0]

            # On from there.
            policy.hold_after = None
            name, message = refreshes.state(refreshes.start())
            assert (name, message.split(" (")[0]) == ("Completed", "published v1.1.0"), message
            assert len(policy.bodies) == 16 + 5
            # Rewards of the new pairs' full responses (8) were paid by the killed run, too.
            assert paid(refreshes) == {"completions": (5, 15), "rewards": (8, 32)}
            assert read_manifest(tmp_path / "out").counts.pairs == 10
            assert list(hub.repos["org/unit"].tags) == ["v1.0.0", "v1.1.0"]
            funnel = json.loads(refreshes.artifact("unit-funnel"))
            assert (funnel[0]["what"], funnel[0]["pairs"]) == ("came in", 10)
            assert len(heard) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
