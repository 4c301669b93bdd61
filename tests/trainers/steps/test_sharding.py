"""What a model has to say for its weights to be spread, and when they are not."""

import logging

import pytest
import torch
from training_support import small_policy

from trainers.steps.settings import Adapter, Memory
from trainers.steps.sharded_trainer import ShardedStepTrainer, trainer_for
from trainers.steps.sharding import own_optimizer_state, shard
from trainers.steps.trained_model import trainable
from trainers.steps.trainer import StepTrainer
from transforms.errors import ModelError

CPU = torch.device("cpu")


def test_a_model_that_names_no_blocks_is_not_spread() -> None:
    with pytest.raises(ModelError, match=r"Linear does not say what its blocks are \(_no_split_modules: none\)"):
        shard(torch.nn.Linear(2, 2), CPU)


@pytest.mark.parametrize("adapter", [None, Adapter(rank=2)])
def test_a_model_that_names_blocks_it_has_none_of_is_not_spread(
    monkeypatch: pytest.MonkeyPatch, adapter: Adapter | None
) -> None:
    model = trainable(small_policy(), adapter=adapter, seed=0)
    monkeypatch.setattr(model if adapter is None else model.get_base_model(), "_no_split_modules", {"Other"})
    with pytest.raises(ModelError, match=r"does not say what its blocks are \(_no_split_modules: \['Other'\]\)"):
        shard(model, CPU)


def test_one_process_holds_all_weights_whatever_the_recipe_says(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with caplog.at_level(logging.INFO):
        assert trainer_for(Memory(shard="fsdp")) is StepTrainer
    assert "memory.shard: fsdp does nothing in one process" in caplog.text
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert trainer_for(Memory(shard="fsdp")) is ShardedStepTrainer
    assert trainer_for(Memory()) is StepTrainer


def test_moments_of_weights_that_are_whole_stay_whole() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3))
    optimizer = torch.optim.AdamW([weight])
    weight.grad = torch.ones(2, 3)
    optimizer.step()
    state = optimizer.state_dict()
    found = own_optimizer_state(state, optimizer)
    assert found["param_groups"] == state["param_groups"]
    assert found["state"][0]["exp_avg"] is state["state"][0]["exp_avg"]
