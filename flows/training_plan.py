"""What a training would do: data, model and objective found and checked, and whether its result is there already."""

from dataclasses import dataclass
from pathlib import Path

from flows.fingerprint import evaluation_fingerprint
from flows.references import Reference, find_reference
from flows.training_config import TrainingRecipe
from flows.training_data import FoundRun, find_run
from flows.training_output import finished_training
from flows.training_record import TrainingRecord
from trainers.objectives import BoundObjective, objective
from trainers.policies import weights_dtype
from transforms.engines.models import ResolvedModel, resolve_model
from transforms.engines.tokenizer import context_length, load_tokenizer, vocabulary_size
from transforms.errors import ModelError
from transforms.paths import cache_dir
from transforms.tokens import ChatTokens


@dataclass(frozen=True)
class TrainingPlan:
    """A recipe with everything that it names found and identified."""

    recipe: TrainingRecipe
    run: FoundRun
    objective: BoundObjective | None  # of a policy; None for a reward model
    model: ResolvedModel  # in the dtype that its weights are loaded in
    reference: Reference | None  # the same model in the dtype it is read in; None where the objective reads none
    context: int  # tokens of prompt and response together
    vocabulary: int
    fingerprint: str  # of recipe, data, model and code
    finished: TrainingRecord | None  # what lies in the output folder, if it is exactly this one

    @property
    def folder(self) -> Path:
        """Where the result goes."""
        return Path(self.recipe.output.dir)

    @property
    def ledger(self) -> str:
        """Where reference log-probs are kept."""
        return self.recipe.ledger or str(cache_dir() / "ledger")


def plan_training(recipe: TrainingRecipe) -> TrainingPlan:
    """Find run and model; no weights are loaded, except that the starter model is made once.

    Raises:
        ConfigError: an objective that is unknown, or settings that it does not have.
        SourceError: no curated run there.
        ModelError: no such model, or one with another tokenizer than the run's.
    """
    chosen = None if recipe.objective is None else objective(recipe.objective.name, **recipe.objective.settings)
    run = find_run(recipe.dataset)
    dtype = recipe.memory.dtype
    loaded_in = weights_dtype(dtype, recipe.lora) if recipe.head is None else dtype
    model = resolve_model(recipe.model.model, recipe.model.revision, dtype=loaded_in, engine="transformers")
    _check_tokenizer(model, run)
    reference = None
    if chosen is not None and "reference" in chosen.needs:
        reference = find_reference(recipe.model.model, recipe.model.revision, dtype=dtype)
    context = context_length(model.location, model.revision)
    settings = recipe.settings() | run.content
    fingerprint = evaluation_fingerprint(settings, [], [model.identity])
    return TrainingPlan(
        recipe=recipe,
        run=run,
        objective=chosen,
        model=model,
        reference=reference,
        context=min(context, recipe.dataset.max_length or context),
        vocabulary=vocabulary_size(model.location, model.revision),
        fingerprint=fingerprint,
        finished=finished_training(Path(recipe.output.dir), fingerprint),
    )


def _check_tokenizer(model: ResolvedModel, run: FoundRun) -> None:
    """The shards hold ids, so the model must read them as the run's tokenizer wrote them."""
    chat = ChatTokens(load_tokenizer(model.location, model.revision))
    made = run.manifest.tokenizer
    if chat.sha256 != made.sha256:
        message = (
            f"{model.identity.name} has another tokenizer or chat template ({chat.sha256[:12]}…) than {made.name} "
            f"({made.sha256[:12]}…), which made the ids of {run.dataset.path}: they would mean other tokens. Train the "
            "model that the run was curated for, or curate with this one's tokenizer (tokenizer: …)"
        )
        raise ModelError(message)
