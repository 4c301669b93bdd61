"""The pieces of benchmarks/gpu.py that need no GPU: its model, its time, its order and what it concludes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from benchmarks.gpu import (
    BILLION,
    OURS,
    OURS_SMALL,
    TINY,
    TRL,
    TRL_FAST,
    Budget,
    Line,
    lines,
    model_config,
    parse,
    random_pairs,
    random_requests,
    sizes_of,
    summary,
    weights,
)

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("sizes", "count"), [(BILLION, 1_235_814_400), (TINY, 6_524_160)])
def test_the_model_has_as_many_weights_as_it_says(sizes, count):
    config = model_config(sizes)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    assert (weights(config), model.num_parameters()) == (count, count)


def test_pairs_and_requests_are_the_same_every_time_within_the_context_and_never_special():
    for sizes in (BILLION, TINY):
        pairs, (requests, sampling) = random_pairs(sizes, 6), random_requests(sizes)
        again = random_pairs(sizes, 6)
        assert [pair.prompt.tolist() for pair in pairs] == [pair.prompt.tolist() for pair in again]
        longest = sizes.prompt[1] + max(sizes.response[1], sizes.sampled)
        assert longest <= sizes.model["max_position_embeddings"]
        assert min(min(min(ids) for ids in (pair.prompt, *pair.responses)) for pair in pairs) >= 3
        assert len({request.seed for request in requests}) == sizes.requests
        assert sampling.stop_token_ids == (model_config(sizes).eos_token_id,)


def test_what_does_not_fit_by_what_was_seen_is_left_out_and_named(capsys):
    clock = [0.0]
    budget = Budget(100.0, now=lambda: clock[0])
    assert budget.allows("first", "slow", 60.0)
    budget.seen("slow", 70.0)
    budget.seen("slow", 50.0)
    clock[0] = 30.0
    assert budget.allows("second", "slow", 1.0)  # the longest of its kind: 70 s of 70 s
    clock[0] = 31.0
    assert not budget.allows("third", "slow", 1.0)
    assert budget.allows("another kind", "quick", 69.0)
    assert budget.skipped == ["third"]
    assert capsys.readouterr().out == "left out: third (about 70 s, 69 s left)\n"


def test_equal_losses_come_first_and_sides_take_turns():
    found = lines(2, ["dpo", "reward"])
    assert found[:4] == [
        Line(trainer, "float32", side, 0) for trainer in ("dpo", "reward") for side in (TRL_FAST, OURS)
    ]
    turns = [(line.side, line.round) for line in found if line.trainer == "dpo" and line.dtype == "bfloat16"]
    assert turns == [(TRL_FAST, 0), (OURS, 0), (TRL_FAST, 1), (OURS, 1), (TRL, 0), (OURS_SMALL, 0)]
    assert len(found) == len(set(found)) == 16


def line(side, *, dtype="bfloat16", turn=0, speed=1.0, peak=None, losses=(0.5, 0.25)):
    figures = {"tokens_per_second": speed, "peak_gib": peak, "losses": list(losses)}
    return {"part": "train", "trainer": "dpo", "dtype": dtype, "side": side, "round": turn, **figures}


def test_the_summary_compares_neighbours_and_says_where_losses_differ():
    results = [
        line(TRL_FAST, dtype="float32"),
        line(OURS, dtype="float32", losses=(0.5, 0.2515)),
        line(TRL_FAST, speed=10.0, peak=8.0),
        line(OURS, speed=30.0, peak=4.0),
        line(TRL_FAST, turn=1, speed=20.0, peak=8.0),
        line(OURS, turn=1, speed=50.0, peak=2.0),
        {"part": "sample", "ratio": 0.97, "equal": 7, "of": 8},
        {"part": "sample", "ratio": 1.01, "equal": 8, "of": 8},
        {"part": "skipped", "what": ["something"]},
    ]
    assert summary(results) == [
        "dpo: losses in fp32 NOT EQUAL, 1.5e-03 apart at most (tolerance 0.001)",
        "dpo, bf16, ours / TRL for speed: tokens/s 3.00, 2.50, peak memory 0.38",
        "sampling, ours / bare: tokens/s 0.97, 1.01; 15 of 16 answers equal",
    ]
    assert summary(results, tolerance=2e-3)[0].startswith("dpo: losses in fp32 equal, 1.5e-03")
    assert summary([line(OURS)]) == []  # without its neighbour


def test_flags_change_the_sizes_and_impossible_ones_are_refused(capsys):
    assert sizes_of(parse([])) == BILLION
    changed = sizes_of(parse(["--tiny", "--batch", "2", "--requests", "3"]))
    assert changed == TINY._replace(batch=2, requests=3)
    with pytest.raises(SystemExit):
        parse(["--minutes", "0"])
    assert "--minutes 0 and --rounds 2, expected more than 0" in capsys.readouterr().err


def test_without_a_gpu_it_says_what_to_do():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "gpu.py"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "torch sees no GPU here: --tiny measures the same on a CPU, with a model of six million weights"
    )
