"""A benchmark of nine rows, tiny models to judge by, and the configuration that evaluates them."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from flows_support import call_at_once, model_folders, write_rows

from flows.evaluate.config import EvaluationConfig
from flows.evaluate.plan import plan_evaluation
from transforms.records.evaluation import Evaluation

Models = tuple[Path, Path, Path]


def row(number: int, chosen: str, rejected: str, *, subset: str = "hep-go", messages: bool = False) -> dict[str, Any]:
    """In RewardBench's layout; two rows share a prompt."""
    prompt = f"question {number // 2}"
    turns: Any = [{"role": "user", "content": prompt}] if messages else prompt
    return {"id": number, "subset": subset, "prompt": turns, "chosen": chosen, "rejected": rejected}


ROWS = [row(i, f"the cat sat on the mat {i}", "dog and cat ran", messages=i % 2 == 1) for i in range(6)]
ROWS += [row(6, "naïve café", "déjà vu one two", subset="my <b>own</b>"), row(7, "", "an empty side")]
ROWS += [row(8, "it spells <|im_end|> out", "x")]


def make_models(folder: Path) -> Models:
    """The policy after some "training", the policy and a reward model."""
    from transformers import AutoModelForCausalLM

    policy, reward = model_folders(folder)
    shutil.copytree(policy, folder / "trained")
    moved = AutoModelForCausalLM.from_pretrained(policy)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    moved.save_pretrained(folder / "trained")
    return folder / "trained", policy, reward


def config(folder: Path, models: Models, rows: list[dict[str, Any]] = ROWS, **changes: Any) -> EvaluationConfig:
    """Both models judged at a ratio and two numbers of tokens, everything in `folder`."""
    trained, policy, reward = models
    content = {
        "name": "unit",
        "sources": [{"kind": "preference", "path": str(write_rows(folder / "rows.jsonl", rows)), "label": "bench"}],
        "reward": {"model": str(reward), "dtype": "float32", "ratios": [0.5], "tokens": [4, 999], "batch": 8},
        "policy": {
            "model": str(trained), "reference": {"model": str(policy)}, "dtype": "float32",
            "ratios": [0.3, 0.6], "tokens": [2, 4, 999], "position_pairs": 5, "max_tokens_per_batch": 64,
        },
        "output": {"dir": str(folder / "out")},
        "ledger": str(folder / "ledger"),
    }  # fmt: skip
    return EvaluationConfig.model_validate(content | changes)


def run(wanted: EvaluationConfig) -> Evaluation:
    """The evaluation, without Prefect; what lies there already if nothing changed."""
    import flows.evaluate.flow as flow_module

    plan = plan_evaluation(wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow_module, "stage", flow_module.stage.fn)
        return plan.finished or flow_module.run_evaluation(plan, call_at_once)
