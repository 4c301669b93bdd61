"""Two processes end in the weights of one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]

SCRIPT = """
import sys
from pathlib import Path
import torch
from training_support import small_policy, some_examples, trainer

folder = Path(sys.argv[1])
run = trainer(
    folder, small_policy(), some_examples(13), pairs_per_step=5, batch_tokens=40, save_steps=2,
    test=some_examples(3, seed=1),
)
run.train()
if run.is_world_process_zero():
    torch.save(run.model.state_dict(), folder / "weights.pt")
"""


def start(folder: Path, processes: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "tests" / "trainers")]),
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
        "ACCELERATE_USE_CPU": "true",
    }
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)] if processes > 1 else [{}]
    if processes == 1:
        shared.pop("WORLD_SIZE")
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    started = [subprocess.Popen(command, env=shared | rank, stderr=subprocess.PIPE, text=True) for rank in ranks]
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-3000:]


def test_two_processes_give_the_weights_metrics_and_checkpoint_of_one(tmp_path: Path) -> None:
    found = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        start(folder, processes)
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        found.append((torch.load(folder / "weights.pt", weights_only=True), lines))
    (one, lines), (two, other_lines) = found
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-6
    for line, other in zip(lines, other_lines, strict=True):
        same = {name: value for name, value in line.items() if not name.endswith("_second")}
        assert same == pytest.approx({name: other[name] for name in same}, rel=1e-5, abs=1e-7)
    assert sorted(p.name for p in (tmp_path / "2" / "checkpoint-2").iterdir() if "rng" in p.name) == [
        "rng_state_0.pth",
        "rng_state_1.pth",
    ]
