"""What a comparison of decoding rules would do: its models found and checked, and whether its result is there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from flows.decode.config import DecodeConfig
from flows.models import recipe_models as models
from flows.recipe.curation import Recipe
from flows.recipe.models import RewardConfig
from flows.versions.fingerprint import evaluation_fingerprint
from flows.versions.version import open_folder
from transforms.chat.tokens import ChatTokens
from transforms.engines.models import ResolvedModel, resolve_model
from transforms.engines.tokenizer import context_length
from transforms.errors import ConfigError
from transforms.paths import ledger_root
from transforms.records.decoding import Decodings
from transforms.records.manifest import Manifest

RESULT: Final = "decode.json"  # written last: it says that the others are there
TABLE: Final = "decode.parquet"
PAGE: Final = "decode.html"


@dataclass(frozen=True)
class DecodePlan:
    """A configuration with everything that it names found and identified."""

    config: DecodeConfig
    manifest: Manifest  # of the curated run
    chat: ChatTokens
    policy: ResolvedModel
    reference: ResolvedModel
    context: int  # tokens that both models read
    reward: ResolvedModel
    reward_config: RewardConfig
    ledger: str
    fingerprint: str
    finished: Decodings | None  # what lies in the output folder, if it is exactly this


def plan_decoding(config: DecodeConfig) -> DecodePlan:
    """Find run and models; no weights are loaded, except that the starter models are made once.

    Raises:
        SourceError: no finished run there.
        ConfigError: the run names no reference or reward model and neither do the flags, it is of another
            release, or `max_tokens` leaves no room for a prompt.
        ModelError: a model that cannot be found, or that reads other tokens than the run's.
    """
    version = open_folder(config.run)
    manifest, recipe = version.manifest, version.recipe
    policy = _resolve(config, config.policy, config.policy_revision)
    reference = _resolve(config, *_reference(config, recipe))
    trust = config.trust_remote_code
    chat, _ = (
        models.tokens_of_run(model, manifest, run=config.run, role=role, trust_remote_code=trust)
        for model, role in ((policy, "policy"), (reference, "reference"))
    )
    reward_config = _reward(config, recipe)
    reward = models.resolve_reward(reward_config, lambda: chat)
    fingerprint = evaluation_fingerprint(
        {
            "decode": config.model_dump(mode="json", exclude={"run", "out"}),
            "version": manifest.version,
            "reward": reward_config.model_dump(mode="json"),
        },
        [],
        [policy.identity, reference.identity, reward.identity],
    )
    context = min(
        context_length(model.location, model.revision, trust_remote_code=config.trust_remote_code)
        for model in (policy, reference)
    )
    if config.max_tokens >= context:
        message = f"--max-tokens {config.max_tokens} leaves no room for a prompt: the models read {context} tokens"
        raise ConfigError(message)
    ledger = ledger_root(recipe.ledger)
    finished = _finished(config.out, fingerprint)
    return DecodePlan(
        config, manifest, chat, policy, reference, context, reward, reward_config, ledger, fingerprint, finished
    )


def _resolve(config: DecodeConfig, name: str, revision: str | None) -> ResolvedModel:
    return resolve_model(
        name, revision, dtype=config.dtype, engine="transformers", trust_remote_code=config.trust_remote_code
    )


def _reference(config: DecodeConfig, recipe: Recipe) -> tuple[str, str | None]:
    if config.reference is not None:
        return config.reference, config.reference_revision
    if recipe.policy.engine == "server":
        message = f"the policy of the run {recipe.name} is on a server, which gives no weights: name --reference"
        raise ConfigError(message)
    if recipe.policy.lora is not None:
        message = (
            f"the policy of the run {recipe.name} is {recipe.policy.model} with the adapter {recipe.policy.lora}, and "
            "decoding reads whole models: name --reference"
        )
        raise ConfigError(message)
    return recipe.policy.model, recipe.policy.revision


def _reward(config: DecodeConfig, recipe: Recipe) -> RewardConfig:
    if config.reward is not None:
        return RewardConfig(model=config.reward)
    if recipe.reward is None:
        message = f"the run {recipe.name} has no reward model to score responses with: name --reward"
        raise ConfigError(message)
    return recipe.reward


def _finished(folder: Path, fingerprint: str) -> Decodings | None:
    if not all((folder / name).is_file() for name in (RESULT, TABLE, PAGE)):
        return None
    try:
        found = Decodings.model_validate_json((folder / RESULT).read_bytes())
    except ValidationError:
        return None  # of another version of this project
    return found if found.fingerprint == fingerprint else None
