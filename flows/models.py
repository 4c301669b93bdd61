"""Which models a recipe names, resolved to what fixes their answers; opened only when a batch needs them."""

from dataclasses import asdict, dataclass
from pathlib import Path

from flows.config import PolicyConfig, Recipe, RewardConfig
from flows.starter import STARTER_REWARD, starter_reward_model
from transforms.engines.models import STARTER, ResolvedModel, is_folder, resolve_model
from transforms.engines.protocol import CompletionEngine, ModelIdentity, RewardEngine
from transforms.engines.reward_inputs import RewardInputs
from transforms.engines.select import completion_engine, open_completions, open_rewards, reward_engine
from transforms.engines.server_completions import server_identity
from transforms.engines.tokenizer import context_length, load_tokenizer
from transforms.errors import ModelError
from transforms.manifest import Manifest, ModelRecord
from transforms.tokens import ChatTokens


@dataclass(frozen=True)
class Models:
    """The models of one run. `policy` and `reward` are None where the recipe samples nothing."""

    chat: ChatTokens
    context: int | None  # of the policy; None where only its tokenizer is there
    policy: ResolvedModel | None
    reward: ResolvedModel | None


def resolve_models(recipe: Recipe) -> Models:
    """Find the recipe's models; trains the starter reward model if the recipe names it and it is not there.

    Raises:
        ModelError: a model, tokenizer or chat template that is missing or cannot be used.
    """
    chat = load_chat(recipe)
    context = policy_context(recipe)
    if recipe.policy.engine == "none" or recipe.reward is None:
        return Models(chat, context, None, None)
    return Models(chat, context, _resolve_policy(recipe.policy), resolve_reward(recipe.reward, chat))


def load_chat(recipe: Recipe) -> ChatTokens:
    """Tokenizer and chat template that make the recipe's ids."""
    policy = recipe.policy
    name = recipe.tokenizer or policy.model
    revision = policy.revision if recipe.tokenizer is None else None
    return ChatTokens(load_tokenizer(name, revision, trust_remote_code=policy.trust_remote_code))


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
    """Load the policy in the engine that its identity names."""
    config, longest = recipe.policy, context
    if context and recipe.truncate.max_length:
        # A model that could read 128k tokens must not reserve memory for them.
        longest = min(context, recipe.truncate.max_length + recipe.sampling.max_new_tokens)
    return open_completions(
        model,
        trust_remote_code=config.trust_remote_code,
        max_model_len=longest,
        max_num_seqs=config.max_concurrency,
        kv_cache_gib=config.kv_cache_gib,
        url=config.url,
        api_key_env=config.api_key_env,
        max_concurrency=config.max_concurrency or 64,
    )


def open_reward(model: ResolvedModel, config: RewardConfig) -> RewardEngine:
    """Load the reward model in the engine that its identity names."""
    return open_rewards(
        model, trust_remote_code=config.trust_remote_code, max_tokens_per_batch=config.max_tokens_per_batch
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
    chat = ChatTokens(load_tokenizer(model.location, model.revision, trust_remote_code=trust_remote_code))
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


def load_reward_inputs(model: ResolvedModel, config: RewardConfig) -> RewardInputs:
    """The reward model's tokenizer and chat template; the weights stay where they are."""
    return RewardInputs(model.location, model.revision, trust_remote_code=config.trust_remote_code)


def _resolve_policy(config: PolicyConfig) -> ResolvedModel:
    if config.engine == "server":
        identity = server_identity(
            str(config.url),
            config.model,
            revision=config.revision,
            dtype=config.dtype,
            api_key_env=config.api_key_env,
        )
        return ResolvedModel(identity, config.model, None)
    return resolve_model(
        config.model,
        config.revision,
        dtype=config.dtype,
        engine=completion_engine(config.engine),
        trust_remote_code=config.trust_remote_code,
    )


def resolve_reward(config: RewardConfig, chat: ChatTokens | None = None) -> ResolvedModel:
    """The reward model that a recipe names; the starter's is trained if it is not there.

    Args:
        config: names it.
        chat: whose tokens the starter's is trained in; the starter policy's by default.
    """
    name: str | Path = config.model
    if name == STARTER_REWARD:
        name = starter_reward_model(chat or ChatTokens(load_tokenizer(STARTER)))
    return resolve_model(
        name,
        config.revision,
        dtype=config.dtype,
        engine=reward_engine(config.engine),
        trust_remote_code=config.trust_remote_code,
    )
