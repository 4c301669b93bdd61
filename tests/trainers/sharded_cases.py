"""Trainings by name, the same in one process and in several that share the weights; run as a script in each of them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from rewards_support import reward_trainer, small_classifier
from training_support import reference_of, small_policy, some_examples, trainer, weights

from trainers.batches.tensors import PACKED
from trainers.steps import value_head
from trainers.steps.activations import Budget
from trainers.steps.compiled import compile_layers
from trainers.steps.processes import met
from trainers.steps.settings import Adapter
from trainers.steps.sharding import DTensor, FSDPModule
from trainers.steps.trained_model import trainable
from trainers.steps.trainer import StepTrainer

LORA: Final = Adapter(rank=2)
SHARDED: Final = {"shard": "fsdp"}
STEPS: Final = 4
# Five examples a step in micro-batches of one to three, so that processes share unevenly and one reads again.
CUT: Final[dict[str, Any]] = {"pairs_per_step": 5, "batch_tokens": 40, "steps": STEPS}


def policy(folder: Path, name: str, load: Callable[[], Any], **options: Any) -> StepTrainer:
    """On 13 examples, clipped at every step; the reference is the policy before it has an adapter."""
    examples = some_examples(13, rewards=name == "dro")
    test = some_examples(3, seed=1, rewards=name == "dro")
    memory = SHARDED | options.pop("memory", {})
    if name != "simpo":
        plain = small_policy(num_hidden_layers=2)
        options |= {"references": reference_of(plain, examples), "test_references": reference_of(plain, test)}
    return trainer(folder, load(), examples, name, test=test, memory=memory, **CUT | options)


def reward(folder: Path, load: Callable[[], Any], **options: Any) -> StepTrainer:
    return reward_trainer(folder, load(), some_examples(13), test=some_examples(3, seed=1), memory=SHARDED, **CUT)


def a_policy(dtype: torch.dtype = torch.float64, **options: Any) -> Callable[[], Any]:
    return lambda: small_policy(dtype, num_hidden_layers=2, **options)


def with_adapter(load: Callable[[], Any], task: Any = "CAUSAL_LM") -> Callable[[], Any]:
    return lambda: trainable(load(), adapter=LORA, seed=0, task=task)


def compiled(load: Callable[[], Any]) -> Callable[[], Any]:
    def found() -> Any:
        model = load()
        compile_layers(model)
        return model

    return found


def with_value_head() -> Any:
    model = small_policy(torch.float32, num_hidden_layers=2)
    value_head.attach(model, 0.3)
    return model


Start = Callable[..., StepTrainer]
# The model as it is before training, and its trainer.
CASES: Final[dict[str, tuple[Callable[[], Any], Start]]] = {
    "dpo": (a_policy(), lambda folder, load: policy(folder, "dpo", load, save_steps=3)),
    "dpo-lora": (
        with_adapter(a_policy()),
        lambda folder, load: policy(folder, "dpo", load, layout=PACKED, save_steps=3),
    ),
    "simpo": (
        a_policy(tie_word_embeddings=False),
        lambda folder, load: policy(folder, "simpo", load, layout=PACKED, memory={"gradient_checkpointing": True}),
    ),
    "simpo-lora": (
        with_adapter(a_policy()),
        lambda folder, load: policy(folder, "simpo", load, memory={"gradient_checkpointing": True}),
    ),
    "reward": (lambda: small_classifier(num_hidden_layers=2), reward),
    "reward-lora": (with_adapter(lambda: small_classifier(num_hidden_layers=2), "SEQ_CLS"), reward),
    "dro": (with_value_head, lambda folder, load: policy(folder, "dro", load, save_steps=3)),
    "budget": (
        a_policy(),
        lambda folder, load: policy(folder, "simpo", load, layout=PACKED, activations=Budget(100_000, 40)),
    ),
    "compiled": (
        compiled(a_policy(torch.float32)),
        lambda folder, load: policy(folder, "simpo", load, layout=PACKED),
    ),
    "compiled-budget": (
        compiled(a_policy(torch.float32)),
        lambda folder, load: policy(folder, "simpo", load, layout=PACKED, activations=Budget(50_000, 40)),
    ),
    "bfloat16": (
        a_policy(torch.float32),
        lambda folder, load: policy(folder, "simpo", load, dtype="bfloat16", batch_tokens=1),
    ),
    "bfloat16-lora": (
        with_adapter(a_policy(torch.bfloat16)),
        lambda folder, load: policy(folder, "simpo", load, dtype="bfloat16", batch_tokens=1),
    ),
}
RESUMED: Final = ("dpo", "dpo-lora", "dro")


def train(folder: Path, name: str, checkpoint: Path | None = None) -> dict[str, Any]:
    """Train a case in this process or in all of them, and leave the weights in `folder`; `seen` of the model."""
    load, start = CASES[name]
    run = start(folder / name, load)
    run.train(checkpoint)
    found = seen(run)  # before a state dict lets go what was gathered
    model = run.trained(load)
    if run.is_world_process_zero():
        torch.save(weights(model), folder / f"{name}.pt")
    return found


def seen(run: StepTrainer) -> dict[str, Any]:
    """How this process holds a trained model: its share of the weights' numbers, and what is gathered together."""
    parts = [value.to_local() if isinstance(value, DTensor) else value for value in run.model.parameters()]
    with run._casting():
        cached = torch.is_autocast_cache_enabled()
    return {
        "held": sum(part.numel() for part in parts) / sum(value.numel() for value in run.model.parameters()),
        "units": [type(module).__name__ for module in run.model.modules() if isinstance(module, FSDPModule)],
        "cached": cached,
    }


if __name__ == "__main__":
    to, started = Path(sys.argv[1]), Path(sys.argv[2])
    with met():
        of_cases = {name: train(to, name) for name in CASES}
        for case in RESUMED:
            train(to / "resumed", case, started / case / "checkpoint-3")
        (to / f"seen-{torch.distributed.get_rank()}.json").write_text(json.dumps(of_cases))
