"""A tiny curated run, as the flow's own stages write it, and recipes that train on it."""

from pathlib import Path
from typing import Any

from flows_support import model_folders, pair, truncate_recipe

from flows.curate.flow import run_stages
from flows.curate.plan import plan_run
from flows.train.config import TrainingRecipe

WORDS = ("the cat sat on the mat", "one two three four", "dog", "café déjà vu and the dog ran", "five six seven")


def curated_run(
    tmp_path: Path, *, pairs: int = 24, test_size: float = 0.2, width: int = 16, **changes: Any
) -> tuple[Path, Path]:
    """The folder of a run that truncated some pairs with POET, and the policy that it was curated for."""
    policy, _ = model_folders(tmp_path, width=width)
    rows = [pair(number, WORDS[number % 5], WORDS[(number + 1 + number % 3) % 5]) for number in range(pairs)]
    content = {
        "policy": {"model": str(policy), "engine": "none"},
        "output": {"dir": str(tmp_path / "run"), "test_size": test_size},
    }
    recipe = truncate_recipe(tmp_path, rows, **content | changes)
    run_stages(plan_run(recipe))
    return Path(recipe.output.dir), policy


def training_recipe(tmp_path: Path, run: Path, policy: Path, **changes: Any) -> TrainingRecipe:
    """DPO in fp32 at a rate that shows after a few steps."""
    content: dict[str, Any] = {
        "name": "unit",
        "dataset": {"path": str(run)},
        "model": {"model": str(policy)},
        "objective": {"name": "dpo", "settings": {"beta": 0.5}},
        "optimisation": {"learning_rate": 0.01, "pairs_per_step": 8, "epochs": 2, "warmup": 0},
        "memory": {"dtype": "float32", "batch_tokens": 200},
        "output": {"dir": str(tmp_path / "trained")},
        "ledger": str(tmp_path / "ledger"),
    }
    return TrainingRecipe.model_validate(content | changes)


def reward_recipe(tmp_path: Path, run: Path, policy: Path, **changes: Any) -> TrainingRecipe:
    """A reward model of all weights, in fp32."""
    mine = {"kind": "reward", "objective": None, "output": {"dir": str(tmp_path / "reward-model")}}
    return training_recipe(tmp_path, run, policy, **mine | changes)
