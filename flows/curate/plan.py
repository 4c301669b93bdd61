"""What a run would do, before it does anything: sources, models, and whether the result is there already."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows.generate.plan import GenerationPlan, plan_generation
from flows.models.recipe_models import Models
from flows.recipe.curation import CURATION_INDIFFERENT, GENERATED_FOLDER, Recipe
from flows.runtime.trackers import check_trackers
from flows.versions.copies import check_copy
from flows.versions.fingerprint import code_hash, fingerprint_of, source_records
from flows.versions.output_folder import finished_run
from transforms.engines.reward_inputs import template_file
from transforms.records.manifest import Manifest, SourceRecord

_ahead: dict[str, Models] = {}  # fingerprint of a run → its models


@dataclass(frozen=True)
class Plan:
    """A recipe with everything that it names found and identified."""

    recipe: Recipe
    folder: Path  # where the run goes
    sources: list[SourceRecord]
    models: Models
    fingerprint: str  # of recipe, sources, models and code
    finished: Manifest | None  # the run that lies there already, if it is exactly this one
    generation: GenerationPlan | None = None  # of the section `generate`

    def making(self, pairs: int) -> "Plan":
        """The same, generating another number of pairs."""
        if self.generation is None:
            return self
        config = self.generation.config.model_copy(update={"accept": pairs})
        generation = replace(self.generation, config=config, sources=_unread(self.generation.sources))
        return replace(self, sources=_unread(self.sources), generation=generation)


def plan_run(recipe: Recipe) -> Plan:
    """Find sources and models; nothing heavy is loaded, except that the starter models are made once.

    Raises:
        ConfigError: a tracker that is not installed.
        SourceError: a source that cannot be reached.
        ModelError: a model that is missing or cannot be used.
        OutputError: output.copy_to cannot be reached, or holds something else.
    """
    check_trackers(recipe.report_to)
    sources = source_records(recipe.sources)
    config = recipe.generation()
    generation = plan_generation(config) if config else None
    if generation:
        sources.append(_record_of(generation))
    models = Models(recipe)
    fingerprint = run_fingerprint(recipe, models, sources)
    folder = Path(recipe.output.dir)
    check_copy(recipe.output.copy_to, folder, fingerprint, overwrite=recipe.output.overwrite)
    models = _ahead.pop(fingerprint, models)
    return Plan(recipe, folder, sources, models, fingerprint, finished_run(folder, fingerprint), generation)


def _unread(sources: list[SourceRecord]) -> list[SourceRecord]:
    return [source.model_copy(update={"raw_rows": 0, "pairs": 0}) for source in sources]


def _record_of(generation: GenerationPlan) -> SourceRecord:
    """What is to be generated as a source: its fingerprint stands for what it will hold."""
    return SourceRecord(
        label=GENERATED_FOLDER,
        kind="generated",
        path=GENERATED_FOLDER,
        revision=None,
        fingerprint=generation.fingerprint,
        raw_rows=0,
        pairs=0,
    )


def load_ahead(plan: Plan) -> None:
    """Read the tokenizer of a run that goes on, for the next `plan_run` of it in this process.

    It is handed on once: a template remembers whether it was asked for the date, and that goes into the manifest.

    Raises:
        ModelError: it cannot be used.
    """
    plan.models.load()
    _ahead[plan.fingerprint] = plan.models


def run_fingerprint(recipe: Recipe, models: Models, sources: list[SourceRecord]) -> str:
    """16 hex digits: equal means that a rerun would give the same data."""
    content: dict[str, Any] = {
        "recipe": recipe.model_dump(mode="json", exclude=CURATION_INDIFFERENT),
        "sources": [[s.label, s.revision, s.fingerprint] for s in sources],
        "models": [str(model.identity) if model else None for model in (models.policy, models.reward)],
        "tokenizer": models.tokenizer,
        "reward_tokenizer": models.reward_tokenizer,
        "reward_template": template_file(recipe.reward.chat_template) if recipe.reward else None,
        "code": code_hash("flows", "transforms"),
    }
    return fingerprint_of(content)
