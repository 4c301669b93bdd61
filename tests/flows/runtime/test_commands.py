"""Every command answers --help at once, and says what is wrong with its arguments in one message."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
HEAVY = {"vllm", "torch", "transformers", "prefect", "datasets", "scipy"}


def command(name, *flags, importtime=False):
    options = ["-X", "importtime"] if importtime else []
    return subprocess.run(
        [sys.executable, *options, "-m", f"flows.{name}", *flags],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


COMMANDS = [
    "audit",
    "compare",
    "curate",
    "data_cards",
    "decode",
    "deploy",
    "diff",
    "evaluate",
    "explain",
    "publish",
    "reference",
    "refresh",
    "train",
]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_heavy(name):
    done = command(name, "--help", importtime=True)
    assert done.returncode == 0
    assert "usage: python -m flows." in done.stdout
    modules = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not HEAVY & modules


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
            "--temperature: Input should be greater than 0",
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
