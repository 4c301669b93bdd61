"""Supervised fine-tuning: a mean over completion tokens, however a step is cut, and the prompt is context alone."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models_support import VOCAB, examples, llama
from training_support import differ, lines, optimised, small_policy, some_examples, step_trainer, trainer, weights

from trainers.batches.logprobs import LogProbs
from trainers.batches.tensors import PACKED, PADDED, Layout
from trainers.policies import completions as completions_module
from trainers.policies.completions import Completions, completions_identity
from trainers.reading.examples import Example
from trainers.steps.log import perplexity
from trainers.steps.settings import Adapter, Memory
from trainers.steps.shares import share
from trainers.steps.task import Read
from trainers.steps.trained_model import trainable
from trainers.steps.trainer import StepTrainer
from trainers.steps.watch import check_loss
from transforms.errors import ConfigError, ModelError

CPU = torch.device("cpu")
LAYOUTS = pytest.mark.parametrize("layout", [PACKED, PADDED], ids=["packed", "padded"])
SOME = some_examples(16, responses=1)
TEST = some_examples(5, responses=1, seed=3)


def task_of(some: list[Example], layout: Layout = PADDED, batch_tokens: int = 10_000) -> Completions:
    return Completions(some, layout=layout, batch_tokens=batch_tokens)


def read(task: Completions, model: Any, rows: Any = None) -> Read:
    return task.read(lambda work: work(model), range(task.size) if rows is None else rows, CPU)


def run_of(
    folder: Path, model: Any, *, test: bool = True, save_steps: int | None = None, **options: Any
) -> StepTrainer:
    cut = {name: options.pop(name) for name in ("layout", "batch_tokens") if name in options}
    return step_trainer(
        folder,
        model,
        task_of(SOME, **cut),
        task_of(TEST, **cut) if test else None,
        optimisation=optimised(options),
        memory=Memory(dtype="float32", batch_tokens=cut.get("batch_tokens", 10_000)),
        save_steps=save_steps,
        identity={"model": "tiny"},
    )


def trained(folder: Path, model: Any, **options: Any) -> dict[str, torch.Tensor]:
    run_of(folder, model, **options).train()
    return weights(model)


def test_a_long_completion_weighs_as_many_times_more_as_it_has_more_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    # 1 token of 4 nats, and 3 of 1, 1 and 2: (4 + 1 + 1 + 2) / 4 = 2; a mean of means would be (4 + 4/3) / 2.
    told = LogProbs(torch.tensor([-4.0, -1.0, -1.0, -2.0]), torch.tensor([-4.0, -4.0]), None, torch.empty(2, 1))
    monkeypatch.setattr(completions_module, "log_probs", lambda _model, _batch: told)
    task = task_of(examples((5, 1), (2, 3)))
    found = read(task, None)
    assert found.losses.tolist() == [4.0, 1.0, 1.0, 2.0]
    assert float(found.losses.sum() / task.terms([0, 1])) == 2.0
    assert [task.terms([0]), task.terms([1]), task.terms([1, 1, 0])] == [1, 3, 7]
    assert found.names == ["0", "1", "1", "1"]
    assert found.figures["log_prob"].mean() == -2.0
    assert (found.kept_tokens, found.totals["tokens"].tolist()) == (4, [1, 3])


@LAYOUTS
def test_a_model_that_knows_nothing_pays_the_logarithm_of_its_vocabulary_for_every_token(layout: Layout) -> None:
    model = llama()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    found = read(task_of(examples((9, 4), (1, 7), (3, 1)), layout), model)
    torch.testing.assert_close(found.losses, torch.full((12,), math.log(VOCAB)))


@LAYOUTS
def test_losses_are_transformers_own_with_the_prompt_masked(layout: Layout) -> None:
    model, some = llama(), examples((7, 5), (3, 1), (12, 6))
    found = read(task_of(some, layout), model)
    expected = []
    for one in some:
        ids = torch.from_numpy(np.concatenate([one.prompt, *one.responses]).astype(np.int64))[None]
        labels = ids.clone()
        labels[:, : len(one.prompt)] = -100
        expected += [model(input_ids=ids, labels=labels).loss] * len(one.responses[0])
        torch.testing.assert_close(
            torch.stack(
                [loss for loss, name in zip(found.losses, found.names, strict=True) if name == one.name]
            ).mean(),
            expected[-1],
            rtol=1e-5,
            atol=1e-6,
        )
    torch.testing.assert_close(found.losses.mean(), torch.stack(expected).mean(), rtol=1e-5, atol=1e-6)


@LAYOUTS
def test_the_prompt_is_read_and_never_predicted(layout: Layout) -> None:
    """Logits at its places have no gradient but for the last, which decides the first completion token."""
    model, prompt, size = llama(dtype=torch.float64), 6, 4
    [one] = examples((prompt, size))
    seen: dict[str, torch.Tensor] = {}

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        if not seen:  # the head runs over it once more, for the states of the completion alone
            output.last_hidden_state.retain_grad()
            seen["states"] = output.last_hidden_state

    handle = model.base_model.register_forward_hook(keep)
    read(task_of([one], layout), model).losses.mean().backward()
    handle.remove()
    norms = seen["states"].grad.flatten(0, 1).norm(dim=-1)
    assert (norms > 0).tolist() == [False] * (prompt - 1) + [True] * size
    # It is context all the same: another first token changes what every completion token costs.
    other = replace(one, prompt=np.append((one.prompt[:1] + 1) % VOCAB, one.prompt[1:]).astype(np.int32))
    before, after = (read(task_of([each], layout), model).losses for each in (one, other))
    assert bool((before != after).all())


def test_how_a_step_is_cut_and_laid_out_changes_neither_loss_nor_gradient(tmp_path: Path) -> None:
    runs: dict[str, dict[str, Any]] = {
        "whole": {"batch_tokens": 10_000},
        "singly": {"batch_tokens": 1},
        "packed": {"batch_tokens": 30, "layout": PACKED},
    }
    found = {name: trained(tmp_path / name, small_policy(), **options) for name, options in runs.items()}
    assert differ(found["whole"], weights(small_policy())) > 1e-3
    assert differ(found["whole"], found["singly"]) < 1e-6  # norms are computed in fp32
    assert differ(found["whole"], found["packed"]) < 1e-6
    for figure in ("loss", "eval_loss", "grad_norm", "tokens", "eval_tokens"):
        whole, *others = ([line[figure] for line in lines(tmp_path / name) if figure in line] for name in runs)
        assert others == [pytest.approx(whole)] * 2


def test_processes_together_have_the_steps_loss_whatever_each_reads() -> None:
    model, task = small_policy(), task_of(SOME, batch_tokens=24)
    rows = list(range(11))
    whole = float(read(task, model, rows).losses.detach().mean())
    for processes in (2, 3):
        total = 0.0
        for process in range(processes):
            for batch in share(rows, task.cut, process=process, processes=processes):
                total += float(read(task, model, batch.rows).losses.detach().sum()) * batch.counts
        assert total / task.terms(rows) == pytest.approx(whole)


def test_figures_of_a_step_and_of_test_are_of_their_tokens(tmp_path: Path) -> None:
    model = small_policy()
    before = float(read(task_of(TEST), model).losses.detach().mean())
    trained(tmp_path, model, batch_tokens=20)
    found = lines(tmp_path)
    first = next(line for line in found if "eval_loss" in line)
    assert first["eval_loss"] == pytest.approx(before, rel=1e-6)
    assert first["eval_log_prob"] == pytest.approx(-before, rel=1e-6)
    assert first["eval_perplexity"] == pytest.approx(math.exp(before), rel=1e-6)
    assert first["eval_tokens"] == sum(one.kept_tokens for one in TEST)
    steps = [line for line in found if "loss" in line]
    assert sum(line["tokens"] for line in steps) == steps[-1]["kept_tokens"] == sum(one.kept_tokens for one in SOME)
    for line in steps:
        assert line["log_prob"] == pytest.approx(-line["loss"], rel=1e-5)
    assert found[-1]["eval_loss"] < before


def test_perplexity_is_of_a_mean_and_of_nothing_else() -> None:
    assert perplexity({"log_prob": -math.log(8), "loss": 9.0}) == {"perplexity": pytest.approx(8.0)}
    assert perplexity({"eval_log_prob": -1e6}) == {"eval_perplexity": pytest.approx(math.exp(700))}
    assert perplexity({"loss": 1.0}) == {}


def test_a_resumed_run_ends_in_the_weights_of_a_straight_one(tmp_path: Path) -> None:
    options = {"test": False, "epochs": 2}
    straight = trained(tmp_path / "straight", small_policy(torch.float32), save_steps=2, **options)
    run = run_of(tmp_path / "other", small_policy(torch.float32), **options)
    run.train(tmp_path / "straight" / "checkpoint-2")
    assert differ(straight, weights(run.model)) == 0
    rates = {"pairs_per_second", "tokens_per_second"}
    one, other = (
        [{key: value for key, value in line.items() if key not in rates} for line in lines(tmp_path / name)]
        for name in ("straight", "other")
    )
    assert one == other


def test_a_checkpoint_of_preferences_is_no_checkpoint_of_completions(tmp_path: Path) -> None:
    trainer(tmp_path, small_policy(), some_examples(16), save_steps=2).train()
    with pytest.raises(ConfigError, match=r"objective\.name was simpo, is sft"):
        run_of(tmp_path, small_policy()).train(tmp_path / "checkpoint-2")


def test_an_adapter_learns_and_the_model_below_it_stays(tmp_path: Path) -> None:
    model = trainable(small_policy(torch.float32), adapter=Adapter(rank=2, alpha=4), seed=0)
    before = weights(model)
    after = trained(tmp_path, model)
    changed = {name for name in before if bool((before[name] != after[name]).any())}
    assert changed
    assert all("lora_" in name for name in changed)


def test_the_identity_is_of_the_tokens() -> None:
    assert completions_identity(SOME)["objective"] == {"name": "sft", "settings": {}}
    assert completions_identity(SOME) == task_of(SOME).identity != completions_identity(TEST)


def test_a_loss_that_is_no_number_names_its_example_once() -> None:
    with pytest.raises(ModelError, match=r"step 3: the loss is not finite for 1 pairs: long\. Nothing"):
        check_loss(torch.tensor([1.0, math.nan, math.inf]), 3, ["short", "long", "long"])
