"""Gives the classes of transformers that vLLM changed for itself back to everybody else in this process."""

import functools
import inspect
from typing import Any, Final

_GIVEN_BACK: Final = "_given_back_by_preference_curation"


def give_back_classes() -> None:
    """Let models of transformers be made again outside vLLM, after it loaded one; a second call does nothing.

    Where vLLM 0.32 has no class of its own for an architecture (GPT-NeoX, OLMo 2), it runs that of transformers, and
    changes it in place so that torch.compile can be put around it: an `__init__` that raises outside vLLM ("Current
    vLLM config is not set") and a `__call__` that runs no hooks. A reward model read by transformers after a policy of
    the same family was opened in vLLM could not be loaded. Models inside vLLM stay as vLLM made them.
    """
    from transformers import PreTrainedModel
    from vllm.compilation.wrapper import TorchCompileWithNoGuardsWrapper

    for changed in TorchCompileWithNoGuardsWrapper.__subclasses__():
        if issubclass(changed, PreTrainedModel) and _GIVEN_BACK not in vars(changed):
            _give_back(changed)


def _give_back(changed: Any) -> None:
    import torch
    from vllm.config import get_current_vllm_config_or_none

    init_in_vllm, call_in_vllm = changed.__init__, changed.__call__
    own_init = inspect.getclosurevars(init_in_vllm).nonlocals["old_init"]

    @functools.wraps(own_init)
    def init(self: Any, *args: Any, **options: Any) -> None:
        inside = "vllm_config" in options or get_current_vllm_config_or_none() is not None
        (init_in_vllm if inside else own_init)(self, *args, **options)

    @functools.wraps(torch.nn.Module.__call__)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        inside = "vllm_config" in vars(self)
        return (call_in_vllm if inside else torch.nn.Module.__call__)(self, *args, **options)

    changed.__init__, changed.__call__ = init, call
    setattr(changed, _GIVEN_BACK, True)
