"""What a run would do, before it does anything: sources, models, and whether the result is there already."""

from dataclasses import dataclass
from pathlib import Path

from flows.models.recipe_models import Models, resolve_models
from flows.recipe.curation import Recipe
from flows.versions.fingerprint import run_fingerprint, source_records
from flows.versions.output_folder import finished_run
from transforms.records.manifest import Manifest, SourceRecord


@dataclass(frozen=True)
class Plan:
    """A recipe with everything that it names found and identified."""

    recipe: Recipe
    folder: Path  # where the run goes
    sources: list[SourceRecord]
    models: Models
    fingerprint: str  # of recipe, sources, models and code
    finished: Manifest | None  # the run that lies there already, if it is exactly this one


def plan_run(recipe: Recipe) -> Plan:
    """Find sources and models; nothing heavy is loaded, except that the starter models are made once."""
    sources = source_records(recipe.sources)
    models = resolve_models(recipe)
    fingerprint = run_fingerprint(recipe, models, sources)
    folder = Path(recipe.output.dir)
    return Plan(recipe, folder, sources, models, fingerprint, finished_run(folder, fingerprint))
