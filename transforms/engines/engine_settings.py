"""Which engine can do which setting of memory, parallelism and weights; what it cannot do is refused, never ignored."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from transforms.engines.models import ResolvedModel
from transforms.engines.tokenizer import attention_heads
from transforms.errors import ConfigError

# What vLLM 0.32 makes of unquantized weights on loading. What a checkpoint holds (AWQ, GPTQ, compressed-tensors …) its
# own config says. Not here: int8_per_channel_weight_only and nvfp4_per_token, which leave all but experts as they are
# and do nothing to a dense model, without a word; and bitsandbytes, which vLLM no longer has.
Quantization = Literal["fp8", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "mxfp8"]

VLLM_SHARE: Final = 0.92  # of a GPU's memory, where nothing else is said; of vLLM 0.32

_CAN: Final[Mapping[str, frozenset[str]]] = {
    "vllm": frozenset({"tensor_parallel", "gpu_memory_utilization", "quantization", "lora"}),
    "transformers": frozenset({"lora"}),
    "server": frozenset(),
    "none": frozenset(),
}
_FLAGS: Final = {
    "tensor_parallel": "--tensor-parallel-size",
    "gpu_memory_utilization": "--gpu-memory-utilization",
    "quantization": "--quantization",
}


def refuse_settings(role: str, engine: str, settings: Mapping[str, Any]) -> None:
    """Raise ConfigError for the first setting that the engine cannot do.

    Args:
        role: `policy` or `reward`, as the recipe calls it.
        engine: a backend, or `none`.
        settings: by key, those that are not at their default.
    """
    for name, value in settings.items():
        if name in _CAN[engine]:
            continue
        key = f"{role}.{name}"
        if engine == "none":
            message = f"{key}: nothing is sampled with {role}.engine: none, so leave it out"
        elif engine == "server" and name == "lora":
            message = (
                f"{key}: the server loads adapters itself (vllm serve BASE --enable-lora --lora-modules NAME={value}); "
                f"set {role}.model: NAME and leave {key} out"
            )
        elif engine == "server":
            message = (
                f"{key}: it is the server's to set (vllm serve MODEL {_FLAGS[name]} {value}); leave it out here"
                + (", and serve what is quantized under a name of its own" if name == "quantization" else "")
            )
        else:
            message = (
                f"{key}: only vLLM can do it, and the engine is {engine}: set {role}.engine: vllm, or leave it out"
            )
        raise ConfigError(message)


def check_gpus(
    role: str,
    model: ResolvedModel,
    *,
    tensor_parallel: int,
    gpu_memory_utilization: float | None,
    trust_remote_code: bool = False,
) -> None:
    """Raise ConfigError if vLLM could not load the model so on this machine; asks torch only where something is set.

    Args:
        role: `policy` or `reward`.
        model: resolved for vLLM.
        tensor_parallel: GPUs that share each layer.
        gpu_memory_utilization: share of a GPU's memory.
        trust_remote_code: run Python code that comes with the model.
    """
    if tensor_parallel == 1 and gpu_memory_utilization is None:
        return
    found = _gpus()
    if gpu_memory_utilization is not None and not found:
        message = f"{role}.gpu_memory_utilization: there is no GPU here; on a CPU the cache has policy.kv_cache_gib"
        raise ConfigError(message)
    if tensor_parallel > max(found, 1):
        message = f"{role}.tensor_parallel: {tensor_parallel} GPUs are asked for, and there are {found} here"
        raise ConfigError(message)
    if tensor_parallel == 1:
        return
    heads = attention_heads(model.location, model.revision, trust_remote_code=trust_remote_code)
    if heads % tensor_parallel:
        able = ", ".join(str(n) for n in range(1, found + 1) if heads % n == 0)
        message = (
            f"{role}.tensor_parallel: {model.identity.name} has {heads} attention heads, which {tensor_parallel} GPUs "
            f"cannot share; {able} can"
        )
        raise ConfigError(message)


def _gpus() -> int:
    import torch

    return int(torch.cuda.device_count())
