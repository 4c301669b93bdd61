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
from flows.train.rows import FoundRows, chat_of_rows, find_rows, holds_rows
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
    data: FoundRun | FoundRows
    objective: BoundObjective | None  # of a policy from preferences
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
    def run(self) -> FoundRun:
        """The curated run.

        Raises:
            ConfigError: rows are trained on.
        """
        if isinstance(self.data, FoundRows):
            message = (
                f"{self.recipe.dataset.path} holds rows of prompts and completions, and a curated run is needed here: "
                "name the folder of one (python -m flows.curate)"
            )
            raise ConfigError(message)
        return self.data

    @property
    def template(self) -> str | None:
        """The chat template that makes the ids, where a recipe named one in place of the model's own."""
        if isinstance(self.data, FoundRows):
            return self.data.template
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
        SourceError: no curated run there, and no rows that could be learned.
        ModelError: no such model, one with another tokenizer than the run's, or without a chat template for rows.
    """
    check_trackers(recipe.report_to)
    chosen = None if recipe.objective is None else objective(recipe.objective.name, **recipe.objective.settings)
    data = find_data(recipe)
    dtype = recipe.memory.dtype
    loaded_in = weights_dtype(dtype, recipe.lora) if recipe.head is None else dtype
    model = resolve_model(recipe.model.model, recipe.model.revision, dtype=loaded_in, engine="transformers")
    reward = reference = None
    if isinstance(data, FoundRows):
        chat = chat_of_rows(model, data)
    else:
        chat = tokens_of_run(model, data.manifest, run=recipe.dataset.path, role="model")
        reward = _all_responses(data, chosen, chat) if recipe.dataset.responses == "all" else None
    reads = chosen is not None and ("reference" in chosen.needs or recipe.kl_reference)
    if reads and isinstance(data, FoundRun):
        # As the policy computes before its first step: other rounding would be a margin that nothing was learnt for.
        of = recipe.reference or recipe.model
        reference = find_causal(of.model, of.revision, dtype=loaded_in, cast_to=dtype)
        if recipe.reference is not None:
            tokens_of_run(reference.model, data.manifest, run=recipe.dataset.path, role="reference")
    elif recipe.reference is not None:
        message = f"{recipe.objective and recipe.objective.name} reads no reference: leave reference out, or log how "
        message += "far the policy goes from it with kl_reference: true"
        raise ConfigError(message)
    context = context_length(model.location, model.revision)
    settings = recipe.settings() | data.content
    other = reference.model if reference is not None and recipe.reference is not None else None
    models = [found.identity for found in (model, reward.model if reward else None, other) if found]
    fingerprint = evaluation_fingerprint(settings, [], models)
    return TrainingPlan(
        recipe=recipe,
        data=data,
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


def find_data(recipe: TrainingRecipe) -> FoundRun | FoundRows:
    """What the recipe trains on: rows where it learns completions and a file or folder of them lies there, else a run.

    Raises:
        ConfigError: a key of `dataset` that means nothing for what lies there.
        SourceError: neither lies there.
    """
    dataset = recipe.dataset
    if recipe.kind == "sft" and holds_rows(dataset.path):
        return find_rows(dataset)
    if dataset.chat_template is not None:
        message = (
            f"dataset.chat_template is of rows, and {dataset.path} is a run, whose ids are made; leave it out, or name "
            "a file or folder of rows"
        )
        raise ConfigError(message)
    return find_run(dataset)


def _all_responses(run: FoundRun, chosen: BoundObjective | None, chat: ChatTokens) -> RunReward:
    if chosen is None or "reward" not in chosen.needs or chosen.objective.pairwise:
        able = [name for name, one in OBJECTIVES.items() if "reward" in one.needs and not one.pairwise]
        message = (
            f"dataset.responses: all is for objectives of single responses and their rewards ({', '.join(able)}), and "
            f"{'bradley_terry' if chosen is None else chosen.objective.name} is none: use dataset.responses: pairs"
        )
        raise ConfigError(message)
    return find_reward(run, chat)
