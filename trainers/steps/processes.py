"""Several processes that a launcher started for one training: which this is, and where they meet.

torchrun and `accelerate launch` start equal commands and tell each its number in the environment.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from transforms.errors import ConfigError

# The first process may read reference log-probs for hours before the others are needed.
_PATIENCE: Final = timedelta(days=1)
_SHARDING: Final = {"ACCELERATE_USE_FSDP": "FSDP", "ACCELERATE_USE_DEEPSPEED": "DeepSpeed"}

# Seconds without the interpreter's lock. gloo's thread lets go of the last collective's tensors after everybody has
# gone on, and needs that lock for it. When the model goes, DDP's end joins that thread with the lock in hand, and where
# it has not come to it yet, torch 2.13 waits for ever: seen once in twenty runs on busy cores, after all steps were
# taken. (To keep the group for the process's life instead ended three of forty small runs in "terminate called".)
_LETTING_GO: Final = 0.5


def processes() -> int:
    """How many there are; one without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that reads, pays and writes."""
    return int(os.environ.get("RANK", "0")) == 0


def refuse_sharding() -> None:
    """Refuse launchers that decide how one model's weights are spread over processes: the recipe does.

    Raises:
        ConfigError: the launcher was told to use FSDP or DeepSpeed.
    """
    for variable, name in _SHARDING.items():
        if os.environ.get(variable, "false").lower() in ("1", "true", "yes"):
            asked = f"{name} {os.environ.get('FSDP_VERSION', '1')}" if name == "FSDP" else name
            message = (
                f"{variable} asks for {asked}, and a launcher's settings of it are not read here. Launch without them "
                "(torchrun, or accelerate launch --multi_gpu) and spread the weights over the processes with "
                "--memory.shard fsdp, which is FSDP 2"
            )
            raise ConfigError(message)


def meet() -> None:
    """Connect the processes. Waits for those that are not here yet; one alone has nobody to wait for."""
    if processes() > 1:
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.accelerator.is_available(), timeout=_PATIENCE)


@contextmanager
def met() -> Iterator[None]:
    """Inside, the processes are connected: from now on, or since one of them had to `meet` before."""
    meet()
    yield
    if processes() > 1:
        from accelerate import PartialState

        time.sleep(_LETTING_GO)
        # Not after an error: the launcher ends the others, which may wait in a sum.
        PartialState().destroy_process_group()
