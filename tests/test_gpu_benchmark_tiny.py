"""benchmarks/gpu.py from end to end on a CPU, as small as it gets: every part, equal losses, equal answers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[1]


def test_all_parts_measure_and_agree(tmp_path):
    out = tmp_path / "gpu.json"
    shrunk = ["--batch", "2", "--steps", "1", "--requests", "6", "--sampled", "8", "--rounds", "1"]
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--tiny", *shrunk, "--minutes", "14"]
    command += ["--sampling-dtype", "float32", "--trainers", "dpo", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=880)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads(out.read_text())
    assert record["weights"] == 6_524_160
    trained = [one for one in record["results"] if one["part"] == "train"]
    assert [(one["dtype"], one["side"]) for one in trained] == [
        ("float32", "TRL for speed"),
        ("float32", "ours"),
        ("bfloat16", "TRL for speed"),
        ("bfloat16", "ours"),
        ("bfloat16", "TRL as it comes"),
        ("bfloat16", "ours, checkpointed"),
    ]
    theirs, ours = (one["losses"] for one in trained[:2])
    assert len(ours) == 2
    assert ours == pytest.approx(theirs, abs=1e-5)
    (attention,) = [one for one in record["results"] if one["part"] == "attention"]
    assert list(attention["milliseconds"]) == ["by response"]
    assert "no such kernel on this cpu" in done.stdout
    (sampled,) = [one for one in record["results"] if one["part"] == "sample"]
    assert (sampled["equal"], sampled["of"]) == (6, 6)
    assert "dpo: losses in fp32 equal" in done.stdout
    assert "nothing was left out" in done.stdout
