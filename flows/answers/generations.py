"""A model against the baseline as a generation: both answer the same prompts, and the judge reads both.

Each pair of models is a generation of its own, so that a judge that compares is asked about these two and no others.
The baseline's answers, and every judgement of an answer by itself, are in the ledger after the first one.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

from flows.generate.plan import GenerationPlan
from flows.models.engine_calls import Pay
from flows.recipe.cluster import ClusterConfig
from flows.recipe.generation import AnnotatorConfig, AnsweringPolicy, Generation
from transforms.records.generation import GenerationManifest

# Labels are part of the seeds of answers: one for every model, so that a name in a recipe costs nothing.
MODEL: Final = "model"
BASELINE: Final = "baseline"
JUDGE: Final = "judge"


def generation_of(
    model: AnsweringPolicy,
    baseline: AnsweringPolicy,
    judge: AnnotatorConfig,
    *,
    name: str,
    prompts: Sequence[Any],
    max_prompts: int | None,
    seed: int,
    batch: int,
    folder: Path,
    ledger: str | None,
    chat_template_date: date,
    cluster: ClusterConfig | None = None,
) -> Generation:
    """How two models answer and are judged.

    Args:
        model: who is held against the baseline.
        baseline: likewise, with as many answers a prompt.
        judge: any annotator.
        name: of the generation.
        prompts: sources, as `prompts` of flows.generate.
        max_prompts: at most, chosen by content.
        seed: of the answers.
        batch: answers an engine call.
        folder: where the generation goes.
        ledger: folder or URL; None for the user's cache.
        chat_template_date: that chat templates are told.
        cluster: replicas on other machines.
    """
    content = {
        "name": name,
        "prompts": [one if isinstance(one, dict) else one.model_dump(mode="json") for one in prompts],
        "max_prompts": max_prompts,
        "policies": [
            {**one.model_dump(mode="json"), "label": label} for one, label in ((baseline, BASELINE), (model, MODEL))
        ],
        "annotators": [{**judge.model_dump(mode="json"), "name": JUDGE}],
        "aggregate": JUDGE,
        "repeats": 0,
        "seed": seed,
        "batch": batch,
        "chat_template_date": chat_template_date,
        "cluster": cluster.model_dump(mode="json") if cluster else None,
        "output": {"dir": str(folder), "overwrite": True},
        "ledger": ledger,
    }
    return Generation.model_validate(content)


def made(plan: GenerationPlan, pay: Pay) -> GenerationManifest:
    """Answer and judge what is not there yet.

    Args:
        plan: of a generation as `generation_of` has it.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
    """
    from flows.generate.flow import make  # with Prefect, which nobody needs to find out that nothing changed

    return plan.finished or make(plan, plan.folder, pay)
