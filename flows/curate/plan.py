"""What a run would do, before it does anything: sources, models, and whether the result is there already."""

from dataclasses import dataclass
from pathlib import Path

from flows.models.recipe_models import Models
from flows.recipe.curation import Recipe
from flows.versions.fingerprint import run_fingerprint, source_records
from flows.versions.output_folder import finished_run
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


def plan_run(recipe: Recipe) -> Plan:
    """Find sources and models; nothing heavy is loaded, except that the starter models are made once."""
    sources = source_records(recipe.sources)
    models = Models(recipe)
    fingerprint = run_fingerprint(recipe, models, sources)
    folder = Path(recipe.output.dir)
    models = _ahead.pop(fingerprint, models)
    return Plan(recipe, folder, sources, models, fingerprint, finished_run(folder, fingerprint))


def load_ahead(plan: Plan) -> None:
    """Read the tokenizer of a run that goes on, for the next `plan_run` of it in this process.

    It is handed on once: a template remembers whether it was asked for the date, and that goes into the manifest.

    Raises:
        ModelError: it cannot be used.
    """
    plan.models.load()
    _ahead[plan.fingerprint] = plan.models
