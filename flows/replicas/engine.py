"""What a replica loads and asks, in words that travel to another process or machine."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from flows.models.crew import Closable, Paid
from flows.recipe.models import PolicyConfig, RewardConfig
from transforms.asking.requests import LogProbRequest
from transforms.engines.models import STARTER, Dtype, ResolvedModel, is_folder
from transforms.engines.protocol import LOCAL, CompletionRequest, ModelIdentity, Progress, Sampling, ScoreRequest
from transforms.engines.starter_model import NAME as STARTER_NAME
from transforms.errors import ModelError

Role = Literal["policy", "reward", "reference"]
REQUESTS: Final[dict[Role, type[Any]]] = {
    "policy": CompletionRequest,
    "reward": ScoreRequest,
    "reference": LogProbRequest,
}


class Opened(NamedTuple):
    """A loaded engine and how it is asked."""

    engine: Closable
    ask: Callable[[Any, Sequence[Any], Progress], Paid]


@dataclass(frozen=True)
class ReplicaSpec:
    """One model with all that decides its answers, as plain JSON can say it.

    Attributes:
        role: its part in the run.
        identity: what every replica must turn out to be.
        settings: of the role; paths mean the same on every machine.
        gpus: that one replica needs where there are any.
    """

    role: Role
    identity: ModelIdentity
    settings: dict[str, Any]
    gpus: int = 1

    def to_json(self) -> str:
        """All of it."""
        identity = {name: getattr(self.identity, name) for name in ModelIdentity.__dataclass_fields__}
        return json.dumps({"role": self.role, "identity": identity, "settings": self.settings, "gpus": self.gpus})

    @classmethod
    def from_json(cls, text: str) -> "ReplicaSpec":
        """As `to_json` wrote it."""
        content = json.loads(text)
        return cls(content["role"], ModelIdentity(**content["identity"]), content["settings"], content["gpus"])

    def open(self) -> Opened:
        """Find the model here, make sure that it is the one, and load it.

        Raises:
            ModelError: it is not here, is another one here, or cannot be loaded.
        """
        return {"policy": _open_policy, "reward": _open_reward, "reference": _open_reference}[self.role](self)


def policy_spec(model: ResolvedModel, config: PolicyConfig, sampling: Sampling, longest: int | None) -> ReplicaSpec:
    """A policy that samples.

    Args:
        model: as found.
        config: how it is loaded.
        sampling: the distribution of all its completions.
        longest: prompt and new tokens together at most; None: the model's context.
    """
    own = config.model_dump(mode="json", include=set(PolicyConfig.model_fields)) | _named(model)
    if config.lora is not None and is_folder(config.lora):
        own["lora"] = _absolute(config.lora)
    elif config.lora is not None:
        own["lora_revision"] = model.identity.adapter
    settings = {"config": own, "sampling": sampling.facts(), "longest": longest}
    return ReplicaSpec("policy", model.identity, settings, config.tensor_parallel)


def reward_spec(model: ResolvedModel, config: RewardConfig) -> ReplicaSpec:
    """A reward model that scores."""
    own = config.model_dump(mode="json", include=set(RewardConfig.model_fields)) | _named(model)
    return ReplicaSpec("reward", model.identity, {"config": own}, config.tensor_parallel)


def reference_spec(
    model: ResolvedModel, *, cast_to: Dtype | None, trust_remote_code: bool, batch_tokens: int
) -> ReplicaSpec:
    """A frozen policy that reads log-probs.

    Args:
        model: as found.
        cast_to: another dtype that layers compute in.
        trust_remote_code: of the model's repository.
        batch_tokens: of a forward pass, padding included.
    """
    settings = {**_named(model), "cast_to": cast_to, "trust_remote_code": trust_remote_code}
    return ReplicaSpec("reference", model.identity, settings | {"batch_tokens": batch_tokens})


def _named(model: ResolvedModel) -> dict[str, Any]:
    """The model as a recipe would name it, at its commit."""
    if model.identity.name == STARTER_NAME and model.identity.revision == LOCAL:
        return {"model": STARTER, "revision": None}  # each machine takes it out of the package
    return {
        "model": _absolute(model.location) if model.revision is None else model.location,
        "revision": model.revision,
    }


def _absolute(folder: str) -> str:
    return str(Path(folder).expanduser().absolute())


def _open_policy(spec: ReplicaSpec) -> Opened:
    from functools import partial

    from flows.models.recipe_models import open_sampler, resolve_policy
    from flows.models.sampling import ask_policy

    config = PolicyConfig(**spec.settings["config"])
    model = resolve_policy(config)
    _check_same(spec, model.identity)
    facts = spec.settings["sampling"]
    sampling = Sampling(**facts | {"stop_token_ids": tuple(facts["stop_token_ids"])})
    return Opened(open_sampler(model, config, spec.settings["longest"]), partial(ask_policy, sampling))


def _open_reward(spec: ReplicaSpec) -> Opened:
    from flows.models.recipe_models import open_reward, resolve_reward
    from flows.models.scoring import ask_reward

    config = RewardConfig(**spec.settings["config"])
    model = resolve_reward(config)
    _check_same(spec, model.identity)
    return Opened(open_reward(model, config), ask_reward)


def _open_reference(spec: ReplicaSpec) -> Opened:
    from flows.models.log_probs import ask_frozen, find_causal, open_frozen

    own = spec.settings
    causal = find_causal(
        own["model"],
        own["revision"],
        dtype=spec.identity.dtype,  # type: ignore[arg-type]
        cast_to=own["cast_to"],
        trust_remote_code=own["trust_remote_code"],
    )
    _check_same(spec, causal.model.identity)
    return Opened(open_frozen(causal, own["batch_tokens"]), ask_frozen)


def _check_same(spec: ReplicaSpec, found: ModelIdentity) -> None:
    """Refuse to answer in another model's name. A folder may hold another one on another machine."""
    if replace(found, name=spec.identity.name) == spec.identity:
        return
    wanted = spec.identity.facts()
    other = {name: value for name, value in found.facts().items() if value != wanted.get(name) and name != "name"}
    told = ", ".join(f"{name} {value} in place of {wanted.get(name)}" for name, value in sorted(other.items()))
    message = (
        f"{spec.settings.get('config', spec.settings)['model']} is another model here than where the run began: "
        f"{told}. Copy it to every machine, or put it on a disk that all of them see"
    )
    raise ModelError(message)
