"""What a checkpoint must be before it may score anything, whichever engine loads it.

transformers gives a checkpoint without a reward head a random one and only logs it, and loads another class
than the checkpoint names where that one needs remote code; vLLM turns a causal model into a classifier.
"""

from typing import Any

from transforms.engines.models import ResolvedModel
from transforms.errors import ModelError


def reward_config(model: ResolvedModel, *, trust_remote_code: bool) -> Any:
    """The checkpoint's config, if it is that of a sequence classifier with one output.

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
    architecture = (config.architectures or ["none"])[0]
    if not architecture.endswith("ForSequenceClassification") and not _remote_class(config, trust_remote_code):
        message = (
            f"the reward model {name} has the architecture {architecture}, expected one that ends in"
            " ForSequenceClassification: a causal model has no reward head"
        )
        raise ModelError(message)
    if config.num_labels != 1:
        message = f"the reward model {name} has {config.num_labels} outputs (num_labels), expected 1"
        raise ModelError(message)
    return config


def _remote_class(config: Any, trust_remote_code: bool) -> bool:
    mapped = getattr(config, "auto_map", None) or {}
    return trust_remote_code and "AutoModelForSequenceClassification" in mapped
