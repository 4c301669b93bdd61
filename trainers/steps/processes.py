"""Several processes that a launcher started for one training: which this is, and where they meet.

torchrun and `accelerate launch` start equal commands and tell each its number in the environment.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from transforms.errors import ConfigError

# The first process may read reference log-probs for hours before the others are needed.
_PATIENCE: Final = timedelta(days=1)
_SHARDING: Final = {"ACCELERATE_USE_FSDP": "FSDP", "ACCELERATE_USE_DEEPSPEED": "DeepSpeed"}

# Groups that were left, for the process's life. Else the last owner would be DDP, and when that goes, torch 2.13 waits
# for gloo's thread with the interpreter's lock in hand: a thread that still lets go of a tensor of the last collective
# wants that lock, and both wait for ever. Seen once in twenty runs on busy cores, after all steps were taken.
_ended: Final[list[object]] = []


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
        import torch
        from accelerate import PartialState

        _ended.append(torch.distributed.group.WORLD)
        # Not after an error: the launcher ends the others, which may wait in a sum.
        PartialState().destroy_process_group()
