"""The command as a user runs it: real SmolLM2 on vLLM, a reward model of our trainer, Prefect, signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from flows.models.starter_reward import RESPONSES, training_pairs
from trainers.rewards.fit import RewardTrainConfig, train_reward_model
from transforms.chat.tokens import ChatTokens
from transforms.engines.starter_model import smollm2_folder
from transforms.engines.tokenizer import load_tokenizer

# A machine without AVX-512, beside other tests, was seen to take more than ten minutes for the first start here.
pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.timeout(2400)]
ROOT = Path(__file__).parents[3]
MINUTES = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("end-to-end")


@pytest.fixture(scope="module")
def recipe(folder):
    """Ten pairs of the starter data, and a reward model trained on ten other prompts."""
    table = pq.read_table(RESPONSES)
    rows = table.to_pylist()
    few = {s: sorted({r["prompt_id"] for r in rows if r["split"] == s})[:10] for s in ("train", "test")}
    kept = [r for r in rows if r["prompt_id"] in few[r["split"]]]
    pq.write_table(pa.Table.from_pylist(kept, schema=table.schema), folder / "responses.parquet")
    chat = ChatTokens(load_tokenizer("smollm2"))
    pairs = training_pairs("train", [(0.7, 1.5)], chat, path=folder / "responses.parquet")
    train_reward_model(pairs, policy=smollm2_folder(), out=folder / "reward", config=RewardTrainConfig())
    content = {
        "name": "end-to-end",
        "sources": [{"kind": "starter", "path": str(folder / "responses.parquet"), "prompts": "test"}],
        "policy": {"model": "smollm2", "engine": "vllm", "dtype": "float32"},
        "sampling": {"n": 2, "max_new_tokens": 24, "batch": 8},
        "reward": {"model": str(folder / "reward"), "batch": 8},
        "output": {"dir": str(folder / "run"), "test_size": 0.2},
        "ledger": str(folder / "ledger"),
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def environment(folder, **more):
    keep = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    return {**keep, "PREFECT_HOME": str(folder / "prefect"), **more}


def start(folder, recipe, *flags, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "flows.curate", "--config", str(recipe), *flags],
        cwd=ROOT,
        env=environment(folder, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def started(folder):
    """Batches of completions that an engine was asked for and has not answered."""
    return {p.name for p in (folder / "ledger" / "completions").rglob("started-*")}


def stop_while_sampling(folder, recipe, how):
    """Send a signal as soon as a batch is with the engine; exit code, stderr and processes left behind.

    A terminal's Ctrl-C and systemd's SIGTERM go to the whole process group; an out-of-memory kill to the process.
    """
    process = start(folder, recipe)
    try:
        return stop_once_sampling(process, folder, how)
    finally:  # also of a test that failed: what it leaves running slows the tests after it
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def stop_once_sampling(process, folder, how):
    deadline = time.monotonic() + 30 * MINUTES
    before = started(folder)
    while started(folder) <= before and process.poll() is None:
        assert time.monotonic() < deadline, "no batch was started"
        time.sleep(0.2)
        before &= started(folder)
    time.sleep(1)
    children = psutil.Process(process.pid).children(recursive=True)
    assert any("uvicorn" in p.cmdline() for p in children), "Prefect's temporary server is not among the children"
    if how == signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, how)
    _, errors = process.communicate(timeout=2 * MINUTES)
    _, alive = psutil.wait_procs(children, timeout=20)
    return process.returncode, errors, [" ".join(p.cmdline()) for p in alive]


@pytest.fixture(scope="module")
def interrupted(folder, recipe):
    return stop_while_sampling(folder, recipe, signal.SIGINT)


@pytest.fixture(scope="module")
def terminated(folder, recipe, interrupted):
    return stop_while_sampling(folder, recipe, signal.SIGTERM)


@pytest.fixture(scope="module")
def killed(folder, recipe, terminated):
    return stop_while_sampling(folder, recipe, signal.SIGKILL)


@pytest.fixture(scope="module")
def finished(folder, recipe, interrupted, terminated, killed):
    process = start(folder, recipe)
    output, errors = process.communicate(timeout=30 * MINUTES)
    assert process.returncode == 0, errors[-4000:]
    return output


def test_ctrl_c_ends_with_130_a_hint_and_no_process(interrupted, folder):
    code, errors, alive = interrupted
    assert (code, alive) == (130, [])
    assert "run the same command again to go on" in errors
    assert "Traceback" not in errors


def test_sigterm_ends_with_143_a_hint_and_no_process(terminated, folder):
    code, errors, alive = terminated
    assert (code, alive) == (143, [])
    assert "run the same command again to go on" in errors


def test_kill_9_leaves_no_process_either(killed):
    code, _, alive = killed
    assert (code, alive) == (-signal.SIGKILL, [])


@pytest.mark.timeout(900)
def test_the_run_after_them_finishes_and_prints_funnel_rate_cost_and_report(finished, folder):
    for word in ("10 pairs from", "kept", "consistency", "tokens", "seconds", "report.html"):
        assert word in finished
    manifest = json.loads((folder / "run" / "manifest.json").read_text())
    assert manifest["policy"]["engine"] == "vllm"
    assert manifest["completions"]["batches_paid_again"] >= 1
    counts = manifest["counts"]
    assert counts["pairs"] == 10 == counts["kept"] + sum(counts["dropped"].values()) + counts["quarantined"]


def test_the_output_is_the_contract(finished, folder):
    names = {p.name for p in (folder / "run").iterdir()}
    pages = {"quarantine.jsonl", "report.html", "figures", "README.md", "manifest.json"}
    assert names == {"dataset", "dropped", "responses", *pages}
    assert set(datasets.load_from_disk(str(folder / "run" / "dataset"))) == {"train", "test"}


def test_a_rerun_with_nothing_changed_says_so_and_needs_neither_engine_trainer_nor_prefect(finished, folder, recipe):
    process = start(folder, recipe, PYTHONPROFILEIMPORTTIME="1")
    output, imports = process.communicate(timeout=2 * MINUTES)
    assert process.returncode == 0
    assert "Nothing changed" in output
    modules = {line.rsplit("|", 1)[-1].strip() for line in imports.splitlines() if line.startswith("import time:")}
    assert "flows.curate.plan" in modules
    heavy = {"vllm", "prefect", "transformers", "torch", "trainers", "transforms.engines.transformers_rewards"}
    assert not heavy & modules


def all_rows(folder):
    parts = [*datasets.load_from_disk(str(folder / "run" / "dataset")).values()]
    parts.append(datasets.load_from_disk(str(folder / "run" / "dropped")))
    return [row for part in parts for row in part.to_list()]


def test_the_bare_tokenizer_agrees_on_every_keep_cut_flag_and_end_of_turn(finished, folder):
    """From the texts in the shards alone, without any of this project's code."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2_folder())
    eot = tokenizer.convert_tokens_to_ids("<|im_end|>")
    rows = all_rows(folder)
    assert len(rows) == 10
    for row in rows:
        prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
        sides = {
            side: tokenizer(row[f"{side}_full"], add_special_tokens=False)["input_ids"]
            + [eot] * row[f"{side}_finished"]
            for side in ("chosen", "rejected")
        }
        keep = min(map(len, sides.values()))
        assert row["prompt_ids"] == prompt
        for side, ids in sides.items():
            assert row[f"{side}_ids"] == ids
            assert row[f"{side}_keep"] == keep
            assert row[f"{side}_cut"] == (ids[:keep][-1] != eot)
            assert eot not in ids[: keep - 1]
            kept = tokenizer.decode(ids[:keep], skip_special_tokens=True)
            assert row[side] == (kept if keep < len(ids) else row[f"{side}_full"]).rstrip("\ufffd")


def test_help_names_every_section_and_imports_nothing_heavy(folder):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "flows.curate", "--help"],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(f"--{name}" in done.stdout for name in ("truncate.method", "policy.model", "sampling.n", "output.dir"))
    modules = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not {"vllm", "torch", "transformers", "prefect", "datasets"} & modules
