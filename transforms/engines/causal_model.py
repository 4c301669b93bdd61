"""A policy's weights through transformers, all of them or none."""

import warnings
from typing import Any

import torch

from transforms.engines.adapters import tensor_names
from transforms.engines.models import Adapter, ResolvedModel
from transforms.errors import ModelError
from transforms.precision import warn_if_slow


def load_causal(model: ResolvedModel, *, trust_remote_code: bool) -> Any:
    """The causal language model in the dtype of its identity, on the CPU, with the adapter in it where there is one.

    Raises:
        ModelError: transformers cannot load the model or its adapter, or would fill in random weights.
    """
    from transformers import AutoModelForCausalLM

    name = model.identity.name
    warn_if_slow(model.identity.dtype, name)
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
    return loaded if model.adapter is None else _adapted(loaded, model.adapter, name)


def _adapted(loaded: Any, adapter: Adapter, name: str) -> Any:
    """The model itself, with LoRA in its layers.

    Not merged: in bf16 a sum with the base's weights rounds most of an adapter away. Its matrices stay in fp32 beside a
    bf16 base, as they were trained.
    """
    from peft import PeftModel, get_peft_model_state_dict

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of missing matrices, which are looked for below
            adapted = PeftModel.from_pretrained(loaded, adapter.folder)
    except Exception as error:  # peft's, torch's and safetensors' own
        message = f"peft cannot put the adapter {adapter.folder} on {name}: {type(error).__name__}: {error}"
        raise ModelError(message) from error
    differ = tensor_names(adapter.folder) ^ get_peft_model_state_dict(adapted).keys()
    if differ:
        message = f"the adapter {adapter.folder} does not fit {name}: {', '.join(sorted(differ)[:3])} is in one of them"
        raise ModelError(message)
    return adapted.get_base_model()
