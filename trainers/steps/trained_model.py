"""A loaded model as it is trained, and the trained one as it is saved."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from trainers.steps import value_head
from trainers.steps.settings import Adapter
from transforms.errors import ModelError
from transforms.precision import Dtype


def weights_dtype(dtype: Dtype, adapter: Adapter | None) -> Dtype:
    """The dtype that weights are loaded in: those that are trained are fp32, whatever they are computed in.

    An AdamW step of 1e-6 is below the last bit of nearly every bf16 weight (DECISIONS.md).
    """
    return "float32" if adapter is None else dtype


def trainable(
    model: Any, *, adapter: Adapter | None, seed: int, task: Literal["CAUSAL_LM", "SEQ_CLS"] = "CAUSAL_LM"
) -> Any:
    """`model` ready for a trainer: no dropout, LoRA where asked for.

    Without dropout the policy is the reference before the first step, and a step's gradient does not depend on how
    it was cut.

    Args:
        model: a transformers model; changed in place.
        adapter: LoRA in all linear layers, its weights in fp32; None trains all weights.
        seed: of the adapter's initial values.
        task: peft's name for what the model does; beside an adapter, a classifier's head is trained whole.

    Raises:
        ModelError: a mixture of experts with its router's loss on, which is not part of any objective here.
    """
    if getattr(model.config, "output_router_logits", False):
        message = (
            f"{type(model).__name__} adds its router's loss (output_router_logits: true in config.json), and none of "
            "the objectives here has a place for it: set it to false"
        )
        raise ModelError(message)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):  # a number that attention hands on to its kernel
            module.attention_dropout = 0.0
    if adapter is None:
        return model
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=adapter.rank, lora_alpha=adapter.alpha, target_modules="all-linear", lora_dropout=0.0, task_type=task
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def save_policy(model: Any, tokenizer: Any, folder: Path, *, dtype: torch.dtype, merge: bool) -> None:
    """Write the trained model to `folder`, as AutoModelForCausalLM and vLLM load it.

    Args:
        model: as `trainable` made it; an adapter is merged into it.
        tokenizer: with its chat template.
        folder: made here.
        dtype: of the weights on disk.
        merge: whether an adapter goes into the weights; else it alone is saved.
    """
    folder.mkdir(parents=True)
    value_head.save(model.state_dict(), folder)
    tokenizer.save_pretrained(folder)
    if hasattr(model, "merge_and_unload"):
        if not merge:
            model.save_pretrained(folder, state_dict=value_head.without(model.state_dict()))
            return
        model = model.merge_and_unload()
    model.to(dtype)
    model.config.dtype = dtype
    model.save_pretrained(folder, state_dict=value_head.without(model.state_dict()))
