"""A step's result is that of all its examples, however it was cut, laid out or interrupted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_support import differ, lines, reference_of, small_policy, some_examples, trainer, weights

from trainers.batches.tensors import PACKED, PADDED
from trainers.objectives import objective
from trainers.policies.preferences import Preferences
from trainers.steps import value_head
from trainers.steps.settings import Adapter
from trainers.steps.trained_model import trainable
from transforms.errors import ConfigError, ModelError, OutputError

pytestmark = pytest.mark.slow
PAIRS = some_examples(16)


def trained(folder: Path, model: Any, *arguments: Any, **options: Any) -> dict[str, torch.Tensor]:
    trainer(folder, model, *arguments, **options).train()
    return weights(model)


def test_eight_micro_batches_of_one_are_one_of_eight_and_packed_is_padded(tmp_path: Path) -> None:
    runs = {
        "whole": {"batch_tokens": 10_000},
        "singly": {"batch_tokens": 1},
        "packed": {"batch_tokens": 30, "layout": PACKED},
    }
    found = {name: trained(tmp_path / name, small_policy(), PAIRS, **options) for name, options in runs.items()}
    assert differ(found["whole"], weights(small_policy())) > 1e-3
    assert differ(found["whole"], found["singly"]) < 1e-6  # norms are computed in fp32
    assert differ(found["whole"], found["packed"]) < 1e-6
    losses = [[line["loss"] for line in lines(tmp_path / name)] for name in runs]
    assert losses[1:] == [pytest.approx(losses[0])] * 2


def test_the_steps_loss_is_the_mean_over_its_examples_and_every_kept_token_is_counted(tmp_path: Path) -> None:
    model = small_policy()
    task = Preferences(PAIRS, objective("simpo"), layout=PADDED, batch_tokens=10_000)
    run = trainer(tmp_path, model, PAIRS, batch_tokens=40)
    first = run.train_dataset[0]["step"].rows
    with torch.no_grad():
        by_hand = task.read(lambda work: work(model), first, torch.device("cpu")).losses
    run.train()
    found = lines(tmp_path)
    assert found[0]["loss"] == pytest.approx(float(by_hand.mean()), rel=1e-6)
    assert [line["examples"] for line in found] == [8, 16]
    assert found[-1]["kept_tokens"] == sum(example.kept_tokens for example in PAIRS)


def test_a_resumed_run_ends_in_the_weights_of_a_straight_one(tmp_path: Path) -> None:
    straight = trained(tmp_path / "straight", small_policy(torch.float32), PAIRS, epochs=2, save_steps=2)
    run = trainer(tmp_path / "other", small_policy(torch.float32), PAIRS, epochs=2)
    run.train(tmp_path / "straight" / "checkpoint-2")
    assert differ(straight, weights(run.model)) == 0
    one, other = lines(tmp_path / "straight"), lines(tmp_path / "other")
    rates = {"pairs_per_second", "tokens_per_second"}
    assert [{k: v for k, v in line.items() if k not in rates} for line in one] == [
        {k: v for k, v in line.items() if k not in rates} for line in other
    ]


def test_a_checkpoint_of_other_settings_or_data_is_refused_and_says_which(tmp_path: Path) -> None:
    trained(tmp_path, small_policy(), PAIRS, save_steps=2)
    changes: list[tuple[str, dict[str, Any]]] = [
        (r"objective\.settings\.beta was 2\.0, is 10\.0", {"settings": {"beta": 10.0}}),
        (r"learning_rate was 0\.01, is 0\.02", {"learning_rate": 0.02}),
        (r"order\.seed was 0, is 1", {"seed": 1}),
    ]
    for message, change in changes:
        with pytest.raises(ConfigError, match=rf"checkpoint of other settings: {message}"):
            trainer(tmp_path, small_policy(), PAIRS, **change).train(tmp_path / "checkpoint-2")
    with pytest.raises(ConfigError, match=r"data\.sha256 was"):
        trainer(tmp_path, small_policy(), some_examples(16, seed=1)).train(tmp_path / "checkpoint-2")


def test_a_folder_that_no_run_wrote_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"checkpoint-9 is no checkpoint of this project"):
        trainer(tmp_path, small_policy(), PAIRS).train(tmp_path / "checkpoint-9")


def test_a_disk_that_fills_up_while_saving_leaves_the_earlier_checkpoint_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = torch.save, []

    def full(content: Any, path: Any) -> None:
        calls.append(path)
        if len(calls) > 3:  # optimizer, schedule and random state of the first checkpoint
            raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
        save(content, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match=r"cannot save checkpoint-2 to .*file write failed.*MiB free"):
        trainer(tmp_path, small_policy(), PAIRS, save_steps=1).train()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "metrics.jsonl"]
    run = trainer(tmp_path, small_policy(), PAIRS)
    run.train(tmp_path / "checkpoint-1")
    assert run.state.global_step == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_before_it_is_applied_and_names_step_and_pair(
    tmp_path: Path, value: float
) -> None:
    model = small_policy()
    references = reference_of(model, PAIRS)
    references.responses[5] = (value, 0.0)
    run = trainer(tmp_path, model, PAIRS, "dpo", references=references, batch_tokens=40)
    bad = next(number for number in range(2) if 5 in run.train_dataset[number]["step"].rows)
    start = weights(model)
    with pytest.raises(ModelError, match=rf"step {bad + 1}: the loss is not finite for 1 pairs: pair-5\."):
        run.train()
    assert run.state.global_step == bad
    if bad == 0:
        assert differ(start, weights(model)) == 0


def test_a_gradient_that_is_no_number_is_not_applied(tmp_path: Path) -> None:
    model = small_policy()
    start = weights(model)
    model.model.norm.weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(ModelError, match=r"step 1: the gradient's norm is nan, in a step of 8 examples: pair-"):
        trainer(tmp_path, model, PAIRS).train()
    assert differ(start, weights(model)) == 0


def test_without_a_reference_displacement_is_against_the_first_measurement(tmp_path: Path) -> None:
    trainer(tmp_path, small_policy(), PAIRS, test=PAIRS).train()
    measured = [line for line in lines(tmp_path) if "eval_loss" in line]
    moved = measured[-1]["eval_mean_logps/chosen"] - measured[0]["eval_mean_logps/chosen"]
    assert measured[0]["eval_displacement"] == 0
    assert measured[-1]["eval_displacement"] == pytest.approx(moved)
    assert measured[-1]["eval_loss"] < measured[0]["eval_loss"]


def test_dpo_starts_at_log_two_with_nothing_displaced_and_then_prefers_what_was_chosen(tmp_path: Path) -> None:
    model = small_policy()
    references = reference_of(model, PAIRS)
    shared = {"references": references, "test": PAIRS, "test_references": references}
    trainer(tmp_path, model, PAIRS, "dpo", settings={"beta": 0.5}, epochs=4, **shared).train()
    first, *_, last = (line for line in lines(tmp_path) if "eval_loss" in line)
    assert first["eval_loss"] == pytest.approx(np.log(2), abs=1e-6)
    assert first["eval_displacement"] == pytest.approx(0, abs=1e-6)
    assert first["eval_kl"] == pytest.approx(0, abs=1e-6)
    assert last["eval_rewards/accuracies"] == 1
    assert last["eval_rewards/margins"] == pytest.approx(
        last["eval_rewards/chosen"] - last["eval_rewards/rejected"], abs=1e-9
    )


def test_rao_learns_from_any_number_of_responses_and_weighs_prompts_alike(tmp_path: Path) -> None:
    many = [*some_examples(4, responses=3, rewards=True), *some_examples(4, responses=1, rewards=True, seed=1)]
    model = small_policy()
    settings = {"beta": 0.1, "log_z0": 0.0}
    references = reference_of(model, many)
    trainer(tmp_path, model, many, "rao", settings=settings, references=references).train()
    # Δ and the ratio of the prompts are zero at the start, so what is left of the loss is the squared reward.
    by_hand = np.mean([np.mean(np.square(example.rewards)) for example in many])
    assert lines(tmp_path)[0]["loss"] == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize(("log_z0", "rises"), [(None, True), (0.0, True), (50.0, False)])
def test_rao_raises_chosen_responses_with_its_default_and_lowers_them_with_the_other_reading_of_its_50(
    tmp_path: Path, log_z0: float | None, rises: bool
) -> None:
    # Rewards of 2 and 0.5, as docs/measured.md has them: above β log 50 = 0.39, and below β 50 = 5.
    pairs = [replace(example, rewards=(2.0, 0.5)) for example in some_examples(16)]
    model = small_policy()
    references = reference_of(model, pairs)
    settings = {"beta": 0.1} | ({} if log_z0 is None else {"log_z0": log_z0})
    known = {"references": references, "test": pairs, "test_references": references}
    trainer(tmp_path, model, pairs, "rao", settings=settings, epochs=3, **known).train()
    first, *_, last = (line for line in lines(tmp_path) if "eval_loss" in line)
    assert first["eval_displacement"] == pytest.approx(0, abs=1e-9)
    assert (last["eval_displacement"] > 0.01) == rises
    assert (last["eval_displacement"] < -0.01) != rises


def test_dro_trains_its_value_head_beside_the_policy_and_goes_on_with_it(tmp_path: Path) -> None:
    rewarded = some_examples(16, rewards=True)
    mean = float(np.mean([example.rewards for example in rewarded]))

    def run(folder: Path) -> Any:
        model = small_policy(torch.float32)
        references = reference_of(model, rewarded)
        value_head.attach(model, mean)
        return trainer(folder, model, rewarded, "dro", references=references, save_steps=1)

    straight = run(tmp_path / "straight")
    straight.train()
    first = [reward for row in straight.train_dataset[0]["step"].rows for reward in rewarded[row].rewards or ()]
    by_hand = np.mean((np.array(first) - mean) ** 2 / 2)  # Δ is zero, V the mean reward
    assert lines(tmp_path / "straight")[0]["loss"] == pytest.approx(by_hand, rel=1e-4)
    folder = tmp_path / "straight" / "checkpoint-1"
    assert not any("value" in name for name in load_file(folder / "model.safetensors"))
    assert float(load_file(folder / value_head.FILE)["read.weight"].abs().max()) > 0
    resumed = run(tmp_path / "resumed")
    resumed.train(folder)
    assert differ(weights(straight.model), weights(resumed.model)) == 0


def test_lora_leaves_the_model_below_it_as_it_was_and_resumes_too(tmp_path: Path) -> None:
    base = weights(small_policy(torch.float32))

    def run(folder: Path) -> Any:
        model = trainable(small_policy(torch.float32), adapter=Adapter(rank=2), seed=0)
        return trainer(folder, model, PAIRS, dtype="bfloat16", save_steps=1)

    straight = run(tmp_path / "straight")
    straight.train()
    resumed = run(tmp_path / "resumed")
    resumed.train(tmp_path / "straight" / "checkpoint-1")
    assert differ(weights(straight.model), weights(resumed.model)) == 0
    adapted = {name: value for name, value in straight.model.named_parameters() if "lora" in name}
    assert adapted
    assert all(parameter.dtype == torch.float32 for parameter in adapted.values())
    below = {
        name.removeprefix("base_model.model.").replace("base_layer.", ""): value
        for name, value in weights(straight.model).items()
        if "lora" not in name
    }
    assert differ(base, below) == 0


def test_references_of_other_examples_are_refused() -> None:
    references = reference_of(small_policy(), PAIRS[:3])
    with pytest.raises(ConfigError, match=r"of 3 other examples than the 16 to train on"):
        Preferences(PAIRS, objective("dpo"), layout=PADDED, batch_tokens=1, references=references)
    with pytest.raises(ConfigError, match=r"objective dpo reads a reference's log-probs, but there are none"):
        Preferences(PAIRS, objective("dpo"), layout=PADDED, batch_tokens=1)
