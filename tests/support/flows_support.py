"""Makers for tests of flows: a manifest, recipes, and a policy folder with a tokenizer only."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
from tests_support import tiny_tokenizer

from flows.recipe.curation import Recipe
from transforms.records.manifest import Counts, FileRecord, Manifest, TokenCounts, TokenizerRecord


def call_plainly(patch: pytest.MonkeyPatch, *flows: ModuleType) -> None:
    """Let the stages and engine calls of these flow modules be plain calls, without Prefect."""
    for flow in flows:
        patch.setattr(flow, "stage", flow.stage.fn)
        patch.setattr(flow, "engine_call", flow.engine_call.fn)


def call_at_once(_name: str, work: Callable[[], object]) -> None:
    """An engine call without Prefect."""
    work()


def manifest(*, fingerprint: str = "f1", files: list[str] | None = None) -> Manifest:
    """The smallest manifest there can be."""
    return Manifest(
        name="unit",
        version="0" * 16,
        config={},
        fingerprint=fingerprint,
        sources=[],
        tokenizer=TokenizerRecord(name="t", sha256="0", eot="<|im_end|>", eot_id=2),
        policy=None,
        reward=None,
        packages={},
        git_commit=None,
        counts=Counts(raw_rows=0, pairs=0, kept=0, dropped={}, quarantined=0, splits={}, stages=[]),
        tokens=TokenCounts(prompt=0, chosen_before=0, chosen_after=0, rejected_before=0, rejected_after=0),
        consistency=[],
        completions=None,
        scores=None,
        files=[FileRecord(path=path, rows=0, sha256="0") for path in files or []],
        seconds={},
        finished_at="2026-11-21T00:00:00+00:00",
    )


def tokenizer_folder(folder: Path) -> Path:
    """A folder that holds a chat tokenizer and no model: enough to truncate."""
    tiny_tokenizer().save_pretrained(folder)
    return folder


def write_rows(path: Path, rows: list[Any]) -> Path:
    """Rows as JSONL; bytes are written as they are."""
    path.write_bytes(b"".join((r if isinstance(r, bytes) else orjson.dumps(r)) + b"\n" for r in rows))
    return path


def truncate_recipe(tmp_path: Path, rows: list[Any], **changes: Any) -> Recipe:
    """A recipe that truncates `rows` (TRL's layout) and samples nothing."""
    content: dict[str, Any] = {
        "name": "unit",
        "sources": [{"kind": "preference", "path": str(write_rows(tmp_path / "rows.jsonl", rows))}],
        "policy": {"model": str(tokenizer_folder(tmp_path / "policy")), "engine": "none"},
        "output": {"dir": str(tmp_path / "out"), "test_size": 0},
        "ledger": str(tmp_path / "ledger"),
    }
    return Recipe.model_validate(content | changes)


def pair(number: int, chosen: str = "the cat sat on the mat", rejected: str = "dog") -> dict[str, str]:
    return {"prompt": f"question {number}", "chosen": chosen, "rejected": rejected}


def model_folders(folder: Path, tokenizer: Any = None, *, context: int = 128, width: int = 16) -> tuple[Path, Path]:
    """A policy and a reward model of few random weights each, with the tiny tokenizer or another."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    tokenizer = tokenizer or tiny_tokenizer()
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": context,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    for number, (name, kind) in enumerate(
        (
            ("policy", LlamaForCausalLM(LlamaConfig(**shape))),
            ("reward", LlamaForSequenceClassification(LlamaConfig(**shape, num_labels=1))),
        )
    ):
        torch.manual_seed(number)
        for parameter in kind.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        kind.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder / "policy", folder / "reward"


def sampling_recipe(tmp_path: Path, models: tuple[Path, Path], rows: list[Any], **changes: Any) -> Recipe:
    """A recipe that samples and scores `rows` with tiny real models on transformers."""
    content: dict[str, Any] = {
        "name": "unit",
        "sources": [{"kind": "preference", "path": str(write_rows(tmp_path / "rows.jsonl", rows))}],
        "policy": {"model": str(models[0]), "engine": "transformers", "dtype": "float32"},
        "sampling": {"n": 2, "max_new_tokens": 6, "batch": 4},
        "reward": {"model": str(models[1]), "engine": "transformers", "dtype": "float32", "batch": 6},
        "output": {"dir": str(tmp_path / "out"), "test_size": 0},
        "ledger": str(tmp_path / "ledger"),
    }
    return Recipe.model_validate(content | changes)
