"""Which models a recipe names, resolved to what fixes their answers; opened only when a batch needs them."""

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol

from flows.models.starter_reward import STARTER_REWARD, starter_reward_model
from flows.recipe.curation import Recipe
from flows.recipe.models import PolicyConfig, RewardConfig
from flows.versions.version import recipe_of
from transforms.chat.probes import Probed, check
from transforms.chat.template import DEFAULT_DATE
from transforms.chat.tokens import ChatTokens
from transforms.engines.adapters import with_adapter
from transforms.engines.engine_settings import check_gpus, refuse_settings
from transforms.engines.models import STARTER, ResolvedModel, is_folder, resolve_model
from transforms.engines.protocol import CompletionEngine, ModelIdentity, RewardEngine
from transforms.engines.reward_inputs import RewardInputs, template_file
from transforms.engines.select import completion_engine, open_completions, open_rewards, reward_engine
from transforms.engines.server_completions import server_identity
from transforms.engines.stored_tokenizer import chat_tokenizer
from transforms.engines.tokenizer import context_length, load_tokenizer
from transforms.engines.tokenizer_files import TokenizerFiles, tokenizer_files
from transforms.errors import ModelError
from transforms.records.manifest import Manifest, ModelRecord

# Probes that ordinary rows are like: of the others, those rows say themselves that they cannot be used.
TOLD: Final = ("plain", "digit first", "code fence first", "CJK", "earlier turns")
logger = logging.getLogger(__name__)


class TemplateSettings(Protocol):
    """The keys of a configuration that say what a chat template is called with."""

    @property
    def trust_remote_code(self) -> bool: ...

    @property
    def chat_template(self) -> str | None: ...

    @property
    def chat_template_kwargs(self) -> dict[str, Any]: ...


