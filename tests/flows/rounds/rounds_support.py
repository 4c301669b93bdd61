"""Tiny rounds: a policy, an annotator and a judge of a few random weights each, and prompts that anything answers."""

from pathlib import Path
from typing import Any

from flows_support import model_folders, write_rows

from flows.rounds.config import RoundsConfig

TRAINING, HELD_OUT = 12, 6


def rounds_config(tmp_path: Path, **changes: Any) -> RoundsConfig:
    """Two rounds of SimPO in fp32; training and held-out prompts have two in common.

    Args:
        tmp_path: of models, prompts, ledger and output.
        changes: keys of the recipe that are others, sections merged.
    """
    if not (tmp_path / "policy").is_dir():
        model_folders(tmp_path)
        model_folders(tmp_path / "other", width=24)
        write_rows(tmp_path / "train.jsonl", [{"prompt": f"question {n}"} for n in range(TRAINING)])
        held = range(TRAINING - 2, TRAINING - 2 + HELD_OUT)
        write_rows(tmp_path / "held.jsonl", [{"prompt": f"question {n}"} for n in held])
    plain = {"engine": "transformers", "dtype": "float32"}
    content: dict[str, Any] = {
        "name": "unit",
        "start": {"model": str(tmp_path / "policy")},
        "rounds": 2,
        "curate": {
            "generate": {
                "prompts": [{"kind": "prompts", "path": str(tmp_path / "train.jsonl")}],
                "policies": [{**plain, "n": 6, "temperature": 1.0, "max_new_tokens": 3}],
                "annotators": [{**plain, "kind": "reward", "model": str(tmp_path / "reward")}],
                "pairing": {"unfinished": "allow"},
                "repeats": 0,
            },
            "truncate": {"method": "none"},
            "output": {"test_size": 0},
        },
        "train": {
            "objective": {"name": "simpo"},
            "optimisation": {"learning_rate": 0.01, "pairs_per_step": 4, "steps": 2, "warmup": 0},
            "memory": {"dtype": "float32", "batch_tokens": 200},
        },
        "held_out": {
            "prompts": [{"kind": "prompts", "path": str(tmp_path / "held.jsonl")}],
            "policy": {"n": 4},
            "judge": {**plain, "model": str(tmp_path / "other" / "reward")},
        },
        "stop": {"patience": None},
        "output": {"dir": str(tmp_path / "rounds")},
        "ledger": str(tmp_path / "ledger"),
    }
    for key, value in changes.items():
        content[key] = _merged(content.get(key), value)
    return RoundsConfig.model_validate(content)


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return old | {key: _merged(old.get(key), value) for key, value in new.items()}
