"""A model against the baseline as a generation: both answer the same prompts, and the judge reads both.

Each pair of models is a generation of its own, so that a judge that compares is asked about these two and no others.
The baseline's answers, and every judgement of an answer by itself, are in the ledger after the first one.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from flows.generate.plan import GenerationPlan
from flows.generate.voices import FoundPolicy, find_policy
from flows.models.engine_calls import Pay
from flows.recipe.cluster import ClusterConfig
from flows.recipe.generation import AnnotatorConfig, AnsweringPolicy, Generation
from flows.runtime.config_files import problems_in_words
from transforms.errors import ConfigError
from transforms.records.generation import GenerationManifest
from transforms.sources.canonical import content_hash

JUDGE: Final = "judge"
_SAMPLED_BY: Final = {"temperature", "top_p", "top_k", "min_p", "max_new_tokens", "system_prompt", "thinking"}


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

    Raises:
        ConfigError: prompts or a judge that no generation takes.
        ModelError: a model that is missing.
    """
    labels = _labels(*(find_policy(JUDGE, one, chat_template_date) for one in (baseline, model)))
    content = {
        "name": name,
        "prompts": [one if isinstance(one, dict) else one.model_dump(mode="json") for one in prompts],
        "max_prompts": max_prompts,
        "policies": [
            {**one.model_dump(mode="json"), "label": label}
            for one, label in zip((baseline, model), labels, strict=True)
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
    try:
        return Generation.model_validate(content)
    except ValidationError as error:
        raise ConfigError(problems_in_words(error, lambda at: ".".join(["answers", *map(str, at)]))) from error


class Labels(NamedTuple):
    """What a generation's tables call the two."""

    baseline: str
    model: str


def labels_of(manifest: GenerationManifest) -> Labels:
    """Of a finished generation."""
    return Labels(*(policy["label"] for policy in manifest.config["policies"]))


def _labels(baseline: FoundPolicy, model: FoundPolicy) -> Labels:
    """A model's own, whatever recipes call it and whoever it is held against: labels are part of the answers' seeds."""
    names = [
        "m" + content_hash(str(one.model.identity), one.config.model_dump_json(include=_SAMPLED_BY))
        for one in (baseline, model)
    ]
    return Labels(names[0], names[1] if names[1] != names[0] else f"{names[1]}_again")


def made(plan: GenerationPlan, pay: Pay) -> GenerationManifest:
    """Answer and judge what is not there yet.

    Args:
        plan: of a generation as `generation_of` has it.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
    """
    from flows.generate.flow import make  # with Prefect, which nobody needs to find out that nothing changed

    return plan.finished or make(plan, plan.folder, pay)