class Models:
    """The models of one run, found and identified.

    Tokenizer and template are read when something is to be encoded, not before: whether a run is there already is
    decided by hashes.

    Args:
        recipe: names them. The starter reward model is trained if the recipe names it and it is not there.

    Attributes:
        tokenizer: hash of what makes the ids.
        reward_tokenizer: hash of what makes the reward model's; None where the recipe scores nothing.
        policy: None where the recipe samples nothing.
        reward: likewise.

    Raises:
        ModelError: a model that is missing.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._files = _chat_files(recipe)
        self.policy: ResolvedModel | None = None
        self.reward: ResolvedModel | None = None
        if recipe.policy.engine != "none" and recipe.reward is not None:
            self.policy = resolve_policy(recipe.policy)
            self.reward = resolve_reward(recipe.reward, lambda: self.chat)

    @cached_property
    def tokenizer(self) -> str:
        if self._files is None:  # nothing but the tokenizer itself says what it is
            return self.chat.sha256
        return _chat_hash(self._recipe, self._files)

    @property
    def tokenizer_commit(self) -> str | None:
        """Of a tokenizer on the Hub: what was hashed, and is read."""
        return self._files.revision if self._files else None

    @cached_property
    def reward_tokenizer(self) -> str | None:
        # The model's identity has the files with the usual names alone, and the ledger goes by the ids themselves.
        files = tokenizer_files(self.reward.location, self.reward.revision) if self.reward else None
        return files.sha256 if files else None

    @cached_property
    def chat(self) -> ChatTokens:
        """Tokenizer and chat template, which have passed the probes.

        Raises:
            ModelError: there is no fast tokenizer or no usable chat template.
        """
        return self._tried[0]

    @property
    def probes(self) -> list[Probed]:
        """What was tried on the chat template."""
        return self._tried[1]

    @cached_property
    def context(self) -> int | None:
        """Of the policy, in tokens; None where only its tokenizer is there."""
        return policy_context(self._recipe)

    def load(self) -> None:
        """Read tokenizer, template and config, so that what is wrong with them is said before anything is done.

        Raises:
            ModelError: a tokenizer, chat template or config that cannot be used.
        """
        _ = self.chat, self.context

    @cached_property
    def _tried(self) -> tuple[ChatTokens, list[Probed]]:
        # A branch may move, or its Hub be gone, between here and the hash: the commit that was hashed is read.
        chat = load_chat(self._recipe, None, self.tokenizer_commit)
        self._refuse_a_changed_tokenizer()
        probes = check(chat, without_reasoning=self._recipe.policy.without_reasoning)
        for probe in probes:
            if not probe.exact and probe.name in TOLD:
                logger.warning("rows like the probe %r will be quarantined: %s", probe.name, probe.why)
        return chat, probes

    def _refuse_a_changed_tokenizer(self) -> None:
        """Seconds lie between the hash and the reading: data of other files would pass for those of the hash."""
        now = _chat_files(self._recipe) if self._files and self._files.revision is None else self._files
        if now and self.tokenizer != _chat_hash(self._recipe, now):
            message = (
                f"the tokenizer {_chat_name(self._recipe)[0]}, its chat template or its config changed while it was "
                "read: run the command again"
            )
            raise ModelError(message)


def _chat_name(recipe: Recipe) -> tuple[str, str | None]:
    """Folder or Hub id of the tokenizer, and its revision."""
    return (recipe.tokenizer, None) if recipe.tokenizer else (recipe.policy.model, recipe.policy.revision)


def _chat_files(recipe: Recipe) -> TokenizerFiles | None:
    # Code that comes with a model may fetch what is in none of its files.
    return None if recipe.policy.trust_remote_code else tokenizer_files(*_chat_name(recipe))


def _chat_hash(recipe: Recipe, files: TokenizerFiles) -> str:
    """Hash of tokenizer, chat template and what says how much the policy reads."""
    template = template_file(recipe.policy.chat_template) or ""
    return sha256("\0".join([files.sha256, _config_hash(recipe), template]).encode()).hexdigest()


def _config_hash(recipe: Recipe) -> str:
    """Of the config that says how much the policy reads, where it lies beside another tokenizer than its own."""
    policy = recipe.policy
    if recipe.tokenizer is None:
        return ""
    if policy.engine == "none" and policy.model != STARTER and not is_folder(policy.model):
        # On the Hub, and no identity has its commit: nothing is sampled.
        files = tokenizer_files(policy.model, policy.revision)
        return files.sha256 if files else str(policy_context(recipe))
    file = Path(policy.model).expanduser() / "config.json"
    return sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def load_chat(recipe: Recipe, manifest: Manifest | None = None, commit: str | None = None) -> ChatTokens:
    """Tokenizer and chat template that make the recipe's ids, called as the recipe says.

    Args:
        recipe: names them.
        manifest: of a run of the recipe: it keeps the text of a template that came from a file.
        commit: of a tokenizer on the Hub, where its branch has been asked for already.

    Raises:
        ModelError: there is no fast tokenizer or no usable chat template, or the template has no such argument.
    """
    policy = recipe.policy
    name, revision = _chat_name(recipe)
    kept = manifest.template if manifest else None
    template = kept.text if kept else template_file(policy.chat_template)
    return _chat(policy, name, commit or revision, template, recipe.chat_template_date)


def chat_of(model: ResolvedModel, config: TemplateSettings, today: date) -> ChatTokens:
    """A model's own tokens, as an evaluation reads labelled pairs in them.

    Args:
        model: a policy or a reward model.
        config: says what its chat template is called with.
        today: the day that the template is told.

    Raises:
        ModelError: as `load_chat`, or plain responses cannot be had token for token.
    """
    template = template_file(config.chat_template)
    tokenizer = chat_tokenizer(
        model.location, model.revision, trust_remote_code=config.trust_remote_code, template=template
    )
    chat = ChatTokens(tokenizer, template=template, kwargs=config.chat_template_kwargs, today=today)
    check(chat)
    return chat


def chat_of_policy(config: PolicyConfig, tokenizer: str | None, today: date, commit: str | None = None) -> ChatTokens:
    """Tokenizer and chat template of a policy, called as its section says.

    Args:
        config: of the policy.
        tokenizer: Hub id or folder, where it is another than the policy's.
        today: the day that the template is told.
        commit: of a tokenizer on the Hub, where its branch has been asked for already.

    Raises:
        ModelError: there is no fast tokenizer or no usable chat template, or the template has no such argument.
    """
    name, revision = (tokenizer, None) if tokenizer else (config.model, commit or config.revision)
    template = template_file(config.chat_template)
    return _chat(config, name, revision, template, today)


def _chat(config: PolicyConfig, name: str, revision: str | None, template: str | None, today: date) -> ChatTokens:
    tokenizer = chat_tokenizer(name, revision, trust_remote_code=config.trust_remote_code, template=template)
    chat = ChatTokens(
        tokenizer, template=template, kwargs=config.chat_template_kwargs, today=today, reasoning=config.reasoning
    )
    unknown = [key for key in config.chat_template_kwargs if not chat.template.names(key)]
    if unknown:
        message = (
            f"policy.chat_template_kwargs: the chat template of {name} knows no {', '.join(unknown)}; the names "
            "that it knows stand in its text (tokenizer_config.json or chat_template.jinja)"
        )
        raise ModelError(message)
    return chat


def policy_context(recipe: Recipe) -> int | None:
    """Positions of the policy; None for a folder that holds a tokenizer only."""
    policy = recipe.policy
    # A server may call its model anything; the tokenizer's folder then tells the context.
    served = policy.engine == "server" and recipe.tokenizer is not None
    name = recipe.tokenizer if served and recipe.tokenizer else policy.model
    if is_folder(name) and not (Path(name).expanduser() / "config.json").is_file():
        return None
    revision = None if served else policy.revision
    return context_length(name, revision, trust_remote_code=policy.trust_remote_code)


def open_policy(model: ResolvedModel, recipe: Recipe, context: int | None) -> CompletionEngine:
    """Load the policy of a curation in the engine that its identity names."""
    return open_sampler(model, recipe.policy, longest_of(recipe, context))


def longest_of(recipe: Recipe, context: int | None) -> int | None:
    """Prompt and new tokens together, at most. A model that could read 128k tokens must not reserve memory for them."""
    if context and recipe.truncate.max_length:
        return min(context, recipe.truncate.max_length + recipe.sampling.max_new_tokens)
    return context


def open_sampler(model: ResolvedModel, config: PolicyConfig, longest: int | None) -> CompletionEngine:
    """Load a policy in the engine that its identity names.

    Args:
        model: as found.
        config: how it is loaded.
        longest: prompt and new tokens together at most; None: the model's context.
    """
    return open_completions(
        model,
        trust_remote_code=config.trust_remote_code,
        max_model_len=longest,
        max_num_seqs=config.max_concurrency,
        kv_cache_gib=config.kv_cache_gib,
        tensor_parallel=config.tensor_parallel,
        gpu_memory_utilization=config.gpu_memory_utilization,
        url=config.url,
        api_key_env=config.api_key_env,
        max_concurrency=config.max_concurrency or 64,
    )


def open_reward(model: ResolvedModel, config: RewardConfig) -> RewardEngine:
    """Load the reward model in the engine that its identity names."""
    return open_rewards(
        model,
        trust_remote_code=config.trust_remote_code,
        max_tokens_per_batch=config.max_tokens_per_batch,
        tensor_parallel=config.tensor_parallel,
        gpu_memory_utilization=config.gpu_memory_utilization,
    )


def tokens_of_run(
    model: ResolvedModel, manifest: Manifest, *, run: str | Path, role: str, trust_remote_code: bool = False
) -> ChatTokens:
    """The model's tokenizer, which must be the one that made a run's ids.

    Args:
        model: what is to read the ids.
        manifest: of the run.
        run: where it lies, for the message.
        role: the model's part in this, for the message.

    Raises:
        ModelError: it has another vocabulary, other merges or another chat template.
    """
    called: dict[str, Any] = {}
    if manifest.template:  # what it was called with decides the ids, whoever reads them now
        config = recipe_of(manifest, str(run))
        called = {
            "template": manifest.template.text,
            "kwargs": manifest.template.kwargs,
            "today": config.chat_template_date,
            "reasoning": manifest.template.reasoning,
        }
    tokenizer = chat_tokenizer(
        model.location, model.revision, trust_remote_code=trust_remote_code, template=called.get("template")
    )
    chat = ChatTokens(tokenizer, **called)
    made = manifest.tokenizer
    if chat.sha256 != made.sha256:
        message = (
            f"the {role} {model.identity.name} has another tokenizer or chat template ({chat.sha256[:12]}…) than "
            f"{made.name} ({made.sha256[:12]}…), which made the ids of {run}: they would mean other tokens. Use a "
            "model with that tokenizer, or curate with this one's (tokenizer: …)"
        )
        raise ModelError(message)
    return chat


def model_record(identity: ModelIdentity) -> ModelRecord:
    """A model as manifest and audit name it."""
    return ModelRecord(**asdict(identity))


def load_reward_inputs(model: ResolvedModel, config: RewardConfig, today: date = DEFAULT_DATE) -> RewardInputs:
    """The reward model's tokenizer and chat template, told the day `today`; the weights stay where they are."""
    return RewardInputs(
        model.location,
        model.revision,
        trust_remote_code=config.trust_remote_code,
        template=template_file(config.chat_template),
        kwargs=config.chat_template_kwargs,
        today=today,
        leaves_out=config.leaves_out,
    )


