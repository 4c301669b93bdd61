"""Training runs of a tiny model."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from models_support import VOCAB, llama

from trainers.batches.logprobs import log_probs
from trainers.batches.tensors import PADDED, Layout
from trainers.objectives import objective
from trainers.policies.preferences import Preferences
from trainers.reading.examples import Example
from trainers.reading.references import References
from trainers.steps.activations import Budget
from trainers.steps.arguments import training_arguments, training_order
from trainers.steps.log import StepLog
from trainers.steps.settings import Memory, Optimisation
from trainers.steps.sharded_trainer import trainer_for
from trainers.steps.task import Task
from trainers.steps.trainer import StepTrainer


def some_examples(count: int, *, responses: int = 2, rewards: bool = False, seed: int = 0) -> list[Example]:
    """Examples of random tokens and lengths; all prompts begin with token 1."""
    draw = np.random.default_rng(seed)

    def ids(least: int) -> np.ndarray[Any, Any]:
        return draw.integers(3, VOCAB, size=draw.integers(least, 9), dtype=np.int32)

    return [
        Example(
            f"pair-{number}",
            np.concatenate([np.array([1], np.int32), ids(2)]),
            tuple(ids(1) for _ in range(responses)),
            tuple(draw.normal(size=responses).tolist()) if rewards else None,
        )
        for number in range(count)
    ]


def reference_of(model: Any, examples: Sequence[Example]) -> References:
    """What `model` says of examples now."""
    responses, prompts = [], []
    with torch.no_grad():
        for example in examples:
            found = log_probs(model, PADDED.batch([example]), prompts=True)
            responses.append(tuple(found.responses.tolist()))
            prompts.append(float(found.prompts[0]))
    return References(responses, prompts)


def small_policy(dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    """One layer, so that a step takes a few milliseconds."""
    return llama(dtype=dtype, **{"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 24} | options)


def trainer(
    folder: Path,
    model: Any,
    examples: Sequence[Example],
    name: str = "simpo",
    *,
    settings: Mapping[str, Any] | None = None,
    layout: Layout = PADDED,
    batch_tokens: int = 10_000,
    references: References | None = None,
    test: Sequence[Example] | None = None,
    test_references: References | None = None,
    dtype: str = "float32",
    save_steps: int | None = None,
    identity: Mapping[str, Any] | None = None,
    memory: Mapping[str, Any] | None = None,
    activations: Budget | None = None,
    **optimisation: Any,
) -> StepTrainer:
    """A trainer on `examples`; 8 a step, one pass and a learning rate of 0.01 if nothing else is said."""
    chosen = optimised(optimisation)
    bound = objective(name, **settings or {})
    tasks = [
        None if some is None else Preferences(some, bound, layout=layout, batch_tokens=batch_tokens, references=known)
        for some, known in ((examples, references), (test, test_references))
    ]
    held = Memory(**{"batch_tokens": batch_tokens, "dtype": dtype} | dict(memory or {}))
    known = identity or {"model": "tiny", "learning_rate": chosen.learning_rate}
    options = {"optimisation": chosen, "memory": held, "save_steps": save_steps, "identity": known}
    return step_trainer(folder, model, *tasks, activations=activations, **options)


def optimised(changes: Mapping[str, Any]) -> Optimisation:
    """8 a step, one pass and a learning rate of 0.01 if nothing else is said."""
    return Optimisation(**{"learning_rate": 1e-2, "pairs_per_step": 8, "warmup": 0.0} | changes)


def step_trainer(
    folder: Path,
    model: Any,
    task: Task,
    test: Task | None,
    *,
    optimisation: Optimisation,
    memory: Memory,
    save_steps: int | None,
    identity: Mapping[str, Any],
    activations: Budget | None = None,
) -> StepTrainer:
    """A trainer that measures on `test` before the first step and after the last, and logs to metrics.jsonl."""
    order = training_order(optimisation, task.size)
    folder.mkdir(parents=True, exist_ok=True)
    return trainer_for(memory)(
        model,
        training_arguments(
            folder,
            optimisation,
            memory,
            order,
            save_steps=save_steps,
            eval_first=test is not None,
            eval_steps=None if test is None else order.steps,
        ),
        task=task,
        test=test,
        order=order,
        identity=identity,
        steps_log=StepLog(folder / "metrics.jsonl"),
        activations=activations,
    )


def weights(model: Any) -> dict[str, torch.Tensor]:
    """A copy."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def differ(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference between two models' weights."""
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def lines(folder: Path) -> list[dict[str, float]]:
    """What a run logged, line by line."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
