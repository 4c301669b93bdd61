"""From a recipe's engine name to an engine. Heavy libraries are imported here, on opening, and not before."""

import logging
from dataclasses import replace
from typing import Literal

from transforms.engines.models import ResolvedModel
from transforms.engines.objectives import config_json, is_armorm
from transforms.engines.protocol import CompletionEngine, EngineName, PairEngine, PositionEngine, RewardEngine
from transforms.engines.vllm_process import vllm_installed
from transforms.errors import ConfigError
from transforms.precision import warn_if_slow

logger = logging.getLogger(__name__)


def completion_engine(name: str) -> EngineName:
    """The backend that `name` means here: `auto` is vLLM where it is installed, else transformers."""
    choices: dict[str, EngineName] = {"vllm": "vllm", "server": "server", "transformers": "transformers"}
    return _auto("completions") if name == "auto" else _choice(name, choices)


def reward_engine(name: str) -> EngineName:
    """The backend that `name` means here: `auto` is transformers, which supports every reward model."""
    choices: dict[str, EngineName] = {"auto": "transformers", "vllm": "vllm", "transformers": "transformers"}
    return _choice(name, choices)


def open_completions(
    model: ResolvedModel,
    *,
    trust_remote_code: bool = False,
    max_model_len: int | None = None,
    max_num_seqs: int | None = None,
    kv_cache_gib: float | None = None,
    tensor_parallel: int = 1,
    gpu_memory_utilization: float | None = None,
    url: str | None = None,
    api_key_env: str | None = None,
    max_concurrency: int = 64,
) -> CompletionEngine:
    """Load the model in the backend that its identity names.

    Args:
        model: what `resolve_model` found; for a server, its identity and its name there.
        trust_remote_code: run Python code that comes with the model.
        max_model_len: vLLM: prompt and new tokens together.
        max_num_seqs: vLLM and transformers: sequences that are sampled together.
        kv_cache_gib: vLLM: size of the key-value cache.
        tensor_parallel: vLLM: GPUs that share each layer.
        gpu_memory_utilization: vLLM: share of a GPU's memory for weights and cache.
        url: server: base URL.
        api_key_env: server: name of the variable that holds its key.
        max_concurrency: server: requests in flight.

    Raises:
        ModelError: the model cannot be loaded.
    """
    engine = model.identity.engine
    if engine != "server":
        warn_if_slow(model.identity.dtype, model.identity.name)
    if engine == "vllm":
        from transforms.engines.vllm_completions import VllmCompletions

        return VllmCompletions(
            model,
            trust_remote_code=trust_remote_code,
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs,
            kv_cache_gib=kv_cache_gib,
            tensor_parallel=tensor_parallel,
            gpu_memory_utilization=gpu_memory_utilization,
        )
    if engine == "server":
        from transforms.engines.server_completions import ServerCompletions

        if url is None:
            message = "the engine server needs the server's URL, e.g. http://127.0.0.1:8000/v1"
            raise ConfigError(message)
        return ServerCompletions(model, url=url, api_key_env=api_key_env, max_concurrency=max_concurrency)
    from transforms.engines.transformers_completions import TransformersCompletions

    return TransformersCompletions(model, trust_remote_code=trust_remote_code, max_num_seqs=max_num_seqs or 32)


def open_rewards(
    model: ResolvedModel,
    *,
    trust_remote_code: bool = False,
    max_tokens_per_batch: int = 8192,
    max_model_len: int | None = None,
    kv_cache_gib: float | None = None,
    tensor_parallel: int = 1,
    gpu_memory_utilization: float | None = None,
) -> RewardEngine:
    """Load the reward model in the backend that its identity names.

    Raises:
        ModelError: the checkpoint is no complete reward model, or cannot be loaded.
    """
    warn_if_slow(model.identity.dtype, model.identity.name)
    if model.identity.engine == "vllm":
        from transforms.engines.vllm_rewards import VllmRewards

        return VllmRewards(
            model,
            trust_remote_code=trust_remote_code,
            max_model_len=max_model_len,
            kv_cache_gib=kv_cache_gib,
            tensor_parallel=tensor_parallel,
            gpu_memory_utilization=gpu_memory_utilization,
        )
    if is_armorm(config_json(model.location, model.revision)):
        from transforms.engines.armorm import ArmoRm

        return ArmoRm(model, max_tokens_per_batch=max_tokens_per_batch)
    from transforms.engines.transformers_rewards import TransformersRewards

    return TransformersRewards(model, trust_remote_code=trust_remote_code, max_tokens_per_batch=max_tokens_per_batch)


def open_pair_ranker(model: ResolvedModel, *, max_tokens_per_batch: int = 8192) -> PairEngine:
    """Load a pair ranker.

    Raises:
        ModelError: the checkpoint is no complete PairRM, or cannot be loaded.
    """
    from transforms.engines.pairrm import PairRm

    return PairRm(model, max_tokens_per_batch=max_tokens_per_batch)


def on_gpu() -> bool:
    """Whether torch finds a GPU here."""
    import torch

    return bool(torch.cuda.is_available())


def open_positions(
    model: ResolvedModel, *, trust_remote_code: bool = False, max_tokens_per_batch: int = 8192
) -> PositionEngine:
    """Load the policy's weights in transformers, the one backend that shows whole distributions.

    Args:
        model: as resolved for completions, also for vLLM; the engine's own identity says transformers.
        trust_remote_code: run Python code that comes with the model.
        max_tokens_per_batch: padded tokens in one forward pass.

    Raises:
        ConfigError: the policy is on a server, which does not give its weights, or vLLM quantizes it on loading.
        ModelError: the model cannot be loaded.
    """
    if model.identity.engine == "server":
        message = (
            f"the policy {model.identity.name} is on a server, and position curves need its weights: name a folder"
            " or hub model, with the engine vllm or transformers"
        )
        raise ConfigError(message)
    if model.identity.quantization is not None:
        message = (
            f"the policy {model.identity.name} is quantized by vLLM ({model.identity.quantization}), which shows no "
            "whole distributions, and transformers would read weights that are not quantized"
        )
        raise ConfigError(message)
    from transforms.engines.transformers_positions import TransformersPositions

    here = model._replace(identity=replace(model.identity, engine="transformers"))
    return TransformersPositions(here, trust_remote_code=trust_remote_code, max_tokens_per_batch=max_tokens_per_batch)


def _auto(what: Literal["completions"]) -> EngineName:
    if vllm_installed():
        return "vllm"
    logger.warning("vLLM is not installed: %s come from transformers, several times slower", what)
    return "transformers"


def _choice(name: str, choices: dict[str, EngineName]) -> EngineName:
    if name not in choices:
        message = f"unknown engine {name!r}, expected one of {', '.join(dict.fromkeys(['auto', *choices]))}"
        raise ConfigError(message)
    return choices[name]
