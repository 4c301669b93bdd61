"""A tiny comparison: a run of which curation dropped some pairs, and a training recipe that shows after a few steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from curated_support import curated_run, training_recipe
from flows_support import call_plainly

from flows.compare.config import ComparisonConfig
from flows.compare.plan import plan_comparison
from transforms.records.comparison import Comparison


def comparison(
    tmp_path: Path,
    *,
    pairs: int = 40,
    training: dict[str, Any] | None = None,
    curation: dict[str, Any] | None = None,
    **changes: Any,
) -> ComparisonConfig:
    """A configuration over a run of `pairs` that dropped those with fewer than four kept tokens.

    Args:
        tmp_path: of run, models, recipe and output.
        pairs: of the run.
        training: keys of the training recipe that are others.
        curation: keys of the run's recipe that are others.
        changes: keys of the configuration that are others.
    """
    run, policy = curated_run(tmp_path, pairs=pairs, **{"filters": {"min_kept_tokens": 4}} | (curation or {}))
    recipe = training_recipe(tmp_path, run, policy).model_dump(mode="json")
    recipe["optimisation"] |= {"pairs_per_step": 4, "epochs": None, "steps": 3}
    path = tmp_path / "training.yaml"
    path.write_text(yaml.safe_dump(recipe | (training or {})))
    content = {
        "name": "unit",
        "training": str(path),
        "variants": ["raw", 0.5, "curated"],
        "seeds": 2,
        "budgets": ["steps", "tokens"],
        "test_size": 0.4,
        "output": {"dir": str(tmp_path / "compared")},
    }
    return ComparisonConfig.model_validate(content | changes)


@contextmanager
def without_prefect() -> Iterator[None]:
    """Inside, a comparison and what it trains run in this process."""
    import flows.compare.flow
    import flows.curate.flow
    import flows.train.flow

    with pytest.MonkeyPatch.context() as patch:
        call_plainly(patch, flows.curate.flow, flows.train.flow, flows.compare.flow)
        patch.setenv("TQDM_DISABLE", "1")
        yield


def run(config: ComparisonConfig) -> Comparison:
    from flows.compare.flow import run_comparison

    plan = plan_comparison(config)
    return plan.finished or run_comparison(plan)


def count_trainings(patch: pytest.MonkeyPatch) -> list[str]:
    """Names of the trainings that are begun from now on."""
    import flows.compare.flow as compare_module

    begun = []
    real = compare_module.run_training

    def run_training(plan: Any, **options: Any) -> Any:
        begun.append(plan.folder.name)
        return real(plan, **options)

    patch.setattr(compare_module, "run_training", run_training)
    return begun
