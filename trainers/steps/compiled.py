"""A model's layers fused by torch.compile: norms, rotary embeddings, activations and casts in a few loops.

Attention over packed rows is left as it is, between two graphs: what it reads is of other lengths in every row, and
would be compiled for each. So a layer is compiled once, for rows of any width.
"""

import os
import shutil
from typing import Any, Final

import torch
from transformers import AttentionInterface

from trainers.batches.shared_prompts import NAME, attention
from trainers.steps.activations import layers_of
from transforms.errors import ConfigError, ModelError

COMPILERS: Final = ("g++", "clang++")


def compile_layers(model: Any) -> None:
    """Have the layers of `model` compiled when they run first, each like the others; weights and names stay.

    Args:
        model: a transformers or peft model, not sharded yet.

    Raises:
        ConfigError: no C++ compiler, which torch.compile needs.
        ModelError: the model names no layers.
    """
    wanted = (os.environ["CXX"],) if "CXX" in os.environ else COMPILERS
    if not any(map(shutil.which, wanted)):
        message = (
            f"memory.compile needs a C++ compiler, and there is no {' or '.join(wanted)}: install one (apt-get install "
            "g++), or leave memory.compile out"
        )
        raise ConfigError(message)
    layers = layers_of(model)
    if not layers:
        message = f"{type(model).__name__} does not say what its layers are: leave memory.compile out"
        raise ModelError(message)
    AttentionInterface.register(NAME, torch.compiler.disable(attention))
    # Between layers gradients are exchanged anyway; DDP would have dynamo cut each layer's graph by its buckets.
    torch._dynamo.config.optimize_ddp = False
    for layer in layers:
        layer.compile(dynamic=True)
