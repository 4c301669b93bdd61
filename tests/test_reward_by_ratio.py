"""The benchmark's pieces: what is read once, where its features lie, what a seed draws and what the table says."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from flows_support import model_folders

from benchmarks.reward_by_ratio import KEPT, WHOLE, Pairs, evaluate, fit, index_prefixes, resample, table
from trainers.reading.examples import Example

ROOT = Path(__file__).parents[1]


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def test_every_response_is_read_once_and_each_prefix_has_its_place() -> None:
    # The second pair shares its chosen response with the first one.
    whole = [Example("a", ids(1), (ids(2, 3, 4, 5), ids(6, 7))), Example("b", ids(1), (ids(2, 3, 4, 5), ids(8)))]
    half = [Example("a", ids(1), (ids(2, 3), ids(6))), Example("b", ids(1), (ids(2), ids(8)))]
    found = index_prefixes(whole, {WHOLE: whole, "half": half})
    assert [sequence.tolist() for sequence in found.sequences] == [[1, 2, 3, 4, 5], [1, 6, 7], [1, 8]]
    assert found.lengths == [[5, 3, 2], [3, 2], [2]]
    assert found.rows[WHOLE].tolist() == [[0, 0], [3, 5]]
    assert found.rows["half"].tolist() == [[1, 2], [4, 5]]


def test_a_seed_draws_whole_prompts_as_many_as_there_are() -> None:
    prompts = ["a", "a", "b", "c", "c", "c"]
    rows = resample(prompts, seed=0)
    drawn = [prompts[row] for row in rows]
    assert sum(drawn.count(name) / prompts.count(name) for name in "abc") == 3
    assert resample(prompts, seed=0).tolist() == rows.tolist()
    assert any(resample(prompts, seed=seed).tolist() != rows.tolist() for seed in range(1, 5))


def test_a_head_learns_from_the_prefixes_that_it_is_given() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(240, 6, generator=generator)
    features[:60, 2] += 4  # chosen ones, whole; their prefixes, 120 … 179, say nothing
    prompts = [str(pair % 20) for pair in range(60)]
    rows = {"whole": np.array([range(60), range(60, 120)]), "prefix": np.array([range(120, 180), range(180, 240)])}
    share = {}
    for name, place in rows.items():
        head = fit(features, place, prompts, seed=0)
        share[name] = ((features[:60] - features[60:120]) @ head > 0).float().mean().item()
    assert share["whole"] > 0.95 > share["prefix"]


def test_the_table_has_a_row_a_group_and_differences_are_paired() -> None:
    pairs = Pairs(["p", "p", "q", "r"], ["chat", "chat", "code", "code"], {}, {})
    correct = {WHOLE: np.array([[1, 1, 0, 1.0], [1, 0, 0, 1.0]]), "0.5": np.array([[1, 1, 1, 1.0], [1, 0, 1, 1.0]])}
    found = evaluate(correct, pairs)
    assert found["pairs"] == {"chat": 2, "code": 2, "all": 4}
    assert found[WHOLE]["accuracy"]["all"]["value"] == pytest.approx(5 / 8)
    assert found[WHOLE]["seeds"] == [0.75, 0.5]
    assert found["0.5"]["against_whole"]["value"] == pytest.approx(1 / 4)
    lines = table(found, {WHOLE: 1.0, "0.5": 0.5}).splitlines()
    assert lines[0].split() == ["trained", "on", "1", "0.5"]
    assert lines[2].split()[-2:] == ["75.0", "75.0"]
    assert lines[3].split()[-2:] == ["50.0", "100.0"]
    assert "±17.7" in lines[6]
    assert "+25.0" in lines[7]


@pytest.mark.slow
def test_the_benchmark_runs_on_a_tiny_model(tmp_path: Path) -> None:
    policy, _ = model_folders(tmp_path)
    words = ["the", "cat", "sat", "on", "mat", "and", "dog", "ran", "one", "two", "three"]
    draw = np.random.default_rng(0)
    rows = [
        {
            "instruction": f"question {number}",
            "category": ("chat", "code")[number % 2],
            "model": str(model),
            "response": " ".join(draw.choice(words, size=draw.integers(2, 9))),
            "win_prob": float(draw.random()),
        }
        for number in range(18)
        for model in range(4)
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "data.parquet")
    command = [sys.executable, "benchmarks/reward_by_ratio.py", "--data", str(tmp_path / "data.parquet")]
    command += ["--policy", str(policy), "--out", str(tmp_path / "out"), "--prompts", "12", "--per-prompt", "3"]
    done = subprocess.run([*command, "--seeds", "3"], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "18 pairs)" in done.stdout
    found = json.loads((tmp_path / "out" / "reward_by_ratio.json").read_text())
    assert set(KEPT) < set(found)
    assert 0 < found["share"]["0.25"] < found["share"]["0.5"] < found["share"][WHOLE] == 1
    assert (tmp_path / "out" / "reward_by_ratio.png").is_file()
