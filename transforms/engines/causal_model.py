"""A policy's weights through transformers, all of them or none."""

from typing import Any

import torch

from transforms.engines.models import ResolvedModel
from transforms.errors import ModelError


def load_causal(model: ResolvedModel, *, trust_remote_code: bool) -> Any:
    """The causal language model in the dtype of its identity, on the CPU.

    Raises:
        ModelError: transformers cannot load the model, or would fill in random weights.
    """
    from transformers import AutoModelForCausalLM

    name = model.identity.name
    try:
        loaded, info = AutoModelForCausalLM.from_pretrained(
            model.location,
            revision=model.revision,
            dtype=getattr(torch, model.identity.dtype),
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # safetensors' own error, of a file that is cut short, is none of Python's
        message = f"transformers cannot load {name}: {type(error).__name__}: {error}"
        raise ModelError(message) from error
    if info["missing_keys"] or info["mismatched_keys"]:
        message = f"the checkpoint {name} lacks weights: {', '.join(sorted(info['missing_keys'])[:5])}"
        raise ModelError(message)
    return loaded