def resolve_policy(config: PolicyConfig) -> ResolvedModel:
    """The policy that a recipe names, as it will answer.

    Raises:
        ModelError: it is missing, or this machine cannot load it as asked.
    """
    if config.engine == "server":
        identity = server_identity(
            str(config.url),
            config.model,
            revision=config.revision,
            dtype=config.dtype,
            api_key_env=config.api_key_env,
        )
        return ResolvedModel(identity, config.model, None)
    engine = completion_engine(config.engine)
    refuse_settings("policy", engine, config.engine_settings())
    model = resolve_model(
        config.model,
        config.revision,
        dtype=config.dtype,
        engine=engine,
        trust_remote_code=config.trust_remote_code,
    )
    model = _as_vllm_loads("policy", model, config)
    if config.lora is None:
        return model
    return with_adapter(
        model,
        config.lora,
        config.lora_revision,
        template_given=config.chat_template is not None,
        trust_remote_code=config.trust_remote_code,
    )


def _as_vllm_loads(role: str, model: ResolvedModel, config: PolicyConfig | RewardConfig) -> ResolvedModel:
    """`model` with the settings in its identity that change answers, if this machine can do all of them."""
    check_gpus(
        role,
        model,
        tensor_parallel=config.tensor_parallel,
        gpu_memory_utilization=config.gpu_memory_utilization,
        trust_remote_code=config.trust_remote_code,
    )
    return model._replace(identity=replace(model.identity, quantization=config.quantization))


def resolve_reward(config: RewardConfig, chat: Callable[[], ChatTokens] | None = None) -> ResolvedModel:
    """The reward model that a recipe names; the starter's is trained if it is not there.

    Args:
        config: names it.
        chat: whose tokens the starter's is trained in, asked for only then; the starter policy's by default.
    """
    name: str | Path = config.model
    if name == STARTER_REWARD:
        name = starter_reward_model(chat or (lambda: ChatTokens(load_tokenizer(STARTER))))
    model = resolve_model(
        name,
        config.revision,
        dtype=config.dtype,
        engine=reward_engine(config.engine),
        trust_remote_code=config.trust_remote_code,
    )
    return _as_vllm_loads("reward", model, config)
