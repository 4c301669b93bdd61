"""Runs, policies and configurations for tests that decode with tiny real models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flows_support import call_at_once, call_plainly, pair, sampling_recipe

import flows.curate.flow as curate_module
from flows.curate.plan import plan_run
from flows.decode.config import DecodeConfig
from flows.decode.flow import decode_run
from flows.decode.plan import plan_decoding
from flows.runtime.progress import Progress
from transforms.records.decoding import Decodings

ROWS = [pair(i, chosen=f"the cat sat on the mat {i}", rejected="dog and cat") for i in range(10)]
ROWS += [pair(0, chosen="another answer", rejected="to the same prompt")]
Models = tuple[Path, Path]


def curated(home: Path, models: Models, *, test_size: float = 0.99, **changes: Any) -> Path:
    """A finished run of ROWS in `home`, all pairs kept."""
    patch = pytest.MonkeyPatch()
    call_plainly(patch, curate_module)
    output = {"dir": str(home / "run"), "test_size": test_size}
    consistency = {"threshold": 0.001}  # keeps all pairs
    curate_module.run_stages(
        plan_run(sampling_recipe(home, models, ROWS, **{"output": output, "consistency": consistency} | changes))
    )
    patch.undo()
    return home / "run"


def config(run: Path | None, policy: Path, out: Path, **changes: Any) -> DecodeConfig:
    """Five rules, short and in float32."""
    content: dict[str, Any] = {
        "run": run,
        "policy": str(policy),
        "out": out,
        "dtype": "float32",
        "mix": (0, 0.5, 1),
        "length": (2,),
        "kl": (0.5,),
        "max_prompts": 5,
        "samples": 2,
        "max_tokens": 8,
        "batch": 3,
    }
    return DecodeConfig(**content | changes)


def decode(
    run: Path | None,
    policy: Path,
    out: Path,
    *,
    pay: Callable[[str, Callable[[], object]], None] = call_at_once,
    **changes: Any,
) -> Decodings:
    """Decode without Prefect."""
    return decode_run(plan_decoding(config(run, policy, out, **changes)), pay, Progress())
