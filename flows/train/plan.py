"""What a training would do: data, model and objective found and checked, and whether its result is there already."""

from dataclasses import dataclass
from pathlib import Path

from flows.models.log_probs import Causal, find_causal
from flows.models.recipe_models import tokens_of_run
from flows.runtime.trackers import check_trackers
from flows.train.config import TrainingRecipe
from flows.train.output import finished_training
from flows.train.pairs import FoundRun, find_run
from flows.train.record import TrainingRecord
from flows.train.responses import RunReward, find_reward
from flows.versions.fingerprint import evaluation_fingerprint
from trainers.objectives import OBJECTIVES, BoundObjective, objective
from trainers.steps.trained_model import weights_dtype
from transforms.chat.tokens import ChatTokens
from transforms.engines.models import ResolvedModel, resolve_model
from transforms.engines.tokenizer import context_length, vocabulary_size
from transforms.errors import ConfigError
from transforms.paths import ledger_root


@dataclass(frozen=True)
class TrainingPlan:
    """A recipe with everything that it names found and identified."""

    recipe: TrainingRecipe
    run: FoundRun
    objective: BoundObjective | None  # of a policy; None for a reward model
    chat: ChatTokens
    model: ResolvedModel  # in the dtype that its weights are loaded in
    reward: RunReward | None  # of the run, where all its responses are trained on
    reference: Causal | None  # in the dtype it is read in; None where neither objective nor log reads one
    context: int  # tokens of prompt and response together
    vocabulary: int
    fingerprint: str  # of recipe, data, model and code
    finished: TrainingRecord | None  # what lies in the output folder, if it is exactly this one

    @property
    def folder(self) -> Path:
        """Where the result goes."""
        return Path(self.recipe.output.dir)

    @property
    def template(self) -> str | None:
        """The chat template that made the run's ids, where its recipe named one in place of the model's own."""
        return self.run.manifest.template.text if self.run.manifest.template else None

    @property
    def ledger(self) -> str:
        """Where reference log-probs are kept."""
        return ledger_root(self.recipe.ledger)


def plan_training(recipe: TrainingRecipe) -> TrainingPlan:
    """Find run and model; no weights are loaded, except that the starter model is made once.

    Raises:
        ConfigError: a tracker that is not installed; an objective that is unknown, or settings that it does not have;
            or all responses are asked for and the objective or the run cannot use them.
        SourceError: no curated run there.
        ModelError: no such model, or one with another tokenizer than the run's.
    """
    check_trackers(recipe.report_to)
    chosen = None if recipe.objective is None else objective(recipe.objective.name, **recipe.objective.settings)
    run = find_run(recipe.dataset)
    dtype = recipe.memory.dtype
    loaded_in = weights_dtype(dtype, recipe.lora) if recipe.head is None else dtype
    model = resolve_model(recipe.model.model, recipe.model.revision, dtype=loaded_in, engine="transformers")
    chat = tokens_of_run(model, run.manifest, run=recipe.dataset.path, role="model")
    reward = _all_responses(run, chosen, chat) if recipe.dataset.responses == "all" else None
    reference = None
    if chosen is not None and ("reference" in chosen.needs or recipe.kl_reference):
        # As the policy computes before its first step: other rounding would be a margin that nothing was learnt for.
        of = recipe.reference or recipe.model
        reference = find_causal(of.model, of.revision, dtype=loaded_in, cast_to=dtype)
        if recipe.reference is not None:
            tokens_of_run(reference.model, run.manifest, run=recipe.dataset.path, role="reference")
    elif recipe.reference is not None:
        message = f"{recipe.objective and recipe.objective.name} reads no reference: leave reference out, or log how "
        message += "far the policy goes from it with kl_reference: true"
        raise ConfigError(message)
    context = context_length(model.location, model.revision)
    settings = recipe.settings() | run.content
    other = reference.model if reference is not None and recipe.reference is not None else None
    models = [found.identity for found in (model, reward.model if reward else None, other) if found]
    fingerprint = evaluation_fingerprint(settings, [], models)
    return TrainingPlan(
        recipe=recipe,
        run=run,
        objective=chosen,
        chat=chat,
        model=model,
        reward=reward,
        reference=reference,
        context=min(context, recipe.dataset.max_length or context),
        vocabulary=vocabulary_size(model.location, model.revision),
        fingerprint=fingerprint,
        finished=finished_training(Path(recipe.output.dir), fingerprint),
    )


def _all_responses(run: FoundRun, chosen: BoundObjective | None, chat: ChatTokens) -> RunReward:
    if chosen is None or "reward" not in chosen.needs or chosen.objective.pairwise:
        able = [name for name, one in OBJECTIVES.items() if "reward" in one.needs and not one.pairwise]
        message = (
            f"dataset.responses: all is for objectives of single responses and their rewards ({', '.join(able)}), and "
            f"{'bradley_terry' if chosen is None else chosen.objective.name} is none: use dataset.responses: pairs"
        )
        raise ConfigError(message)
    return find_reward(run, chat)
