"""What a checkpoint must be before it may score anything, whichever engine loads it.

transformers gives a checkpoint without a reward head a random one and only logs it, and loads another class
than the checkpoint names where that one needs remote code; vLLM turns a causal model into a classifier.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from transforms.engines.decoder_heads import HEADS
from transforms.engines.models import ResolvedModel
from transforms.engines.objectives import ARMORM, architecture
from transforms.engines.pair_inputs import PAIRRM
from transforms.errors import ModelError

# Keys that a checkpoint may have and a classifier leave unused: they belong to no reward head.
_HARMLESS: Final = ("lm_head.", "rotary_emb.inv_freq", "embeddings.position_ids")

# What is said of an architecture that no engine of one number a conversation can load.
_INSTEAD: Final = {
    ARMORM: "whose gating network vLLM does not have: set reward.engine: transformers",
    **dict.fromkeys(HEADS, "which vLLM does not score by one number: set reward.engine: transformers"),
    PAIRRM: "which compares two responses and has no reward of one: name a reward model that scores one response, or "
    "make it an annotator of a generation (kind: pairrm)",
}


def reward_config(model: ResolvedModel, *, trust_remote_code: bool) -> Any:
    """The checkpoint's config, if it is that of a sequence classifier with one output, or of a head that is known.

    Raises:
        ModelError: it cannot be read, or is another kind of model.
    """
    from transformers import AutoConfig

    name = model.identity.name
    try:
        config: Any = AutoConfig.from_pretrained(
            model.location, revision=model.revision, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        message = f"the config of the reward model {name} cannot be read: {type(error).__name__}: {error}"
        raise ModelError(message) from error
    content = config.to_dict()
    refuse_architecture(model, content, trust_remote_code=trust_remote_code)
    if architecture(content) in HEADS and model.identity.engine != "vllm":
        return config
    if config.num_labels != 1:
        message = f"the reward model {name} has {config.num_labels} outputs (num_labels), expected 1"
        raise ModelError(message)
    return config


def refuse_architecture(model: ResolvedModel, config: Mapping[str, Any], *, trust_remote_code: bool) -> None:
    """Refuse a checkpoint whose class has no reward of one conversation, before anything is asked.

    Args:
        model: where it lies, and for which engine.
        config: its config.json.
        trust_remote_code: whether code that comes with it may run.

    Raises:
        ModelError: it is another kind of model.
    """
    name, found = model.identity.name, architecture(config) or "none"
    if found in HEADS and model.identity.engine != "vllm":
        return
    if found == ARMORM and "num_quantiles" in config:
        message = (
            f"the reward model {name} is a {found} with num_quantiles (QRM), whose rewards are quantiles: no "
            "engine here reads them"
        )
        raise ModelError(message)
    if found in _INSTEAD:
        message = f"the reward model {name} is a {found}, {_INSTEAD[found]}"
        raise ModelError(message)
    if not found.endswith("ForSequenceClassification") and not _remote_class(config, trust_remote_code):
        message = (
            f"the reward model {name} has the architecture {found}, expected one that ends in"
            f" ForSequenceClassification: {_why(found, config)}"
        )
        raise ModelError(message)


def refuse_incomplete(name: str, expected: str, info: Mapping[str, Any]) -> None:
    """Raise ModelError unless the class and its checkpoint have the same tensors in the same shapes.

    Args:
        name: of the model.
        expected: the class.
        info: what transformers' `from_pretrained` tells with output_loading_info.
    """
    unused = [key for key in info["unexpected_keys"] if not any(part in key for part in _HARMLESS)]
    mismatched = [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]]
    found = {"lacks": info["missing_keys"], "has unknown": unused, "has misshapen": mismatched}
    problems = [f"{what} weights: {', '.join(sorted(keys)[:5])}" for what, keys in found.items() if keys]
    if problems:
        message = (
            f"the checkpoint of the reward model {name} {' and '.join(problems)}."
            f" A {expected} would score with random or ignored weights: check that it is a reward model"
        )
        raise ModelError(message)


def load_own_class(
    model: ResolvedModel, kind: Any, *, expected: str, what: str, defaults: Mapping[str, Any] = MappingProxyType({})
) -> Any:
    """A class of this project with all tensors of a checkpoint, in the dtype that the model's identity names.

    Args:
        model: where it lies.
        kind: a class of transformers' PreTrainedModel.
        expected: the class that config.json names, for messages.
        what: the model's part in this, likewise.
        defaults: values of config.json's keys where it has none.

    Raises:
        ModelError: it cannot be read, or its tensors are not all there in their shapes.
    """
    import torch
    from transformers import AutoConfig

    try:
        config: Any = AutoConfig.from_pretrained(model.location, revision=model.revision)
        for key, value in defaults.items():
            setattr(config, key, getattr(config, key, value))
        loaded, info = kind.from_pretrained(
            model.location,
            config=config,
            revision=model.revision,
            dtype=getattr(torch, model.identity.dtype),
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are named, and refused
        )
    except Exception as error:  # safetensors' own error, of a file that is cut short, is none of Python's
        message = f"{what} {model.identity.name} cannot be loaded: {type(error).__name__}: {error}"
        raise ModelError(message) from error
    refuse_incomplete(model.identity.name, expected, info)
    return loaded


def _why(found: str, config: Mapping[str, Any]) -> str:
    if found.endswith(("ForCausalLM", "ForConditionalGeneration", "none")):
        return "a causal model has no reward head"
    if _remote_class(config, trust_remote_code=True):
        return "if you trust the code that comes with it, set reward.trust_remote_code: true"
    return "transformers has no class of that name, and docs/reference/reward-models.md lists what else is read"


def _remote_class(config: Mapping[str, Any], trust_remote_code: bool) -> bool:
    mapped = config.get("auto_map") or {}
    return trust_remote_code and "AutoModelForSequenceClassification" in mapped
