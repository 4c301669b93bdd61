"""Means are over entries, not over micro-batches; counts go on where a checkpoint stopped."""

import json
from pathlib import Path

import pytest
import torch

from trainers.steps.log import StepLog, displacement
from trainers.steps.tally import Tally
from trainers.steps.task import Read


def own(total: torch.Tensor) -> torch.Tensor:
    return total


def read(*losses: float, figure: float = 0.0) -> Read:
    return Read(torch.tensor(losses), [], {"figure": torch.tensor([figure])}, kept_tokens=5, read_tokens=7)


def test_a_mean_is_over_all_entries_however_they_came() -> None:
    tally = Tally()
    tally.add({"a": torch.tensor([1.0, 2.0, 3.0])})
    tally.add({"a": torch.tensor([6.0])})
    tally.add({"a": torch.tensor([1000.0])}, counts=False)
    assert tally.means(own) == {"a": 3.0}
    assert tally.means(own) == {}


def test_two_processes_make_one_mean_and_a_name_without_entries_is_left_out() -> None:
    tally = Tally()
    tally.add({"a": torch.tensor([1.0]), "none": torch.empty(0)})
    assert tally.means(lambda totals: totals + torch.tensor([[5.0, 1.0], [0.0, 0.0]])) == {"a": 3.0}


def test_counts_go_on_from_the_history_and_stand_ins_do_not_count() -> None:
    log = StepLog()
    log.add(read(1.0, 3.0), counts=True, examples=2)
    log.add(read(9.0), counts=False, examples=1)
    found = log.step(own, [{"loss": 1.0, "examples": 10, "kept_tokens": 50, "read_tokens": 70}, {"eval_loss": 1.0}])
    assert {name: found[name] for name in ("examples", "kept_tokens", "read_tokens")} == {
        "examples": 12, "kept_tokens": 55, "read_tokens": 77,
    }  # fmt: skip
    assert found["figure"] == 0
    assert "loss" not in found


def test_metrics_of_a_run_that_goes_on_begin_with_those_before_the_checkpoint(tmp_path: Path) -> None:
    path, told = tmp_path / "metrics.jsonl", []
    path.write_text("of steps behind the checkpoint\n")
    log = StepLog(path, told.append)
    history = [{"loss": 1.0, "step": 1}, {"eval_loss": 1.0, "step": 1}, {"loss": 0.5, "step": 2}]
    log.write(history)
    log.write([*history, {"train_runtime": 3.0, "step": 2}, {"loss": 0.4, "step": 3}])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [*history, {"loss": 0.4, "step": 3}]
    assert told == [history[-1], {"loss": 0.4, "step": 3}]


def test_displacement_is_left_to_a_reference_where_there_is_one() -> None:
    key = "mean_logps/chosen"
    assert displacement({key: -2.0}, []) == {"displacement": 0.0}
    assert displacement({key: -2.0}, [{"loss": 1.0, key: -3.0}, {key: -9.0}]) == {"displacement": 1.0}
    assert displacement({key: -2.0, "displacement": 0.1}, [{key: -3.0}]) == {}
    assert displacement({f"eval_{key}": -2.0}, [{key: -3.0}, {f"eval_{key}": -2.5}]) == {"eval_displacement": 0.5}
    assert displacement({"train_runtime": pytest.approx(1)}, []) == {}
