"""Reward models in steps: what the step trainer promises of policies holds for them, and what is saved is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rewards_support import reward_trainer, small_classifier
from safetensors.torch import load_file
from training_support import differ, lines, some_examples, weights
from transformers import AutoModelForSequenceClassification

from trainers.batches.tensors import PACKED
from trainers.reading.examples import Example, read_examples
from trainers.rewards.checkpoint import new_head, open_policy, save_trained
from trainers.steps.settings import Adapter, BradleyTerry
from trainers.steps.trained_model import trainable
from transforms.errors import ConfigError

pytestmark = pytest.mark.slow
PAIRS = some_examples(16)


def test_packed_is_padded_and_singly_is_together(tmp_path: Path) -> None:
    found = []
    for name, options in {"whole": {}, "singly": {"batch_tokens": 1}, "packed": {"layout": PACKED}}.items():
        run = reward_trainer(tmp_path / name, small_classifier(), PAIRS, **options)
        run.train()
        found.append(weights(run.model))
    assert differ(found[0], weights(small_classifier())) > 1e-3
    assert differ(found[0], found[1]) < 1e-6
    assert differ(found[0], found[2]) < 1e-6
    assert lines(tmp_path / "whole")[-1]["kept_tokens"] == sum(pair.kept_tokens for pair in PAIRS)


def test_training_orders_its_pairs_and_says_so_in_trls_names(tmp_path: Path) -> None:
    reward_trainer(tmp_path, small_classifier(), PAIRS, test=PAIRS, epochs=6).train()
    first, *_, last = (line for line in lines(tmp_path) if "eval_loss" in line)
    assert last["eval_accuracy"] == 1 > first["eval_accuracy"]
    assert last["eval_margin"] > first["eval_margin"]
    assert "eval_mean_reward" in last


def test_centring_keeps_rewards_near_zero(tmp_path: Path) -> None:
    squares = []
    for centring in (0.0, 0.5):
        folder = tmp_path / str(centring)
        terms = BradleyTerry(centring=centring)
        reward_trainer(folder, small_classifier(), PAIRS, test=PAIRS, terms=terms, epochs=6).train()
        squares.append(lines(folder)[-1]["eval_mean_reward"] ** 2)
    assert squares[1] < squares[0]


def test_a_resumed_adapter_ends_in_the_weights_of_a_straight_one_head_included(tmp_path: Path) -> None:
    def run(folder: Path) -> Any:
        model = trainable(small_classifier(torch.float32), adapter=Adapter(rank=2), seed=0, task="SEQ_CLS")
        return reward_trainer(folder, model, PAIRS, save_steps=1)

    straight = run(tmp_path / "straight")
    start = weights(straight.model)
    straight.train()
    resumed = run(tmp_path / "resumed")
    resumed.train(tmp_path / "straight" / "checkpoint-1")
    assert differ(weights(straight.model), weights(resumed.model)) == 0
    moved = {name for name, value in weights(straight.model).items() if not torch.equal(value, start[name])}
    assert any("score.modules_to_save" in name for name in moved)
    assert all("lora" in name or "score.modules_to_save" in name for name in moved)


def test_a_checkpoint_of_another_margin_is_refused(tmp_path: Path) -> None:
    reward_trainer(tmp_path, small_classifier(), PAIRS, save_steps=1).train()
    other = reward_trainer(tmp_path, small_classifier(), PAIRS, terms=BradleyTerry(margin=1.0))
    with pytest.raises(ConfigError, match=r"objective\.settings\.margin was None, is 1\.0"):
        other.train(tmp_path / "checkpoint-1")


@pytest.mark.parametrize("adapter", [None, Adapter(rank=2)])
def test_a_trained_reward_model_loads_in_transformers_and_scores_as_it_did(
    tmp_path: Path, policy: Path, make_pairs: Any, adapter: Adapter | None
) -> None:
    pairs = read_examples(make_pairs(16), where="t")
    model = open_policy(policy, dtype=torch.float32, device=torch.device("cpu")).model
    new_head(model, seed=0)
    run = reward_trainer(
        tmp_path / "run", trainable(model, adapter=adapter, seed=0, task="SEQ_CLS"), pairs, test=pairs, epochs=2
    )
    run.train()
    last_ids = {int(ids[-1]) for pair in pairs for ids in pair.responses}
    save_trained(run.model, policy, dtype="float32", last_ids=last_ids, record={}, out=tmp_path / "reward")
    loaded, info = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "reward", dtype=torch.float32, output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    margins = [answer(loaded, pair, 0) - answer(loaded, pair, 1) for pair in pairs]
    assert sum(margins) / len(margins) == pytest.approx(lines(tmp_path / "run")[-1]["eval_margin"], abs=1e-4)
    names = load_file(tmp_path / "reward" / "model.safetensors")
    assert names["score.weight"].dtype == torch.float32
    assert not [name for name in names if "lora" in name or "modules_to_save" in name]


def answer(model: Any, pair: Example, side: int) -> float:
    ids = [*pair.prompt.tolist(), *pair.responses[side].tolist()]
    with torch.inference_mode():
        return float(model(torch.tensor([ids])).logits)


def test_weights_are_saved_in_the_dtype_asked_for_and_the_head_in_fp32(tmp_path: Path, policy: Path) -> None:
    model = open_policy(policy, dtype=torch.float32, device=torch.device("cpu")).model
    new_head(model, seed=3)
    head = model.score.weight.clone()
    save_trained(model, policy, dtype="bfloat16", last_ids=[], record={"objective": "x"}, out=tmp_path / "reward")
    saved = load_file(tmp_path / "reward" / "model.safetensors")
    assert torch.equal(saved.pop("score.weight"), head)
    assert {value.dtype for value in saved.values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "reward" / "training.json").read_text()) == {"objective": "x"}


def test_a_new_head_is_that_of_its_seed() -> None:
    one, same, other = (small_classifier(torch.float32) for _ in range(3))
    new_head(other, seed=1)
    assert torch.equal(one.score.weight, same.score.weight)
    assert not torch.equal(one.score.weight, other.score.weight)
    assert one.score.weight.std().item() == pytest.approx(33**-0.5, rel=0.3)
