"""`python -m flows.publish`: its flags, its dry run, and the token that it names and never shows."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from published_support import REPO, TOKEN, finished_run
from rich.console import Console

from flows.hub.token import hub_token, required_token
from flows.publish.__main__ import parse, print_publication
from flows.publish.config import PublishConfig
from flows.publish.release import Publication
from transforms.errors import ConfigError

ROOT = Path(__file__).parents[3]


def test_flags_become_the_configuration():
    config, dry = parse(["runs/x", "--repo", "org/x", "--tag", "v1.2.0", "--token-env", "MINE", "--public"])
    assert config == PublishConfig(run=Path("runs/x"), repo="org/x", tag="v1.2.0", token_env="MINE", public=True)
    assert not dry
    assert parse(["runs/x", "--repo", "org/x", "--dry-run"]) == (PublishConfig(run=Path("runs/x"), repo="org/x"), True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--repo", "just-a-name"], r"--repo: String should match"),
        (["--repo", "o/n", "--tag", "1.2.0"], r"tag 1\.2\.0 is neither a semantic version like v1\.2\.0 nor `content`"),
        (["--repo", "o/n", "--tag", "v1.2.0", "--bump", "minor"], "tag names the version and bump counts it"),
        (["--repo", "o/n", "--token-env", "A", "--token-block", "b"], "both name the token"),
    ],
)
def test_flags_that_do_not_fit_are_named(flags, message):
    with pytest.raises(ConfigError, match=message):
        parse(["runs/x", *flags])


def test_a_token_is_taken_from_where_it_is_named_and_never_shown(monkeypatch):
    monkeypatch.setenv("MINE", f" {TOKEN}\n")
    assert hub_token(env="MINE") == TOKEN
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert hub_token() == TOKEN
    monkeypatch.setenv("MINE", "hf_two\nlines")
    with pytest.raises(ConfigError, match=r"^the environment variable MINE holds no token$"):
        hub_token(env="MINE")
    monkeypatch.delenv("MINE")
    with pytest.raises(ConfigError, match=r"^the environment variable MINE is empty or not set$"):
        hub_token(env="MINE")


def test_publishing_without_any_token_says_where_one_may_come_from(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"set HF_TOKEN, run `hf auth login`, or name --token-env or --token-block"):
        required_token()


def test_a_token_is_no_key_of_the_configuration():
    assert not {name for name in PublishConfig.model_fields if "token" in name} - {"token_env", "token_block"}


@pytest.mark.parametrize(
    ("unchanged", "said"),
    [
        (False, f"{REPO} v1.1.0: 9 files, 1.2 MB, read back and compared"),
        (True, f"Nothing to publish: this is v1.1.0 of {REPO} already (the newest version is v1.2.0)."),
    ],
)
def test_the_result_says_what_is_there_and_how_to_load_it(unchanged, said):
    made = Publication(REPO, "https://x/y", "v1.1.0", "c" * 40, "0" * 16, 9, 1_200_000, [], unchanged, "v1.2.0")
    console = Console(file=io.StringIO(), width=200)
    print_publication(console, made)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == said
    assert lines[-1] == f'load         datasets.load_dataset("{REPO}", revision="v1.1.0")'


@pytest.mark.slow
def test_a_dry_run_lists_files_and_sends_nothing(tmp_path):
    from loopback_hub import loopback_hub
    from published_support import environment

    run = finished_run(tmp_path / "run")
    command = [sys.executable, "-m", "flows.publish", str(run), "--repo", REPO, "--dry-run"]
    with loopback_hub(TOKEN) as hub:
        done = subprocess.run(
            command, cwd=ROOT, env=environment(tmp_path, hub), capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, hub.requests) == (0, [f"GET /api/datasets/{REPO}/revision/main"]), done.stderr
    assert "data/train-00000-of-00002.parquet" in done.stdout
    assert f"repository   {REPO} would be made, private" in done.stdout
    assert "tag          v1.0.0" in done.stdout
    gone = subprocess.run(
        command, cwd=ROOT, env=environment(tmp_path, hub), capture_output=True, text=True, timeout=120
    )
    assert gone.returncode == 0, gone.stderr
    assert "tag          not known: org/pairs: cannot look at the repository: ConnectError" in gone.stdout
    assert gone.stdout.endswith("Dry run: nothing was sent.\n")
