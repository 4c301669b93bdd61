"""What a comparison of decoding rules would do: its models found and checked, and whether its result is there."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from flows.decode.config import DecodeConfig
from flows.decode.files import PAGE, RESULT, TABLE, of_another_command
from flows.models import recipe_models as models
from flows.recipe.curation import Recipe
from flows.recipe.models import RewardConfig
from flows.versions.fingerprint import evaluation_fingerprint, source_records
from flows.versions.run_record import QUARANTINE
from flows.versions.version import open_folder, recipe_of
from transforms.chat.template import DEFAULT_DATE
from transforms.chat.tokens import ChatTokens
from transforms.engines.models import ResolvedModel, resolve_model
from transforms.engines.tokenizer import check_same_vocabulary, context_length
from transforms.errors import ConfigError, OutputError
from transforms.paths import ledger_root
from transforms.records.decoding import Decodings
from transforms.records.manifest import Manifest, SourceRecord


@dataclass(frozen=True)
class DecodePlan:
    """A configuration with everything that it names found and identified."""

    config: DecodeConfig
    name: str  # of the curated run; without one, of the output folder
    version: str | None  # of the run's dataset
    sources: list[SourceRecord]  # of the prompts; none for the run's test split
    chat: ChatTokens
    policy: ResolvedModel
    reference: ResolvedModel
    context: int  # tokens that both models read
    reward: ResolvedModel
    reward_config: RewardConfig
    today: date  # that the reward model's chat template is told
    ledger: str
    fingerprint: str
    finished: Decodings | None  # what lies in the output folder, if it is exactly this

    @property
    def settings(self) -> dict[str, Any]:
        """For decode.json."""
        config = self.config
        found: dict[str, Any] = {"run": None if config.run is None else str(config.run), **config.settings()}
        if config.chat_template is not None or config.chat_template_kwargs:
            found |= {"chat_template": config.chat_template, "chat_template_kwargs": config.chat_template_kwargs}
        return found


class _Lent(NamedTuple):
    """What a run lends, or what stands for it where there is none."""

    name: str
    version: str | None
    reference: tuple[str, str | None]
    reward: RewardConfig
    today: date
    ledger: str | None


def plan_decoding(config: DecodeConfig) -> DecodePlan:
    """Find prompts, run and models; no weights are loaded, except that the starter models are made once.

    Raises:
        SourceError: no finished run there, or a source of prompts that cannot be reached.
        ConfigError: the run names no reference or reward model and neither do the flags, it is of another
            release, or `max_tokens` leaves no room for a prompt.
        ModelError: a model that cannot be found, that reads other tokens than the run's, or without a run other
            tokens than the policy.
        OutputError: prompts of sources are answered, and the output folder is another command's.
    """
    manifest = None if config.run is None else open_folder(config.run).manifest
    lent = _from_run(config, manifest) if manifest else _from_config(config)
    if config.prompts:
        _refuse_others(config.out)
    sources = source_records(config.prompts)
    policy = _resolve(config, config.policy, config.policy_revision)
    reference = _resolve(config, *lent.reference)
    chat = _chat_of_run(config, manifest, policy, reference) if manifest else _chat_of_policy(config, policy, reference)
    reward = models.resolve_reward(lent.reward, lambda: chat)
    content = {
        "decode": config.settings(),
        "version": lent.version,
        "reward": lent.reward.model_dump(mode="json"),
    }
    if manifest is None:  # a run's version decides its template; no identity of a model has it
        content["tokens"] = chat.sha256
    fingerprint = evaluation_fingerprint(content, sources, [policy.identity, reference.identity, reward.identity])
    context = min(
        context_length(model.location, model.revision, trust_remote_code=config.trust_remote_code)
        for model in (policy, reference)
    )
    if config.max_tokens >= context:
        message = f"--max-tokens {config.max_tokens} leaves no room for a prompt: the models read {context} tokens"
        raise ConfigError(message)
    return DecodePlan(
        config=config,
        name=lent.name,
        version=lent.version,
        sources=sources,
        chat=chat,
        policy=policy,
        reference=reference,
        context=context,
        reward=reward,
        reward_config=lent.reward,
        today=lent.today,
        ledger=ledger_root(config.ledger or lent.ledger),
        fingerprint=fingerprint,
        finished=_finished(config, fingerprint),
    )


def _from_run(config: DecodeConfig, manifest: Manifest) -> _Lent:
    recipe = recipe_of(manifest, str(config.run))
    reward = _reward(config, recipe)
    reference = _reference(config, recipe)
    return _Lent(manifest.name, manifest.version, reference, reward, recipe.chat_template_date, recipe.ledger)


def _from_config(config: DecodeConfig) -> _Lent:
    if config.reference is None or config.reward is None:  # the configuration has said so already
        message = "without a run, --reference and --reward are to be named"
        raise ConfigError(message)
    reference = config.reference, config.reference_revision
    return _Lent(config.out.name, None, reference, RewardConfig(model=config.reward), DEFAULT_DATE, None)


def _chat_of_run(
    config: DecodeConfig, manifest: Manifest, policy: ResolvedModel, reference: ResolvedModel
) -> ChatTokens:
    run, trust = str(config.run), config.trust_remote_code
    chat, _ = (
        models.tokens_of_run(model, manifest, run=run, role=role, trust_remote_code=trust)
        for model, role in ((policy, "policy"), (reference, "reference"))
    )
    return chat


def _chat_of_policy(config: DecodeConfig, policy: ResolvedModel, reference: ResolvedModel) -> ChatTokens:
    """The policy's own template; a reference needs none, since it is given the same ids, but has to read them alike."""
    chat = models.chat_of(policy, config, DEFAULT_DATE)
    check_same_vocabulary(
        (policy.location, policy.revision),
        (reference.location, reference.revision),
        trust_remote_code=config.trust_remote_code,
    )
    return chat


def _refuse_others(folder: Path) -> None:
    if found := of_another_command(folder):
        message = (
            f"{folder} holds {found} of another command, and bad prompts go to {QUARANTINE} there; choose another --out"
        )
        raise OutputError(message)


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


def _finished(config: DecodeConfig, fingerprint: str) -> Decodings | None:
    folder, names = config.out, [RESULT, TABLE, PAGE, *([QUARANTINE] if config.prompts else [])]
    if not all((folder / name).is_file() for name in names):
        return None
    try:
        found = Decodings.model_validate_json((folder / RESULT).read_bytes())
    except ValidationError:
        return None  # of another version of this project
    return found if found.fingerprint == fingerprint else None
